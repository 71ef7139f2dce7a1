"""Who may come in when a process starts and while it runs: revocations and the key file."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import msgspec
import pytest
from websockets.exceptions import InvalidStatus

from monitor.bootstrap.container import Container
from monitor.domain.errors import Unavailable
from monitor.domain.vocab import Role
from monitor.settings.schema import Jwt
from tests.integration.live_support import jti_of, socket_of
from tests.integration.support import JWT_KEY, assert_problem, eventually, served, settings, signer

OTHER_KEY = base64.urlsafe_b64encode(bytes(range(65, 97))).decode()
WEAK_KEY = base64.urlsafe_b64encode(b"a" * 32).decode()


async def test_a_revoked_token_is_refused_from_the_first_request_on(
    parts: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = signer(parts)(Role.VIEWER, "ada")
    jti = jti_of(token)

    async def revoked() -> set[str]:
        # As from a database that is slow to answer.
        await asyncio.sleep(1.0)
        return {jti}

    monkeypatch.setattr(parts.queries, "revoked", revoked)
    async with served(parts) as api:
        answer = await api.client.get("/api/v1/webhooks", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401


@pytest.mark.parametrize("error", [Unavailable("The database does not answer."), KeyError("a column")])
async def test_no_token_is_accepted_until_a_fresh_process_has_read_the_revocations(
    own_parts: Container, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    tokens = [signer(own_parts)(Role.VIEWER, name) for name in ("ada", "grace")]
    is_readable = False

    async def revoked() -> set[str]:
        if not is_readable:
            raise error
        return {jti_of(tokens[0])}

    monkeypatch.setattr(own_parts.queries, "revoked", revoked)
    async with served(own_parts) as api:
        for token in tokens:
            answer = await api.client.get("/api/v1/webhooks", headers={"Authorization": f"Bearer {token}"})
            assert_problem(answer, 503, "unavailable")
            with pytest.raises(InvalidStatus, match="503"):
                await socket_of(api, token)
        assert (await api.client.get("/health/ready")).status_code == 503
        assert (await api.client.get("/health/live")).status_code == 200
        is_readable = True

        async def statuses() -> list[int]:
            headers = [{"Authorization": f"Bearer {token}"} for token in tokens]
            return [(await api.client.get("/api/v1/webhooks", headers=one)).status_code for one in headers]

        async def are_read() -> bool:
            return await statuses() == [401, 200]

        await eventually(are_read)


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
