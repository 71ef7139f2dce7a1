"""What the sender makes of answers."""

from __future__ import annotations

import asyncio
import gzip

import psutil
import pytest

from monitor.adapters.egress.sender import HttpSender
from monitor.domain.vocab import ErrorKind
from tests.integration.raw_receivers import (
    after_request,
    answering,
    flood,
    receiver,
)
from tests.integration.sender.support import request


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_a_failed_attempt_and_one_request(sender: HttpSender, status: int) -> None:
    async with receiver(
        lambda this: answering(f"HTTP/1.1 {status} Go\r\nLocation: {this.url()}\r\nContent-Length: 0\r\n\r\n".encode())(
            this
        )
    ) as there:
        outcome = await sender.send(request(there.url()))
        assert len(there.requests) == 1
    assert (outcome.status_code, outcome.error) == (status, ErrorKind.STATUS)


async def test_a_204_is_a_success_without_a_body(sender: HttpSender) -> None:
    async with receiver(answering(b"HTTP/1.1 204 No Content\r\n\r\n")) as there:
        outcomes = [await sender.send(request(there.url())) for _ in range(2)]
        assert there.connections == 1
    assert all(outcome.ok and outcome.response_body == b"" for outcome in outcomes)


async def test_retry_after_is_kept_raw_and_short(sender: HttpSender) -> None:
    answer = b"HTTP/1.1 503 Busy\r\nRetry-After: " + b"9" * 500 + b"\r\nContent-Length: 0\r\n\r\n"
    async with receiver(answering(answer)) as there:
        outcome = await sender.send(request(there.url()))
    assert (outcome.status_code, outcome.retry_after, outcome.label) == (503, "9" * 64, "503")


async def test_only_the_first_4_kib_of_an_answer_are_kept_and_a_whole_one_keeps_its_connection(
    sender: HttpSender,
) -> None:
    body = bytes(range(256)) * 40
    async with receiver(answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))) as there:
        outcome = await sender.send(request(there.url()))
        assert outcome.response_body == body[:4096]
        assert (await sender.send(request(there.url()))).ok
        assert there.connections == 1


async def test_an_answer_beyond_16_kib_is_cut_and_its_connection_closed(sender: HttpSender) -> None:
    async with receiver(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n" + b"x" * 99_999)) as there:
        for expected in (1, 2):
            outcome = await sender.send(request(there.url()))
            assert outcome.ok
            assert there.connections == expected


async def test_an_endless_answer_ends_at_16_kib_and_takes_no_memory(sender: HttpSender) -> None:
    before = psutil.Process().memory_info().rss
    async with receiver(after_request(flood)) as there:
        outcomes = await asyncio.gather(*(sender.send(request(there.url())) for _ in range(50)))
        grown = psutil.Process().memory_info().rss - before
    assert all(outcome.ok and len(outcome.response_body) == 4096 for outcome in outcomes)
    # Sender and fifty receivers together.
    assert grown < 64 * 2**20


async def test_a_gzip_bomb_stays_packed(sender: HttpSender) -> None:
    bomb = gzip.compress(b"\x00" * 20_000_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    before = psutil.Process().memory_info().rss
    async with receiver(answering(head + bomb)) as there:
        outcome = await sender.send(request(there.url()))
    assert outcome.response_body == bomb[:4096]
    assert psutil.Process().memory_info().rss - before < 8 * 2**20
