"""A webhook ordered by 1,000 keys: what the others notice of one that is stuck with a backlog."""

from __future__ import annotations

import asyncio

import asyncpg
import msgspec

from benchmarks.fresh import Fresh, tidy
from benchmarks.receivers import receivers
from benchmarks.support import ACTOR, PATIENCE_S, PAYLOAD, Figure, Figures, database, process, scratch, settings_of
from monitor.bootstrap.container import Container
from monitor.bootstrap.server import build_services
from monitor.domain.services.publish import EventIn, Publisher
from monitor.domain.webhooks.registration import WebhookSpec

KEYS = 1_000
BACKLOG = 10_000
BATCH = 1_000
ROUNDS = 5
EVENTS = 400

TYPE, STUCK = "bench.keyed", "stuck"
LOCK = "SELECT FROM webhook_lanes FOR UPDATE"
FAIL = "UPDATE deliveries SET due_at = now() + interval '1 day', attempts = 5 WHERE order_key = $1"
UNSEEN = "SELECT FROM deliveries WHERE order_key = $1 AND due_at <= now() AND NOT behind LIMIT 1"


async def run() -> list[Figure]:
    figures = Figures("keys")
    with scratch() as directory:
        async with (
            receivers(1, directory / "receivers.log") as targets,
            database(directory) as env,
            Container(settings_of(env)) as parts,
            process("-m", "monitor", "work", env=env, log=directory / "worker.log"),
        ):
            services = build_services(parts)
            spec = WebhookSpec(name="keyed", url=targets.urls[0], event_types=[TYPE], ordered="key")
            await services.registry.create(spec, ACTOR)
            connection = await asyncpg.connect(parts.database.dsn)
            stuck = StuckKey(connection, services.publisher)
            fresh = Fresh(services.publisher, targets, TYPE, [f"key-{n}" for n in range(KEYS)])
            name = f"a key with {BACKLOG:,} behind its head"
            await fresh.compare(figures, name, stuck.begin, stuck.end, rounds=ROUNDS, events=EVENTS, bar=1.2)
            await connection.close()
    return figures.all


class StuckKey:
    """A key whose head failed and is due tomorrow."""

    def __init__(self, connection: asyncpg.Connection, publisher: Publisher) -> None:
        self._connection = connection
        self._publisher = publisher

    async def begin(self) -> None:
        event = EventIn(type=TYPE, payload=msgspec.Raw(PAYLOAD), order_key=STUCK)
        async with self._connection.transaction():
            # Nothing is claimed until the head has failed.
            await self._connection.execute(LOCK)
            await self._publisher.publish([event], ACTOR)
            await self._connection.execute(FAIL, STUCK)
        for _ in range(BACKLOG // BATCH):
            await self._publisher.publish([event] * BATCH, ACTOR)
        async with asyncio.timeout(PATIENCE_S):
            while await self._connection.fetchrow(UNSEEN, STUCK) is not None:
                await asyncio.sleep(0.05)
        await tidy(self._connection)

    async def end(self) -> None:
        await self._connection.execute("DELETE FROM deliveries WHERE order_key = $1", STUCK)
        await tidy(self._connection)
