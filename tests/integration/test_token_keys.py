"""Who may come in when a process starts and while it runs: revocations and the key file."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from monitor.bootstrap.container import Container
from monitor.cli.up import sign_in_token
from monitor.domain.vocab import Role
from monitor.settings.schema import Jwt
from tests.integration.processes import jti_of
from tests.integration.support import JWT_KEY, api_of, served, settings, signer
from tests.servers import free_port

OTHER_KEY = base64.urlsafe_b64encode(bytes(range(65, 97))).decode()
WEAK_KEY = base64.urlsafe_b64encode(b"a" * 32).decode()


async def test_a_revoked_token_is_refused_from_the_first_request_on(
    parts: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = signer(parts)(Role.VIEWER, "ada")
    jti = msgspec.json.decode(base64.urlsafe_b64decode(token.split(".")[1] + "=="))["jti"]

    async def revoked() -> set[str]:
        # As from a database that is slow to answer.
        await asyncio.sleep(1.0)
        return {jti}

    monkeypatch.setattr(parts.queries, "revoked", revoked)
    async with served(parts) as api:
        answer = await api.client.get("/api/v1/webhooks", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401


async def test_the_token_that_monitor_up_prints_is_in_the_audit_log(parts: Container) -> None:
    token = await sign_in_token(parts)
    async with api_of(parts) as api:
        (row,) = (await api.read("audit-log", role=None, headers={"Authorization": f"Bearer {token}"}))["items"]
    assert (row["action"], row["target"]) == ("token.issue", f"token:{jti_of(token)}")
    assert (row["after"]["subject"], row["after"]["role"]) == ("local", "admin")


async def test_a_database_that_is_away_keeps_no_token_back(parts: Container) -> None:
    gone = settings(f"postgresql://postgres@127.0.0.1:{free_port()}/monitor")
    with capture_logs() as logs:
        async with Container(gone) as alone:
            token = await sign_in_token(alone)
    assert [line["jti"] for line in logs if line["event"] == "token_not_recorded"] == [jti_of(token)]


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def write(file: Path, *keys: str) -> None:
    file.write_bytes(msgspec.json.encode([{"kid": key[:8], "alg": "HS256", "key": key} for key in keys]))


async def test_the_key_file_is_taken_when_it_changes_and_only_then(key_file: Path, database_url: str) -> None:
    write(key_file, JWT_KEY)
    async with Container(settings(database_url, jwt=Jwt(keys_file=str(key_file)))) as parts:
        await parts.refresh()
        assert parts.ring.generation == 0
        write(key_file, OTHER_KEY, JWT_KEY)
        await parts.refresh()
        await parts.refresh()
        assert (parts.ring.generation, parts.ring.signer().kid) == (1, OTHER_KEY[:8])


async def test_a_weak_key_is_taken_from_no_file(key_file: Path, database_url: str) -> None:
    write(key_file, WEAK_KEY)
    with pytest.raises(ValueError, match=r"MONITOR_JWT__KEYS_FILE\[0\] is weak"):
        Container(settings(database_url, jwt=Jwt(keys_file=str(key_file))))
    write(key_file, JWT_KEY)
    async with Container(settings(database_url, jwt=Jwt(keys_file=str(key_file)))) as parts:
        write(key_file, JWT_KEY, WEAK_KEY)
        with pytest.raises(ValueError, match=r"MONITOR_JWT__KEYS_FILE\[1\] is weak"):
            await parts.refresh()
        assert parts.ring.find(WEAK_KEY[:8]) is None
        assert parts.ring.find(JWT_KEY[:8]) is not None
