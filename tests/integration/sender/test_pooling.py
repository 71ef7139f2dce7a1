"""How long connections are kept, and that nothing is lost or left behind by those that end."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import resource
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import psutil
import pytest

from monitor.adapters.egress.sender import HttpSender
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.vocab import ErrorKind
from tests.integration.raw_receivers import OK, answering, receiver
from tests.integration.sender.support import LOCAL, open_connections_to, request
from tests.integration.support import eventually

POSTS = 1_000_000 if "MONITOR_TEST_LONG" in os.environ else 2_000
"""A day of deliveries, or enough to see most moments at which a connection may end."""


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


async def test_a_connection_is_closed_when_it_was_idle_for_long() -> None:
    async with receiver(answering(OK)) as there, HttpSender(LOCAL, idle_s=0.2) as sender:
        assert (await sender.send(request(there.url()))).ok
        await eventually(lambda: not open_connections_to(there.port))


async def test_a_connection_that_was_idle_for_long_is_not_used() -> None:
    clock = Clock()
    async with receiver(answering(OK)) as there, HttpSender(LOCAL, clock=clock, idle_s=15) as sender:
        for _ in range(3):
            assert (await sender.send(request(there.url()))).ok
            clock.now_s += 16
        assert there.connections == 3


@pytest.mark.parametrize("max_age_s", [None, 60.0])
async def test_a_connection_that_is_never_idle_ends_at_its_greatest_age(max_age_s: float | None) -> None:
    """Five minutes, unless said otherwise: a name that moved is noticed by then."""
    clock = Clock()
    made = HttpSender(LOCAL, clock=clock) if max_age_s is None else HttpSender(LOCAL, clock=clock, max_age_s=max_age_s)
    async with receiver(answering(OK)) as there, made as sender:
        oldest_s = max_age_s or 300.0
        for age_s, connections in ((0, 1), (oldest_s, 1), (oldest_s + 10, 2)):
            while clock.now_s < 1000 + age_s:
                clock.now_s += 10
                assert (await sender.send(request(there.url()))).ok
            assert (await sender.send(request(there.url()))).ok
            assert there.connections == connections


async def test_what_this_machine_lacks_is_not_the_receiver_s_failure(sender: HttpSender) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        outcome = await sender.send(request("http://127.0.0.1:1/"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (outcome.error, outcome.local) == (ErrorKind.CONNECT, True)
    assert outcome.error_detail == "could not connect: too many open files"


async def test_a_machine_without_a_free_port_is_not_the_receiver_s_failure(
    sender: HttpSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `connect` fails when connections to one receiver use every local port (EADDRNOTAVAIL)."""

    async def sock_connect(sock: socket.socket, address: object) -> None:
        raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))

    async with receiver(answering(OK)) as there:
        with monkeypatch.context() as patch:
            patch.setattr(asyncio.get_running_loop(), "sock_connect", sock_connect)
            outcome = await sender.send(request(there.url()))
        assert (outcome.error, outcome.local, outcome.exchange) == (ErrorKind.CONNECT, True, None)
        assert outcome.error_detail == "could not connect: cannot assign requested address"
        assert (await sender.send(request(there.url()))).ok


async def test_nothing_is_lost_sent_twice_or_left_behind_when_idle_connections_end_at_any_moment(
    sender: HttpSender,
) -> None:
    """A day of deliveries to receivers that close at random: requests read are attempts made, exactly."""
    process = psutil.Process()
    books = Books(POSTS)
    async with closing_receiver(books) as url:
        for _ in range(20):
            books.send_next(sender, url)
        await eventually(lambda: books.labels.total() > POSTS // 10, within_s=3600)
        before = process.num_fds(), process.memory_info().rss
        await eventually(lambda: books.labels.total() == POSTS, within_s=3600)
        after = process.num_fds(), process.memory_info().rss
    assert books.labels == {"ok": POSTS}
    assert set(books.read) == {1}
    assert books.closed > POSTS // 100
    assert after[0] <= before[0] + 40
    assert after[1] - before[1] < 32 * 2**20


class Books:
    """What was sent and what was read, each kept by its own side."""

    def __init__(self, posts: int) -> None:
        self.labels: Counter[str] = Counter()
        self.read = bytearray(posts)
        self.closed = 0
        self._ids = iter(range(posts))

    def send_next(self, sender: HttpSender, url: str) -> None:
        def take(outcome: Outcome) -> None:
            self.labels[outcome.label] += 1
            self.send_next(sender, url)

        if (number := next(self._ids, None)) is not None:
            sender.start(request(url, body=b"%08d" % number), take)


class ClosingReceiver(asyncio.Protocol):
    """Answers, and closes idle connections now and then: at once, a little later, or just when the next one comes."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        _, end, body = self._buffer.partition(b"\r\n\r\n")
        if end and len(body) == 8 and not self._transport.is_closing():
            self._buffer = b""
            self._books.read[int(body)] += 1
            self._transport.write(OK)
            if random.random() < 0.1:
                asyncio.get_running_loop().call_later(random.choice((0, 0.0005, 0.003)), self._close_if_idle)

    def _close_if_idle(self) -> None:
        if not self._buffer:
            self._books.closed += 1
            self._transport.close()


@asynccontextmanager
async def closing_receiver(books: Books) -> AsyncIterator[str]:
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        server = await asyncio.get_running_loop().create_server(lambda: ClosingReceiver(books), sock=listener)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/hook"
        server.close()
        await asyncio.sleep(0)
