"""How attempts fail, in which words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import pytest

from monitor.adapters.egress.sender import HttpSender
from monitor.domain.vocab import ErrorKind
from tests.integration.raw_receivers import (
    OK,
    Writer,
    after_request,
    answering,
    hang,
    receiver,
    reset,
)
from tests.integration.sender.support import LOCAL, request


async def close_silently(writer: Writer) -> None:
    writer.close()


async def half_close_mid_head(writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-")
    writer.write_eof()
    await hang(writer)


@pytest.mark.parametrize(
    ("act", "kind"),
    [
        (reset, ErrorKind.RESET),
        (close_silently, ErrorKind.RESET),
        (half_close_mid_head, ErrorKind.PROTOCOL),
    ],
)
async def test_a_connection_that_ends_early_has_its_own_kind(
    sender: HttpSender, act: Callable[[Writer], Awaitable[None]], kind: ErrorKind
) -> None:
    async with receiver(after_request(act)) as there:
        outcome = await sender.send(request(there.url()))
        assert len(there.requests) == 1
    assert (outcome.status_code, outcome.error) == (None, kind)


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (b"\x00\x01garbage\r\n\r\n", "the answer is not valid HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\nX-Huge: " + b"x" * 100_000, "the head of the answer is over the limit of 64 KiB"),
        (
            b"HTTP/1.1 200 OK\r\n" + b"X-Many: x\r\n" * 201 + b"\r\n",
            "the answer has more header fields than the limit of 200",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "the length of the answer is not a number"),
    ],
)
async def test_an_answer_that_is_no_http_is_a_protocol_error(sender: HttpSender, answer: bytes, detail: str) -> None:
    async with receiver(answering(answer)) as there:
        outcome = await sender.send(request(there.url()))
    assert (outcome.status_code, outcome.error) == (None, ErrorKind.PROTOCOL)
    assert outcome.error_detail == detail


async def test_a_closed_port_is_a_connect_error(sender: HttpSender) -> None:
    async with receiver(answering(OK)) as there:
        url = there.url()
    outcome = await sender.send(request(url))
    assert outcome.error is ErrorKind.CONNECT
    assert outcome.error_detail == "could not connect: connection refused"


async def test_an_unknown_name_is_a_dns_error() -> None:
    async def lookup(host: str) -> Sequence[str]:
        return []

    async with HttpSender(LOCAL, lookup=lookup) as sender:
        outcome = await sender.send(request("https://a.com/"))
    assert outcome.error is ErrorKind.DNS


async def test_a_detail_repeats_neither_headers_nor_answer(sender: HttpSender) -> None:
    secret = "canary-7f3a"
    headers = (("Authorization", secret),)
    answers = [f"{secret}\r\n\r\n", f"HTTP/1.1 500 {secret}\r\nContent-Length: 0\r\n\r\n"]
    for answer in answers:
        async with receiver(answering(answer.encode())) as there:
            outcome = await sender.send(request(there.url() + secret, headers=headers))
        assert outcome.error_detail is not None
        assert secret not in outcome.error_detail
        assert len(outcome.error_detail) <= 200
