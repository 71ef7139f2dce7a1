"""Answers over a real socket, computed and from memory: written in one piece, and alike."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from monitor.bootstrap.container import Container
from monitor.domain.vocab import Role
from monitor.http.server import http_protocol as server
from tests.integration.support import API, served, signer

PATH = f"{API}/dashboard/overview"
VARYING = {"x-request-id", "date"}


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    def lasting(self) -> dict[str, str]:
        return {name: value for name, value in self.headers.items() if name not in VARYING}


async def read(reader: asyncio.StreamReader) -> Answer:
    """Read one answer with a length."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if line)}
    return Answer(int(lines[0].split(" ")[1]), headers, await reader.readexactly(int(headers.get("content-length", 0))))


def write_full_response_of(written: list[bool]) -> Callable[..., bool]:
    """Return the real thing, noting in *written* what it returned."""
    real = server.write_full_response

    def write_full_response(*args: Any) -> bool:
        written.append(real(*args))
        return written[-1]

    return write_full_response


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_the_second_answer_is_the_first_one_again(
    parts: Container, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[bool] = []
    monkeypatch.setattr("monitor.http.server.http_protocol.write_full_response", write_full_response_of(written))
    async with served(parts) as api, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection(api.client.base_url.host, api.client.base_url.port)
        token = signer(parts)(Role.VIEWER, "ada")
        request = f"GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nAccept-Encoding: {encoding}\r\n"
        answers = []
        for _ in range(3):
            writer.write(f"{request}\r\n".encode())
            answers.append(await read(reader))
        first, *others = answers
        assert first.status == 200
        for other in others:
            assert other.status == 200
            assert (other.lasting(), other.body) == (first.lasting(), first.body)
            assert "date" in other.headers
        assert len({answer.headers["x-request-id"] for answer in answers}) == 3
        assert written == [True, True, True]
        if "content-encoding" in first.headers:
            assert gzip.decompress(first.body).startswith(b"{")
        writer.close()


async def test_many_in_a_row_are_answered_in_their_order(parts: Container) -> None:
    async with served(parts) as api, asyncio.timeout(20):
        token = signer(parts)(Role.VIEWER, "ada")
        reader, writer = await asyncio.open_connection(api.client.base_url.host, api.client.base_url.port)
        paths = [PATH, f"{API}/webhooks?limit=1", PATH, "/health/live", PATH, PATH]
        for n, path in enumerate(paths * 3):
            head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nX-Request-ID: n-{n}\r\n\r\n"
            writer.write(head.encode())
        answers = [await read(reader) for _ in range(len(paths) * 3)]
        assert [answer.headers["x-request-id"] for answer in answers] == [f"n-{n}" for n in range(len(answers))]
        assert {answer.status for answer in answers} == {200}
        writer.close()


async def test_a_connection_that_ends_is_ended(parts: Container) -> None:
    async with served(parts) as api, asyncio.timeout(20):
        token = signer(parts)(Role.VIEWER, "ada")
        host, port = api.client.base_url.host, api.client.base_url.port
        for last in ("HTTP/1.1\r\nConnection: close", "HTTP/1.0"):
            for _ in range(2):
                reader, writer = await asyncio.open_connection(host, port)
                writer.write(f"GET {PATH} {last}\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
                answer = await read(reader)
                assert answer.status == 200
                assert answer.headers["connection"] == "close"
                assert await reader.read() == b""
                writer.close()
