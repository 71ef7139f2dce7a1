"""Revocation of tokens through the API: in all processes, on open sockets, and as a list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from monitor.bootstrap.container import Container
from monitor.domain.vocab import Role
from tests.integration.processes import jti_of
from tests.integration.support import WITHIN_S, Api, assert_problem, eventually, served, settings, signer


@pytest.fixture
async def another(parts: Container) -> AsyncIterator[Container]:
    """Another process on the same database."""
    async with Container(settings(parts.database.dsn)) as container:
        yield container


async def test_every_process_refuses_the_token_and_closes_its_sockets(parts: Container, another: Container) -> None:
    token, other = (signer(parts)(Role.VIEWER, "eve") for _ in range(2))
    async with served(parts) as one, served(another) as two:

        async def status(api: Api, token: str) -> int:
            return (await api.get("webhooks", role=None, headers={"Authorization": f"Bearer {token}"})).status_code

        assert [await status(api, token) for api in (one, two)] == [200, 200]
        address = f"ws://127.0.0.1:{two.client.base_url.port}/ws/dashboard"
        async with connect(address, proxy=None, additional_headers={"Authorization": f"Bearer {token}"}) as socket:
            await socket.recv()
            revoked = await one.post("tokens/revocations", json={"jti": jti_of(token)})
            assert revoked.status_code == 200, revoked.text
            with pytest.raises(ConnectionClosed):
                await read_on(socket)
            assert socket.close_code == 4401

        async def is_refused() -> bool:
            return [await status(api, token) for api in (one, two)] == [401, 401]

        # The promise is 5 s, on a machine that has nothing else to do.
        await eventually(is_refused)
        assert [await status(api, other) for api in (one, two)] == [200, 200]


async def read_on(socket: ClientConnection) -> None:
    """Read *socket* until the server closes it."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            await socket.recv()


async def test_a_revocation_is_listed_once_and_newest_first(api: Api) -> None:
    made = [(await api.post("tokens/revocations", json={"jti": jti})).json() for jti in ("a", "b", "c" * 255)]
    again = await api.post("tokens/revocations", json={"jti": "a"})
    assert (again.status_code, again.json()) == (200, made[0])
    pages = [rows async for rows in api.pages("tokens/revocations", limit=2)]
    assert pages == [[made[2], made[1]], [made[0]]]
    assert [row["action"] for row in (await api.read("audit-log"))["items"]] == ["token.revoke"] * 3


@pytest.mark.parametrize("jti", ["", "a" * 256, "a\nb", "a\u202eb", 7, None])
async def test_what_is_no_jti_is_refused(api: Api, jti: object) -> None:
    problem = assert_problem(await api.post("tokens/revocations", json={"jti": jti}), 422, "invalid")
    assert [error["pointer"] for error in problem["errors"]] == ["/jti"]
    assert (await api.read("tokens/revocations"))["items"] == []


async def test_the_cursor_of_another_list_is_refused(api: Api) -> None:
    for i in range(2):
        await api.create("http://127.0.0.1:9/hook", name=f"w{i}")
    cursor = (await api.read("webhooks", params={"limit": 1}))["next_cursor"]
    assert_problem(await api.get("tokens/revocations", params={"cursor": cursor}), 400, "malformed")
