"""Receivers that break the rules of HTTP in most ways there are. What each has read is its ``requests``."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from tests.answer_scripts import script
from tests.integration.raw_receivers import OK, Behaviour, Reader, Receiver, Writer, receiver, reset

EVERY = 4
"""One of so many requests, or connections, is treated badly: a breaker that stays open would spare the others."""

RETRY: dict[str, Any] = {"schedule_s": [0] + [0.5] * 30, "jitter_ratio": 0}

_ID = re.compile(rb"(?i)\r\nwebhook-id: *([^\r]+)")
_FLOOD = b"HTTP/1.1 100 C\r\n\r\n" * 100_000
_HUGE = b"HTTP/1.1 200 OK\r\nX-Huge: %b\r\nContent-Length: 2\r\n\r\nok"


def now_and_then(act: Callable[[Writer], Awaitable[None]], usually: bytes = OK) -> Callable[[Receiver], Behaviour]:
    """Do *act* to some requests and end their connection; answer *usually*."""

    def make(this: Receiver) -> Behaviour:
        async def behave(reader: Reader, writer: Writer) -> None:
            while await this.read_request(reader):
                if not len(this.requests) % EVERY:
                    await act(writer)
                    return
                writer.write(usually)
                await writer.drain()

        return behave

    return make


def speaks_first(this: Receiver) -> Behaviour:
    """Say 200 to some connections before there is a request, and end each after a few requests."""

    async def behave(reader: Reader, writer: Writer) -> None:
        if this.connections % EVERY == 1:
            writer.write(OK)
            await this.read_request(reader)
            return
        for _ in range(EVERY):
            if not await this.read_request(reader):
                return
            writer.write(OK)
        await writer.drain()

    return behave


def speaks_twice(this: Receiver) -> Behaviour:
    """Say 200 once more when the connection is idle."""

    async def behave(reader: Reader, writer: Writer) -> None:
        loop = asyncio.get_running_loop()
        while await this.read_request(reader):
            writer.write(OK)
            loop.call_later(0.05, say_again, writer)

    return behave


def say_again(writer: Writer) -> None:
    if not writer.is_closing():
        writer.write(OK)


def late_body(this: Receiver) -> Behaviour:
    """Send the head at once and the body in pieces, later."""

    async def behave(reader: Reader, writer: Writer) -> None:
        while await this.read_request(reader):
            for piece in (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b"o", b"k"):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.05)

    return behave


async def flood(writer: Writer) -> None:
    writer.write(_FLOOD)
    await writer.drain()


async def too_huge_head(writer: Writer) -> None:
    writer.write(_HUGE % (b"x" * 70_000))
    await writer.drain()


def scripted() -> Callable[[Writer], Awaitable[None]]:
    """Return what sends one generated answer after the other, but for those that stop deliveries."""
    answers: Iterator[bytes] = (script(number).data for number in itertools.count())
    wanted = (data for data in answers if b" 410" not in data and b" 429" not in data)

    async def act(writer: Writer) -> None:
        writer.write(next(wanted))
        await writer.drain()

    return act


RUDE: dict[str, Callable[[Receiver], Behaviour]] = {
    "speaks first": speaks_first,
    "speaks twice": speaks_twice,
    "flood of 1xx": now_and_then(flood),
    "reset": now_and_then(reset),
    "late body": late_body,
    "huge heads": now_and_then(too_huge_head, _HUGE % (b"x" * 60_000)),
    "generated answers": now_and_then(scripted()),
}


@asynccontextmanager
async def rude_receivers() -> AsyncIterator[list[Receiver]]:
    """One of each kind."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(receiver(make)) for make in RUDE.values()]


def read_by(receivers: Iterable[Receiver]) -> Counter[str]:
    """Return how often each message was read as a whole."""
    found = (_ID.search(request) for one in receivers for request in one.requests)
    return Counter(match[1].decode() for match in found if match is not None)
