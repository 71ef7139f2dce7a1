"""Who may come in when a process starts and while it runs: revocations and the key file."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from monitor.bootstrap.container import Container
from monitor.bootstrap.token_keys import jwt_keys
from monitor.cli.up import sign_in_token
from monitor.domain.errors import Unavailable
from monitor.domain.vocab import Role
from monitor.settings.schema import Jwt, Settings
from tests.integration.live_support import close_of, receive, socket_of
from tests.integration.processes import jti_of
from tests.integration.support import JWT_KEY, api_of, assert_problem, eventually, served, settings, signer
from tests.servers import free_port

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
        await parts.read_key_file()
        assert parts.ring.generation == 0
        write(key_file, OTHER_KEY, JWT_KEY)
        await parts.read_key_file()
        await parts.read_key_file()
        assert (parts.ring.generation, parts.ring.signer().kid) == (1, OTHER_KEY[:8])


async def test_a_weak_key_is_taken_from_no_file(key_file: Path, database_url: str) -> None:
    write(key_file, WEAK_KEY)
    with pytest.raises(ValueError, match=r"MONITOR_JWT__KEYS_FILE\[0\] is weak"):
        Container(settings(database_url, jwt=Jwt(keys_file=str(key_file))))
    write(key_file, JWT_KEY)
    async with Container(settings(database_url, jwt=Jwt(keys_file=str(key_file)))) as parts:
        write(key_file, JWT_KEY, WEAK_KEY)
        with pytest.raises(ValueError, match=r"MONITOR_JWT__KEYS_FILE\[1\] is weak"):
            await parts.read_key_file()
        assert parts.ring.find(WEAK_KEY[:8]) is None
        assert parts.ring.find(JWT_KEY[:8]) is not None


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "No such file or directory"), (b"[{", "not a JSON list"), (b'[{"kid": "s3cret"}]', "not a list of keys")],
)
def test_a_file_that_holds_no_keys_is_named(key_file: Path, content: bytes | None, words: str) -> None:
    if content is not None:
        key_file.write_bytes(content)
    with pytest.raises(ValueError, match=f"MONITOR_JWT__KEYS_FILE: .*{words}") as wrong:
        jwt_keys(Settings(jwt=Jwt(keys_file=str(key_file))))
    assert str(key_file) in str(wrong.value)
    assert "s3cret" not in str(wrong.value)


async def test_a_key_that_leaves_the_file_ends_requests_and_sockets_also_without_a_database(
    key_file: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(key_file, JWT_KEY)
    async with (
        Container(settings(database_url, jwt=Jwt(keys_file=str(key_file)))) as parts,
        served(parts) as api,
    ):
        token = signer(parts)(Role.VIEWER, "ada")
        headers = {"Authorization": f"Bearer {token}"}
        assert (await api.client.get("/api/v1/webhooks", headers=headers)).status_code == 200
        url = str(api.client.base_url.copy_with(scheme="ws", path="/ws/dashboard"))
        async with connect(url, additional_headers=headers, proxy=None) as socket:
            await receive(socket)

            async def away() -> set[str]:
                raise Unavailable("The database is not reachable.")

            monkeypatch.setattr(parts.queries, "revoked", away)
            write(key_file, OTHER_KEY)
            assert await close_of(socket) == (4401, "invalid_token")
        assert (await api.client.get("/api/v1/webhooks", headers=headers)).status_code == 401
