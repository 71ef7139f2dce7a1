"""One deadline over everything, and what it leaves behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import pytest

from monitor.adapters.egress.sender import HttpSender
from monitor.domain.vocab import ErrorKind
from tests.integration.raw_receivers import (
    OK,
    Behaviour,
    Reader,
    Receiver,
    Writer,
    after_request,
    answering,
    drip_body,
    drip_head,
    hang,
    receiver,
)
from tests.integration.sender.support import LOCAL, open_connections_to, request
from tests.integration.support import eventually


@pytest.mark.parametrize("act", [hang, drip_head])
async def test_the_deadline_covers_the_head(sender: HttpSender, act: Callable[[Writer], Awaitable[None]]) -> None:
    async with receiver(after_request(act)) as there:
        started = time.perf_counter()
        outcome = await sender.send(request(there.url(), timeout_s=0.6))
        took_ms = (time.perf_counter() - started) * 1000
        await eventually(lambda: not open_connections_to(there.port))
    assert (outcome.status_code, outcome.error) == (None, ErrorKind.TIMEOUT)
    assert outcome.error_detail == "no complete answer within 0.6 s"
    assert 600 <= outcome.latency_ms <= took_ms


async def test_a_body_that_is_late_is_cut_at_the_deadline_and_the_head_counts(sender: HttpSender) -> None:
    async with receiver(after_request(drip_body)) as there:
        outcome = await sender.send(request(there.url(), timeout_s=0.6))
        await eventually(lambda: not open_connections_to(there.port))
    assert (outcome.status_code, outcome.ok) == (200, True)
    assert outcome.exchange is not None
    assert outcome.exchange.note == "the answer was not complete within 0.6 s"
    assert outcome.response_body.startswith(b"x")
    assert outcome.latency_ms >= 600


async def test_the_deadline_covers_the_name_lookup() -> None:
    async def lookup(host: str) -> Sequence[str]:
        await asyncio.get_running_loop().create_future()
        return []

    async with HttpSender(LOCAL, lookup=lookup) as sender:
        outcome = await sender.send(request("https://a.com/", timeout_s=0.2))
    assert outcome.error is ErrorKind.TIMEOUT


async def test_the_deadline_covers_the_tls_handshake(sender: HttpSender) -> None:
    def make(this: Receiver) -> Behaviour:
        async def behave(reader: Reader, writer: Writer) -> None:
            await hang(writer)

        return behave

    async with receiver(make) as there:
        outcome = await sender.send(request(there.url(scheme="https"), timeout_s=0.3))
    assert outcome.error is ErrorKind.TIMEOUT
    assert outcome.phases.connect_ms is not None
    assert outcome.phases.tls_ms is None


async def test_a_receiver_that_never_reads_is_dropped_at_the_deadline(sender: HttpSender) -> None:
    def make(this: Receiver) -> Behaviour:
        async def behave(reader: Reader, writer: Writer) -> None:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            await hang(writer)

        return behave

    async with receiver(make) as there:
        body = b"x" * 20_000_000
        outcome = await sender.send(request(there.url(), body=body, timeout_s=0.3))
        assert outcome.error is ErrorKind.TIMEOUT
        await eventually(lambda: not open_connections_to(there.port))


async def test_slow_receivers_do_not_hold_up_others_and_cancelled_ones_close(sender: HttpSender) -> None:
    async with receiver(after_request(hang)) as slow, receiver(answering(OK)) as quick:
        waiting = [asyncio.create_task(sender.send(request(slow.url(), timeout_s=60))) for _ in range(200)]
        await eventually(lambda: len(slow.requests) == 200)
        outcome = await sender.send(request(quick.url()))
        assert not any(task.done() for task in waiting)
        for task in waiting:
            task.cancel()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        await eventually(lambda: not open_connections_to(slow.port))
    assert outcome.ok
    assert all(isinstance(result, asyncio.CancelledError) for result in results)
