"""Fresh events beside other work: the time from acceptance to arrival, in rounds alone and beside."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from benchmarks.receivers import Receivers
from benchmarks.support import ACTOR, PAYLOAD, Figures, median, quantile
from monitor.domain.services.publish import EventIn, Publisher

EVERY_S = 0.01


class Fresh:
    """Publishes evenly and measures. *targets* get nothing but what is published here, at least nothing that counts."""

    def __init__(self, publisher: Publisher, targets: Receivers, type_: str, keys: Sequence[str | None]) -> None:
        self._publisher = publisher
        self._targets = targets
        self._type = type_
        self._keys = keys
        self._next = 0

    async def p99_ms(self, events: int) -> float:
        """Publish *events*, one for each key in turn; return the P99 from acceptance to arrival."""
        await self._targets.forget()
        accepted: dict[str, int] = {}
        started = time.monotonic()
        for i in range(events):
            await asyncio.sleep(started + i * EVERY_S - time.monotonic())
            self._next += 1
            key = self._keys[self._next % len(self._keys)]
            event = EventIn(type=self._type, payload=msgspec.Raw(PAYLOAD), order_key=key)
            result = await self._publisher.publish([event], ACTOR)
            accepted[str(result.events[0].id)] = time.monotonic_ns()
        await self._targets.until(events)
        arrivals = await self._targets.arrivals()
        return quantile([max(0, arrivals[id_] - at) / 1e6 for id_, at in accepted.items()], 0.99)

    async def compare(
        self,
        figures: Figures,
        name: str,
        begin: Callable[[], Awaitable[None]],
        end: Callable[[], Awaitable[None]],
        *,
        rounds: int,
        events: int,
        bar: float,
    ) -> None:
        """Alone, beside, alone, beside, …: the machine's noise falls on both alike."""
        alone_ms, beside_ms = [], []
        await self.p99_ms(events)
        for _ in range(rounds):
            alone_ms.append(await self.p99_ms(events))
            await begin()
            beside_ms.append(await self.p99_ms(events))
            await end()
        figures.note(f"alone: acceptance to arrival, P99, before {name}", median(alone_ms), "ms")
        figures.note(f"beside {name}: acceptance to arrival, P99", median(beside_ms), "ms")
        figures.at_most(bar, f"beside {name} to alone", median(beside_ms) / median(alone_ms), "×")
