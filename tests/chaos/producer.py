"""The producer of the fault tests with a journal: what each 202 promised, and when."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import aiohttp
import msgspec

from tests.faults.producer import PATIENCE, RETRY_S, Producer
from tests.faults.system import Served

TYPES = 4
LARGEST = 5
KEYS = 6
"""Values of ``order_key``; some events have none."""
WIDE = "chaos.wide"
"""Type that many webhooks subscribe to."""
WIDE_EVENTS = 11
"""Events of such a batch: with a hundred webhooks too many deliveries for the request."""
WIDE_FIRST, WIDE_EVERY = 20, 90
"""Which batches are such ones."""
AT_ONCE = 2
PAUSE_S = 0.3


class Answered(msgspec.Struct, frozen=True):
    id: str
    type: str
    deliveries: int
    fan_out: str


class Answer(msgspec.Struct, frozen=True):
    """The body of a 202."""

    events: list[Answered]


@dataclass(frozen=True)
class Promise:
    """
    One accepted event: its type, when its key was posted first and accepted, and how many deliveries were named.

    Attributes:
        fanned_out_at: when all its deliveries were made for certain; until then, workers may have been making them.
    """

    id: str
    type: str
    serial: str
    posted_at: float
    accepted_at: float
    deliveries: int
    order_key: str | None = None
    fan_out: str = "done"
    fanned_out_at: float = -math.inf


class JournalingProducer(Producer):
    """Posts as far as it is allowed to, until it is stopped. ``unexpected`` holds answers other than 202 and 503."""

    def __init__(self, session: aiohttp.ClientSession, servers: Sequence[Served], rng: Random) -> None:
        super().__init__(session, servers, TYPES)
        self.promises: dict[int, list[Promise]] = {}
        self.unexpected: list[str] = []
        self._rng = rng
        self._number = 0
        self._events: dict[int, list[dict[str, Any]]] = {}
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
                accepted_at = time.monotonic()
                if answers[0].fan_out == "running":
                    await self._fanned_out(answers[0].id)
                fanned_out_at = time.monotonic()
                self.promises[number] = [
                    Promise(
                        a.id,
                        a.type,
                        f"{number}-{i}",
                        posted_at,
                        accepted_at,
                        a.deliveries,
                        self._events[number][i].get("order_key"),
                        a.fan_out,
                        fanned_out_at,
                    )
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

    async def _fanned_out(self, event_id: str) -> None:
        """Wait until the API shows that workers have made all deliveries of a request."""
        while True:
            url = f"{next(self._urls)}/{event_id}"
            try:
                async with self._session.get(url, timeout=PATIENCE) as answer:
                    shown = await answer.read()
            except (aiohttp.ClientError, TimeoutError):
                self.broken += 1
            else:
                if answer.status == 200 and msgspec.json.decode(shown)["fan_out"] == "done":
                    return
                if answer.status not in {200, 503}:
                    self.unexpected.append(f"GET {url}: {answer.status} {shown[:300]!r}")
            await asyncio.sleep(RETRY_S)

    def _body(self, number: int) -> bytes:
        if number not in self._events:
            is_wide = number % WIDE_EVERY == WIDE_FIRST
            size = WIDE_EVENTS if is_wide else self._rng.randint(1, LARGEST)
            self._events[number] = [self._event(f"{number}-{i}", is_wide=is_wide) for i in range(size)]
        return msgspec.json.encode({"events": self._events[number]})

    def _event(self, serial: str, *, is_wide: bool) -> dict[str, Any]:
        type_ = WIDE if is_wide else f"chaos.{self._rng.randrange(TYPES)}"
        key = self._rng.randrange(KEYS + 1)
        keyed = {"order_key": f"customer {key}"} if key < KEYS else {}
        return {"type": type_, "payload": {"serial": serial}, **keyed}
