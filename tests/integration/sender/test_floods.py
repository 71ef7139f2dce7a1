"""Receivers that send without end: what is under way beside them goes on."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from monitor.adapters.egress.sender import HttpSender
from monitor.domain.vocab import ErrorKind
from tests.integration.raw_receivers import OK, after_request, answering, continue_for_ever, receiver
from tests.integration.sender.support import open_connections_to, request
from tests.integration.support import eventually

OVER_THE_LIMIT = "the head of the answer is over the limit of 64 KiB"
FLOODS = {
    "interim answers": b"HTTP/1.1 100 C\r\n\r\n" * 700_000,
    "interim answers with a field": b"HTTP/1.1 103 E\r\nlink: x\r\n\r\n" * 500_000,
    "one line": b"HTTP/1.1 200 " + b"x" * 12_000_000,
    "fields": b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 2_000_000,
    "lines without end": b"HTTP/1.1 200 OK\n" + b"\n" * 12_000_000,
    "small chunks": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 2_000_000,
    "trailers": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n" + b"x: y\r\n" * 2_000_000,
    "a chunk's size": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"0" * 12_000_000,
}


@pytest.mark.parametrize("name", FLOODS)
async def test_a_flood_ends_at_the_limit_and_its_neighbours_are_answered(sender: HttpSender, name: str) -> None:
    with flooding(FLOODS[name]) as url:
        async with receiver(answering(OK)) as neighbour:
            floods = [asyncio.create_task(sender.send(request(url))) for _ in range(10)]
            beside = [await sender.send(request(neighbour.url(), timeout_s=5)) for _ in range(20)]
            outcomes = await asyncio.gather(*floods)
    assert all(outcome.ok for outcome in beside)
    for outcome in outcomes:
        if "chunk" in name or name in {"trailers", "lines without end"}:
            assert outcome.status_code == 200
        else:
            assert (outcome.error, outcome.error_detail) == (ErrorKind.PROTOCOL, OVER_THE_LIMIT)


async def test_interim_answers_without_end_are_no_answer(sender: HttpSender) -> None:
    async with receiver(after_request(continue_for_ever)) as there:
        outcome = await sender.send(request(there.url()))
        await eventually(lambda: not open_connections_to(there.port))
    assert (outcome.status_code, outcome.error) == (None, ErrorKind.PROTOCOL)
    assert outcome.error_detail == OVER_THE_LIMIT


@contextmanager
def flooding(answer: bytes) -> Iterator[str]:
    """Answer each request with all of *answer*, as fast as the kernel takes it and on a thread of its own."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:

        def serve(connection: socket.socket) -> None:
            with connection:
                connection.recv(65_536)
                try:
                    connection.sendall(answer)
                except OSError:
                    return

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/hook"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
