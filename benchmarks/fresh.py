"""Fresh events beside other work: the time from acceptance to arrival, in rounds alone and beside."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import asyncpg
import msgspec

from benchmarks.receivers import Receivers
from benchmarks.support import ACTOR, PAYLOAD, Figures, median, quantile
from monitor.domain.services.publish import EventIn, Publisher

EVERY_S = 0.01


async def tidy(connection: asyncpg.Connection) -> None:
    """Do now what rows that a set-up wrote leave to background processes of the database: it is none of the work."""
    for table in ("deliveries", "deliveries_finished", "events"):
        await connection.execute(f"VACUUM (ANALYZE) {table}")
    await connection.execute("CHECKPOINT")


class Fresh:
    """Publishes evenly and measures. *targets* get nothing but what is published here, at least nothing that counts."""

    def __init__(self, publisher: Publisher, targets: Receivers, type_: str, keys: Sequence[str | None]) -> None:
        self._publisher = publisher
        self._targets = targets
        self._type = type_
        self._keys = keys
        self._next = 0

    async def times_ms(self, events: int) -> list[float]:
        """Publish *events*, one for each key in turn; return the times from acceptance to arrival."""
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
        return [max(0, arrivals[id_] - at) / 1e6 for id_, at in accepted.items()]

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
        alone, beside = [], []
        await self.times_ms(events)
        for _ in range(rounds):
            alone.append(await self.times_ms(events))
            await begin()
            beside.append(await self.times_ms(events))
            await end()
        for q, of in ((0.5, "P50"), (0.99, "P99")):
            alone_ms, beside_ms = (median([quantile(times, q) for times in sets]) for sets in (alone, beside))
            figures.note(f"alone: acceptance to arrival, {of}, before {name}", alone_ms, "ms")
            figures.note(f"beside {name}: acceptance to arrival, {of}", beside_ms, "ms")
        figures.at_most(bar, f"beside {name} to alone, P99", beside_ms / alone_ms, "×")
