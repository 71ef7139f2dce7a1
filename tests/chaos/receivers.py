"""Receivers with a journal: what reached them, when, beside how many others, and what they answered."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

from tests.answer_scripts import script
from tests.integration.raw_receivers import OK, Behaviour, Reader, Receiver, Writer, continue_for_ever, receiver, reset

ID = re.compile(rb"(?i)\r\nwebhook-id: *([^\r]+)")
LINE = re.compile(rb"POST (\S+) ")
LATE_S = 1.0
"""How long a receiver that answered too much goes on to read what still comes."""

ERROR = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"
THROTTLE = b"HTTP/1.1 429 Slow\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
GONE = b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"
REFUSALS = (b"401 Unauthorized", b"403 Forbidden", b"404 Not Found")


@dataclass
class Request:
    """
    One request that was read whole.

    Attributes:
        at: begin and (``ended_at``) end of its handling, on the monotonic clock.
        beside: how many were being handled when it came, itself included.
        said_ok: whether it was answered 2xx; ``None`` where that is open, since more or something odd was answered.
    """

    at: float
    event_id: str
    path: str
    beside: int
    mood: str
    said_ok: bool | None = False
    gone: bool = False
    ended_at: float | None = None


@dataclass
class Hook:
    """One receiver on a port of its own. ``mood`` is how it behaves; ``delay_s`` bounds its good answers."""

    name: str
    rng: Random
    delay_s: float = 0.03
    mood: str = "ok"
    port: int = 0
    active: int = 0
    journal: list[Request] = field(default_factory=list)

    def url(self, version: int = 0) -> str:
        return f"http://127.0.0.1:{self.port}/{self.name}?v={version}"

    def behave(self, this: Receiver) -> Behaviour:
        async def behaviour(reader: Reader, writer: Writer) -> None:
            mood = self.mood
            if mood == "early":
                writer.write(OK)
            while await this.read_request(reader):
                mood = self.mood if mood != "early" else mood
                request = self._note(this.requests.pop(), mood)
                try:
                    goes_on = await self._answer(request, reader, writer)
                finally:
                    self.active -= 1
                    request.ended_at = time.monotonic()
                if not goes_on:
                    await self._read_late(this, reader)
                    return

        return behaviour

    def _note(self, data: bytes, mood: str) -> Request:
        found, line = ID.search(data), LINE.match(data)
        assert found is not None
        assert line is not None
        self.active += 1
        request = Request(time.monotonic(), found[1].decode(), line[1].decode(), self.active, mood)
        self.journal.append(request)
        return request

    async def _read_late(self, this: Receiver, reader: Reader) -> None:
        """Read what was sent before the sender noticed the end, without an answer: it may take one of before for it."""
        try:
            async with asyncio.timeout(LATE_S):
                while await this.read_request(reader):
                    request = self._note(this.requests.pop(), "late")
                    request.said_ok = None
                    self.active -= 1
                    request.ended_at = time.monotonic()
        except TimeoutError:
            return

    async def _answer(self, request: Request, reader: Reader, writer: Writer) -> bool:
        """Answer *request* by its mood; false if the connection is of no more use."""
        match request.mood:
            case "ok" | "slow":
                longest_s = self.delay_s if request.mood == "ok" else 1.2
                await asyncio.sleep(self.rng.uniform(0, longest_s))
                request.said_ok = True
                writer.write(OK)
            case "hang":
                await reader.read(1)
                return False
            case "refuse":
                writer.write(b"HTTP/1.1 " + self.rng.choice(REFUSALS) + b"\r\nContent-Length: 0\r\n\r\n")
            case "error" | "throttle" | "gone" | "disable":
                # Seldom gone: it disables the webhook.
                request.gone = request.mood == "disable" or (request.mood == "gone" and self.rng.random() < 0.1)
                writer.write(GONE if request.gone else THROTTLE if request.mood == "throttle" else ERROR)
            case _:
                await self._misbehave(request, writer)
                return False
        await writer.drain()
        return True

    async def _misbehave(self, request: Request, writer: Writer) -> None:
        match request.mood:
            case "interims":
                await self._flood(writer)
            case "reset":
                await reset(writer)
            case "garbage":
                writer.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n" + self.rng.randbytes(200))
            case "early":
                # Answered when it connected, before there was a request.
                request.said_ok = None
            case "twice":
                request.said_ok = True
                writer.write(OK)
                await asyncio.sleep(0.05)
                writer.write(OK)
            case "script":
                request.said_ok = None
                made = script(self.rng.randrange(1 << 30))
                request.gone = b" 410" in made.data
                for piece in made.pieces():
                    writer.write(piece)
                    await writer.drain()

    @staticmethod
    async def _flood(writer: Writer) -> None:
        try:
            async with asyncio.timeout(1.0):
                await continue_for_ever(writer)
        except TimeoutError:
            return


@asynccontextmanager
async def hook(name: str, rng: Random, delay_s: float = 0.03) -> AsyncIterator[Hook]:
    made = Hook(name, rng, delay_s)
    async with receiver(made.behave) as listening:
        made.port = listening.port
        yield made
