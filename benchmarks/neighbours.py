"""
What a webhook notices of the others of its worker: the time from acceptance to arrival, alone and beside them.

``python -m benchmarks.neighbours SERVER`` is ``monitor work`` whose names are looked up at that ``address:port``.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from uuid import UUID

import asyncpg
import msgspec

from benchmarks.deliver import emptied_ns
from benchmarks.receivers import Receivers, receivers
from benchmarks.support import (
    ACTOR,
    PATIENCE_S,
    PAYLOAD,
    Figure,
    Figures,
    database,
    median,
    process,
    quantile,
    scratch,
    settings_of,
)
from monitor.adapters.egress import resolver
from monitor.adapters.egress.lookup import DnsLookup
from monitor.bootstrap.container import Container
from monitor.bootstrap.server import build_services
from monitor.cli import main
from monitor.domain.delivery.retry import RetryPolicy
from monitor.domain.services.publish import EventIn
from monitor.domain.webhooks.registration import NewWebhookSpec
from tests.integration.sender.name_server import NameServer, name_server

ROUNDS = 3
EVENTS = 400
EVERY_S = 0.01
MANY = 200
DEAD_NAMES = 64
LOCKED_S = 3.0
TIMEOUT_S = 5.0
TYPES = ("quick.address", "quick.name")
"""Of two webhooks that share a receiver: one by its address, the other by its name."""

LANE = """
SELECT FROM webhook_lanes l JOIN webhooks w ON w.id = l.webhook_id WHERE w.event_types = ARRAY[$1] FOR UPDATE OF l
"""


class House:
    """A worker, a quick receiver, and the worse ones that webhooks of each round lead to."""

    def __init__(self, parts: Container, names: NameServer, quick: Receivers, worse: dict[str, Receivers]) -> None:
        self.worse = worse
        self._parts = parts
        self._names = names
        self._quick = quick
        self._services = build_services(parts)
        self._made = 0

    async def subscribe(self, type_: str, url: str) -> UUID:
        spec = NewWebhookSpec(
            name=type_,
            url=url,
            event_types=[type_],
            timeout_s=TIMEOUT_S,
            retry=RetryPolicy(schedule_s=(0,), jitter_ratio=0),
        )
        return (await self._services.registry.create(spec, ACTOR)).id

    async def publish(self, *types: str) -> None:
        events = [EventIn(type=type_, payload=msgspec.Raw(PAYLOAD)) for type_ in types]
        await self._services.publisher.publish(events, ACTOR)

    async def p99_ms(self, events: int) -> float:
        """Publish *events* to the quick webhooks, in turn and evenly; return the P99 from acceptance to arrival."""
        await self._quick.forget()
        accepted: dict[str, int] = {}
        started = time.monotonic()
        for i in range(events):
            await asyncio.sleep(started + i * EVERY_S - time.monotonic())
            event = EventIn(type=TYPES[i % 2], payload=msgspec.Raw(PAYLOAD))
            result = await self._services.publisher.publish([event], ACTOR)
            accepted[str(result.events[0].id)] = time.monotonic_ns()
        await self._quick.until(events)
        arrivals = await self._quick.arrivals()
        return quantile([max(0, arrivals[id_] - at) / 1e6 for id_, at in accepted.items()], 0.99)

    async def quiet(self) -> None:
        """Wait until nothing is due or under way."""
        await emptied_ns(self._parts, "deliveries")

    @asynccontextmanager
    async def nothing(self) -> AsyncIterator[None]:
        yield

    @asynccontextmanager
    async def webhooks(self, manner: str, count: int, each: int) -> AsyncIterator[None]:
        """*count* webhooks to receivers of one manner, with *each* events."""
        types = [self._type() for _ in range(count)]
        urls = self.worse[manner].urls
        for i, type_ in enumerate(types):
            await self.subscribe(type_, urls[i % len(urls)])
        await self.worse[manner].forget()
        await self.publish(*types * each)
        # As many as the worker begins at once, or all.
        await self.worse[manner].until(min(count, 50))
        yield

    @asynccontextmanager
    async def dead_names(self, count: int, each: int) -> AsyncIterator[None]:
        """*count* webhooks whose names no name server answers."""
        types = [self._type() for _ in range(count)]
        ids = [await self.subscribe(type_, f"http://{type_}.dead.net/") for type_ in types]
        await self.publish(*types * each)
        async with asyncio.timeout(PATIENCE_S):
            while not all(self._names.asked[f"{type_}.dead.net"] for type_ in types):
                await asyncio.sleep(0.01)
        yield
        # They would wait for a name server, for ever.
        for id_ in ids:
            await self._services.registry.remove(id_, ACTOR, require=lambda _: None)

    @asynccontextmanager
    async def locked_lane(self, each: int) -> AsyncIterator[None]:
        """One webhook with results to be settled and deliveries due, whose lane another connection holds."""
        type_ = self._type()
        await self.subscribe(type_, self.worse["at-once"].urls[0])
        connection = await asyncpg.connect(self._parts.database.dsn)
        try:
            await self.publish(*[type_] * each)
            async with connection.transaction():
                await connection.execute(LANE, type_)
                holding = asyncio.create_task(asyncio.sleep(LOCKED_S))
                yield
                await holding
        finally:
            await connection.close()

    def _type(self) -> str:
        self._made += 1
        return f"worse.n{self._made}"


Beside = Callable[[], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def house(directory: Path) -> AsyncIterator[House]:
    """Start a database, a worker and receivers of every manner."""
    async with AsyncExitStack() as stack:
        worse = {
            manner: await stack.enter_async_context(receivers(ports, directory / f"{manner}.log", manner))
            for manner, ports in (("at-once", 1), ("late", MANY), ("interim-flood", 1), ("stalled-body", MANY))
        }
        quick = await stack.enter_async_context(receivers(1, directory / "quick.log"))
        names = await stack.enter_async_context(name_server())
        env = await stack.enter_async_context(database(directory))
        parts = await stack.enter_async_context(Container(settings_of(env)))
        made = House(parts, names, quick, worse)
        names.addresses["quick.example.org"] = "127.0.0.1"
        (url,) = quick.urls
        for type_, host in zip(TYPES, ("127.0.0.1", "quick.example.org"), strict=True):
            await made.subscribe(type_, url.replace("127.0.0.1", host))
        await stack.enter_async_context(
            process("-m", "benchmarks.neighbours", names.server, env=env, log=directory / "worker.log")
        )
        yield made


async def measure(figures: Figures, *, rounds: int, events: int, bar: float) -> None:
    """Alone, beside, alone, beside, …: the machine's noise falls on both alike."""
    with scratch() as directory:
        async with house(directory) as made:
            worse: dict[str, Beside] = {
                f"{MANY} that take {2:g} s": partial(made.webhooks, "late", MANY, 2),
                "10 MB of 1xx": partial(made.webhooks, "interim-flood", 10, 5),
                f"{MANY} bodies that stall": partial(made.webhooks, "stalled-body", MANY, 1),
                f"{DEAD_NAMES} dead names": partial(made.dead_names, DEAD_NAMES, 2),
                "a locked lane": partial(made.locked_lane, 20),
            }
            await made.p99_ms(events)
            for name, beside in worse.items():
                alone_ms, beside_ms = [], []
                for _ in range(rounds):
                    await made.quiet()
                    alone_ms.append(await made.p99_ms(events))
                    async with beside():
                        beside_ms.append(await made.p99_ms(events))
                figures.note(f"alone: acceptance to arrival, P99, before {name}", median(alone_ms), "ms")
                figures.note(f"beside {name}: acceptance to arrival, P99", median(beside_ms), "ms")
                figures.at_most(bar, f"beside {name} to alone", median(beside_ms) / median(alone_ms), "×")


async def run() -> list[Figure]:
    figures = Figures("neighbours")
    await measure(figures, rounds=ROUNDS, events=EVENTS, bar=2.0)
    return figures.all


def work(server: str) -> int:
    """Run ``monitor work``, with names looked up at *server*."""
    setattr(resolver, "DnsLookup", partial(DnsLookup, [server]))  # noqa: B010 - a class, to mypy
    return main(["work"])


if __name__ == "__main__":
    sys.exit(work(sys.argv[1]))
