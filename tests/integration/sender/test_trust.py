"""Which bytes are an answer: only those that come to a request that was sent."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from monitor.adapters.egress.sender import HttpSender
from monitor.adapters.egress.tls import tls_context
from monitor.domain.vocab import ErrorKind
from tests.integration.raw_receivers import OK, Behaviour, Reader, Receiver, Writer, answering, hang, receiver
from tests.integration.sender.support import LOCAL, certificate, open_connections_to, request
from tests.integration.support import eventually

EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
LATE = b"HTTP/1.1 204 No Content\r\n\r\n"
REFUSED = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
LARGE = b"x" * 20_000_000
"""More than the buffers of both sockets take."""


def by_turns(act: Callable[[Receiver, Reader, Writer], object]) -> Callable[[Receiver], Behaviour]:
    def make(this: Receiver) -> Behaviour:
        async def behave(reader: Reader, writer: Writer) -> None:
            await act(this, reader, writer)  # type: ignore[misc]

        return behave

    return make


# Bytes that no request asked for --------------------------------------------------------------------------------------


@pytest.mark.parametrize("late", [EMPTY, LATE, REFUSED, b"\r\n", b"x"])
async def test_a_second_answer_is_not_that_of_the_next_request(sender: HttpSender, late: bytes) -> None:
    sent = 0

    async def act(this: Receiver, reader: Reader, writer: Writer) -> None:
        nonlocal sent
        while await this.read_request(reader):
            writer.write(EMPTY)
            await asyncio.sleep(0.02)
            writer.write(late)
            sent += 1

    async with receiver(by_turns(act)) as there:
        for number in range(1, 6):
            outcome = await sender.send(request(there.url()))
            assert outcome.status_code == 200
            assert len(there.requests) == number
            await eventually(lambda number=number: sent == number)  # type: ignore[misc]
            await eventually(lambda: not open_connections_to(there.port))


async def test_a_second_answer_that_the_loop_has_not_read_yet_is_found_out(sender: HttpSender) -> None:
    with blocking_receiver() as there:
        first = await sender.send(request(there.url))
        # Nothing is awaited here: the loop has no chance to read what comes now.
        there.say(REFUSED)
        second = await sender.send(request(there.url))
    assert (first.status_code, second.status_code) == (200, 200)
    assert (there.requests, there.connections) == (2, 2)


async def test_an_answer_with_more_behind_it_counts_and_closes(sender: HttpSender) -> None:
    async with receiver(answering(EMPTY + REFUSED)) as there:
        for number in (1, 2, 3):
            outcome = await sender.send(request(there.url()))
            assert outcome.status_code == 200
            assert (len(there.requests), there.connections) == (number, number)


async def test_an_answer_on_connect_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    # Long enough for a machine that is busy.
    monkeypatch.setattr("monitor.adapters.egress.sender.QUIET_S", 0.5)

    async def act(this: Receiver, reader: Reader, writer: Writer) -> None:
        writer.write(EMPTY)
        await this.read_request(reader)
        writer.write(REFUSED)

    async with receiver(by_turns(act)) as there, HttpSender(LOCAL) as sender:
        outcome = await sender.send(request(there.url()))
    assert (outcome.status_code, outcome.error) == (None, ErrorKind.PROTOCOL)
    assert outcome.error_detail == "the receiver sent bytes before it had a request"
    assert outcome.exchange is None
    assert there.requests == []


async def test_session_tickets_on_an_idle_connection_do_not_close_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A server of TLS 1.3 sends them right behind the handshake, where nothing is under way now.
    monkeypatch.setattr("monitor.adapters.egress.sender.QUIET_S", 0.2)
    server_tls, ca_file = certificate(tmp_path)
    server_tls.num_tickets = 4
    async with (
        receiver(answering(OK), tls=server_tls) as there,
        HttpSender(LOCAL, tls=tls_context(ca_file=ca_file)) as sender,
    ):
        outcomes = [await sender.send(request(there.url(scheme="https"))) for _ in range(20)]
        assert there.connections == 1
    assert all(outcome.ok for outcome in outcomes)


async def test_a_second_answer_over_tls_is_not_that_of_the_next_request(tmp_path: Path) -> None:
    server_tls, ca_file = certificate(tmp_path)

    async def act(this: Receiver, reader: Reader, writer: Writer) -> None:
        while await this.read_request(reader):
            writer.write(EMPTY)
            await asyncio.sleep(0.02)
            writer.write(REFUSED)

    async with (
        receiver(by_turns(act), tls=server_tls) as there,
        HttpSender(LOCAL, tls=tls_context(ca_file=ca_file)) as sender,
    ):
        for number in (1, 2, 3):
            outcome = await sender.send(request(there.url(scheme="https")))
            assert (outcome.status_code, len(there.requests)) == (200, number)
            await eventually(lambda: not open_connections_to(there.port))


# Answers to requests under way ----------------------------------------------------------------------------------------


async def test_a_refusal_of_a_request_under_way_counts_at_once(sender: HttpSender) -> None:
    async def act(this: Receiver, reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await hang(writer)

    async with receiver(by_turns(act)) as there:
        outcome = await sender.send(request(there.url(), body=LARGE))
        await eventually(lambda: not open_connections_to(there.port))
    assert (outcome.status_code, outcome.error) == (413, ErrorKind.STATUS)


async def test_an_acceptance_of_a_request_under_way_counts_once_all_of_it_is_sent(sender: HttpSender) -> None:
    async def act(this: Receiver, reader: Reader, writer: Writer) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(EMPTY)
        await writer.drain()
        this.requests.append(head + await reader.readexactly(len(LARGE)))
        await hang(writer)

    async with receiver(by_turns(act)) as there:
        outcome = await sender.send(request(there.url(), body=LARGE))
        assert outcome.ok
        await eventually(lambda: len(there.requests) == 1)
        await eventually(lambda: not open_connections_to(there.port))
    assert outcome.exchange is not None
    assert outcome.exchange.note == "the answer came before the whole request was sent"


async def test_an_acceptance_of_what_is_never_taken_is_none(sender: HttpSender) -> None:
    async def act(this: Receiver, reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(EMPTY)
        await hang(writer)

    async with receiver(by_turns(act)) as there:
        outcome = await sender.send(request(there.url(), body=LARGE, timeout_s=0.5))
        await eventually(lambda: not open_connections_to(there.port))
    assert (outcome.status_code, outcome.error) == (None, ErrorKind.TIMEOUT)


async def test_an_early_acceptance_on_a_used_connection_is_a_late_answer_to_the_request_before(
    sender: HttpSender,
) -> None:
    async def act(this: Receiver, reader: Reader, writer: Writer) -> None:
        await this.read_request(reader)
        writer.write(EMPTY)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(EMPTY)
        await hang(writer)

    async with receiver(by_turns(act)) as there:
        assert (await sender.send(request(there.url()))).ok
        outcome = await sender.send(request(there.url(), body=LARGE))
        assert (len(there.requests), there.connections) == (1, 1)
    assert (outcome.status_code, outcome.error) == (None, ErrorKind.RESET)
    assert outcome.error_detail == "the receiver answered before it had the whole request"


# Repeats --------------------------------------------------------------------------------------------------------------


async def test_a_used_connection_that_ends_silently_costs_no_attempt_however_many_ended_so(sender: HttpSender) -> None:
    async def act(this: Receiver, reader: Reader, writer: Writer) -> None:
        old = this.connections <= 5
        while await this.read_request(reader):
            if old and len(this.requests) > 5:
                return
            writer.write(OK)

    async with receiver(by_turns(act)) as there:
        await asyncio.gather(*(sender.send(request(there.url())) for _ in range(5)))
        assert there.connections == 5
        outcome = await sender.send(request(there.url()))
        assert there.connections == 6
    assert outcome.ok


async def test_a_used_connection_that_ends_after_a_byte_of_an_answer_is_a_failed_attempt(sender: HttpSender) -> None:
    async def act(this: Receiver, reader: Reader, writer: Writer) -> None:
        await this.read_request(reader)
        writer.write(OK)
        await this.read_request(reader)
        writer.write(b"H")

    async with receiver(by_turns(act)) as there:
        assert (await sender.send(request(there.url()))).ok
        outcome = await sender.send(request(there.url()))
        assert (len(there.requests), there.connections) == (2, 1)
    assert (outcome.status_code, outcome.error) == (None, ErrorKind.PROTOCOL)


class BlockingReceiver:
    """Answers on threads, so that it goes on while the loop stands still."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._open: list[socket.socket] = []
        self.connections = 0
        self.requests = 0
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/hook"

    def say(self, data: bytes) -> None:
        """Send *data* on the last connection, and return when it is there."""
        self._open[-1].sendall(data)

    def accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(ConnectionError):
            while connection.recv(65_536):
                self.requests += 1
                connection.sendall(EMPTY)


@contextmanager
def blocking_receiver() -> Iterator[BlockingReceiver]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        there = BlockingReceiver(listener)
        thread = threading.Thread(target=there.accept, daemon=True)
        thread.start()
        yield there
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
