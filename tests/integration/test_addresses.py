"""Where a server listens, and the link that it prints."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Iterator

import pytest

from monitor.cli.addresses import authority, link_authority, listen
from monitor.cli.common import CommandError
from monitor.cli.up import is_ready
from tests.servers import free_port


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[list[socket.socket]]:
    sockets = listen(host, port)
    try:
        yield sockets
    finally:
        for listener in sockets:
            listener.close()


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "[::]", "0::0", "0", "127.0.0.1", "localhost"])
def test_the_link_of_every_host_reaches_the_server(host: str) -> None:
    port = free_port()
    with listening(host, port) as sockets:
        link = link_authority(host, port, sockets)
        name, _, number = link.rpartition(":")
        assert int(number) == port
        assert name == ("localhost" if host == "localhost" else "127.0.0.1")
        socket.create_connection((name, port), timeout=10).close()


@pytest.mark.parametrize("host", ["", "::", "[::]", "0::0"])
def test_every_address_means_those_of_both_families(host: str) -> None:
    port = free_port()
    with listening(host, port) as sockets:
        families = {socket.AF_INET, socket.AF_INET6} if has_ipv6() else {socket.AF_INET}
        assert {listener.family for listener in sockets} == families
        for address in ("127.0.0.1", "::1") if has_ipv6() else ("127.0.0.1",):
            socket.create_connection((address, port), timeout=10).close()


def test_an_address_of_ipv6_stands_in_brackets() -> None:
    assert authority("::1", 8000) == authority("[::1]", 8000) == "[::1]:8000"
    assert authority("example.com", 8000) == "example.com:8000"
    if not has_ipv6():
        return
    port = free_port()
    with listening("::1", port) as sockets:
        assert link_authority("::1", port, sockets) == f"[::1]:{port}"
        (listener,) = sockets
        assert listener.getsockname()[:2] == ("::1", port)


def test_without_addresses_of_ipv4_the_link_is_that_of_ipv6_loopback() -> None:
    if not has_ipv6():
        return
    with socket.socket(socket.AF_INET6) as listener:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(("::", 0))
        assert link_authority("::", 8000, [listener]) == "[::1]:8000"


def test_an_address_in_use_is_named_as_in_a_url() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CommandError) as refused:
            listen("127.0.0.1", port)
        problem = os.strerror(errno.EADDRINUSE)
        remedy = "stop what listens there, or choose another --port"
        assert str(refused.value) == f"cannot listen on 127.0.0.1:{port}: {problem}; {remedy}."


@pytest.mark.parametrize(
    ("answer", "ready"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", True),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", False),
        (b"HTTP/1.1 2000\r\n", False),
        (b"", False),
    ],
)
async def test_ready_is_what_the_server_answers_under_the_name_of_its_link(answer: bytes, ready: bool) -> None:
    heads: list[bytes] = []

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(respond, "127.0.0.1", 0) as server:
        assert await is_ready(server.sockets[0].getsockname(), "name:8000") is ready
    (head,) = heads
    assert head.startswith(b"GET /health/ready HTTP/1.1\r\nHost: name:8000\r\n")


async def test_a_server_that_has_stopped_is_not_ready() -> None:
    assert not await is_ready(("127.0.0.1", free_port()), "name:8000")
