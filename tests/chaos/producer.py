"""The producer of the fault tests with a journal: what each 202 promised, and when."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import aiohttp
import msgspec

from tests.faults.producer import PATIENCE, RETRY_S, Producer
from tests.faults.system import Served

TYPES = 4
LARGEST = 5
AT_ONCE = 2
PAUSE_S = 0.3


class Answered(msgspec.Struct, frozen=True):
    id: str
    type: str
    deliveries: int


class Answer(msgspec.Struct, frozen=True):
    """The body of a 202."""

    events: list[Answered]


@dataclass(frozen=True)
class Promise:
    """One accepted event: its type, when its key was posted first and accepted, and how many deliveries were named."""

    id: str
    type: str
    serial: str
    posted_at: float
    accepted_at: float
    deliveries: int


class JournalingProducer(Producer):
    """Posts as far as it is allowed to, until it is stopped. ``unexpected`` holds answers other than 202 and 503."""

    def __init__(self, session: aiohttp.ClientSession, servers: Sequence[Served], rng: Random) -> None:
        super().__init__(session, servers, TYPES)
        self.promises: dict[int, list[Promise]] = {}
        self.unexpected: list[str] = []
        self._rng = rng
        self._number = 0
        self._bodies: dict[int, bytes] = {}
        self._stopping = asyncio.Event()

    @property
    def all(self) -> list[Promise]:
        return [promise for promises in self.promises.values() for promise in promises]

    def stop(self) -> None:
        self._stopping.set()
        self.allow(AT_ONCE)

    async def run(self) -> None:
        """Returns once it was stopped and all that it posted is accepted."""

        async def post_on() -> None:
            while await self._allowed.acquire() and not self._stopping.is_set():
                number, self._number = self._number, self._number + 1
                posted_at = time.monotonic()
                answers = await self._accepted(number)
                self.promises[number] = [
                    Promise(a.id, a.type, f"{number}-{i}", posted_at, time.monotonic(), a.deliveries)
                    for i, a in enumerate(answers)
                ]
                await asyncio.sleep(self._rng.uniform(0.0, PAUSE_S))

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(post_on())

    async def post(self, number: int) -> list[str]:
        return [answer.id for answer in await self._accepted(number)]

    async def _accepted(self, number: int) -> list[Answered]:
        body, headers = self._body(number), {"idempotency-key": f"chaos-{number}"}
        while True:
            try:
                async with self._session.post(next(self._urls), data=body, headers=headers, timeout=PATIENCE) as answer:
                    text = await answer.read()
            except (aiohttp.ClientError, TimeoutError):
                self.broken += 1
            else:
                if answer.status == 202:
                    return msgspec.json.decode(text, type=Answer).events
                self.refused += 1
                if answer.status != 503:
                    self.unexpected.append(f"POST events: {answer.status} {text[:300]!r}")
            await asyncio.sleep(RETRY_S)

    def _body(self, number: int) -> bytes:
        if number not in self._bodies:
            size = self._rng.randint(1, LARGEST)
            events = [
                {"type": f"chaos.{self._rng.randrange(TYPES)}", "payload": {"serial": f"{number}-{i}"}}
                for i in range(size)
            ]
            self._bodies[number] = msgspec.json.encode({"events": events})
        return self._bodies[number]
