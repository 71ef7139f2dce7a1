"""Request bodies and connections on real sockets: how much, how slowly, how many."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from msgspec.structs import replace
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from monitor.bootstrap.container import Container
from monitor.domain.vocab import Role
from monitor.http.server.http_protocol import BoundedHttp
from tests.integration.live_support import receive
from tests.integration.support import Api, eventually, served, settings, signer
from tests.integration.test_server import problem, talk

MIB = 1024 * 1024
PROBE = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
BODY = b'{"type":"a.b","payload":"' + b"x" * (5 * MIB - 100) + b'"}'


@asynccontextmanager
async def serving(database_url: str, **http: int) -> AsyncIterator[tuple[Api, Container]]:
    made = settings(database_url)
    made = replace(made, http=replace(made.http, **http))
    async with Container(made) as parts, served(parts) as api:
        yield api, parts


def head(parts: Container, subject: str = "ada", *, length: int = len(BODY)) -> bytes:
    token = signer(parts)(Role.PUBLISHER, subject)
    return (
        f"POST /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    ).encode()


@asynccontextmanager
async def sending(api: Api, *parts: bytes) -> AsyncIterator[asyncio.StreamReader]:
    """Hold a connection on which *parts* were sent."""
    reader, writer = await asyncio.open_connection(api.client.base_url.host, api.client.base_url.port)
    try:
        writer.write(b"".join(parts))
        await writer.drain()
        yield reader
    finally:
        writer.close()


async def test_one_subject_holds_no_more_bodies_than_its_budget(database_url: str) -> None:
    async with serving(database_url, subject_body_bytes=10 * MIB) as (api, parts), AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(sending(api, head(parts), BODY[: MIB // 4]))

        async def is_refused() -> bytes | None:
            answer = await talk(api, head(parts))
            return answer if answer.startswith(b"HTTP/1.1 503") else None

        refused = await eventually(is_refused)
        assert problem(refused) == (503, "unavailable")
        assert b"retry-after: 1" in refused
        assert b"10 MiB of bodies here; send fewer at once" in refused
        other = await talk(api, head(parts, "bob"), BODY)
        assert other.startswith(b"HTTP/1.1 202")
        await stack.aclose()

        async def is_accepted() -> bool:
            return (await talk(api, head(parts), BODY)).startswith(b"HTTP/1.1 202")

        await eventually(is_accepted)


async def test_a_body_without_a_length_is_counted_as_it_comes(database_url: str) -> None:
    async with serving(database_url, process_body_bytes=5 * MIB) as (api, parts):
        chunked = head(parts).replace(b"Content-Length: %d" % len(BODY), b"Transfer-Encoding: chunked")
        piece = b"%x\r\n%b\r\n" % (4 * MIB, BODY[: 4 * MIB])
        async with sending(api, chunked, piece):

            async def is_refused() -> bool:
                return (await talk(api, head(parts, "bob"))).startswith(b"HTTP/1.1 503")

            await eventually(is_refused)


@pytest.mark.parametrize("sent", [BODY[: len(BODY) - 1000], b"{"], ids=["nearly all", "the first byte"])
async def test_a_body_that_stops_is_hung_up_on_with_the_reason(
    sent: bytes, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedHttp, "head_s", 0.4)
    async with serving(database_url, body_bytes_per_s=1000) as (api, parts), sending(api, head(parts), sent) as reader:
        answer = await asyncio.wait_for(reader.read(), 20)
        assert problem(answer) == (408, "request_timeout")


async def test_a_body_that_comes_steadily_is_taken(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedHttp, "head_s", 1.0)
    body = json.dumps({"type": "a.b", "payload": "x" * 5_000}).encode()
    async with serving(database_url, body_bytes_per_s=100) as (api, parts):
        reader, writer = await asyncio.open_connection(api.client.base_url.host, api.client.base_url.port)
        writer.write(head(parts, length=len(body)))
        for i in range(0, len(body), 250):
            writer.write(body[i : i + 250])
            await writer.drain()
            await asyncio.sleep(0.1)
        assert (await asyncio.wait_for(reader.read(), 20)).startswith(b"HTTP/1.1 202")
        writer.close()


async def test_a_process_holds_no_more_connections_than_it_may(database_url: str) -> None:
    async with serving(database_url, max_connections=3) as (api, _), AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(sending(api, b"G"))

        async def is_refused() -> bytes | None:
            answer = await talk(api, PROBE)
            return answer if answer.startswith(b"HTTP/1.1 503") else None

        refused = await eventually(is_refused)
        assert problem(refused) == (503, "unavailable")
        assert b"3 connections" in refused
        await stack.aclose()

        async def is_accepted() -> bool:
            return (await talk(api, PROBE)).startswith(b"HTTP/1.1 200")

        await eventually(is_accepted)


async def test_an_open_websocket_is_one_of_the_connections(database_url: str) -> None:
    async with serving(database_url, max_connections=3) as (api, parts):
        url = str(api.client.base_url.copy_with(scheme="ws", path="/ws/dashboard"))
        token = {"Authorization": f"Bearer {signer(parts)(Role.VIEWER, 'ada')}"}
        async with AsyncExitStack() as stack:
            for _ in range(3):
                socket = await stack.enter_async_context(connect(url, additional_headers=token, proxy=None))
                await receive(socket)
            refused = await talk(api, PROBE)
            assert problem(refused) == (503, "unavailable")
            assert b"3 connections" in refused
            with pytest.raises(InvalidStatus) as failed:
                await stack.enter_async_context(connect(url, additional_headers=token, proxy=None))
            assert failed.value.response.status_code == 503

        async def is_accepted() -> bool:
            return (await talk(api, PROBE)).startswith(b"HTTP/1.1 200")

        await eventually(is_accepted)
