"""Fresh events beside the replay of 100,000 deliveries to another webhook, and the backfill of as many events."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from benchmarks.claim import ID
from benchmarks.fresh import Fresh, tidy
from benchmarks.receivers import receivers
from benchmarks.support import ACTOR, PATIENCE_S, PAYLOAD, Figure, Figures, database, process, scratch, settings_of
from monitor.bootstrap.container import Container
from monitor.bootstrap.server import build_services
from monitor.domain.delivery.replay import ReplaySource, ReplaySpec
from monitor.domain.services.jobs import JobCommands
from monitor.domain.services.publish import EventIn
from monitor.domain.services.replays import ReplayCommands
from monitor.domain.vocab import DeliveryState
from monitor.domain.webhooks.registration import WebhookSpec

ROWS = 100_000
ROUNDS = 8
EVENTS = 400
TYPE, REPLAYED, BACKFILLED = "bench.fresh", "bench.replayed", "bench.backfilled"
FINISHED = f"""
INSERT INTO deliveries_finished (id, event_id, webhook_id, state, attempts, fencing_token, finished_at)
SELECT {ID.format(i="i", salt="f")}, $1, $2, 'delivered', 1, 1, now() FROM generate_series(1, $3) AS i
"""
STORED = f"""
INSERT INTO events (id, type, payload, labels, occurred_at, created_at)
SELECT {ID.format(i="i", salt="s")}, $1, '{{}}', '{{}}', now(), now() FROM generate_series(1, $2) AS i
"""
FORGET = "DELETE FROM {table} WHERE webhook_id = $1"
FORGET_EVENTS = "DELETE FROM events WHERE type = $1"


async def run() -> list[Figure]:
    figures = Figures("replays")
    with scratch() as directory:
        async with (
            receivers(1, directory / "receivers.log") as targets,
            receivers(1, directory / "replayed.log") as others,
            database(directory) as env,
            Container(settings_of(env)) as parts,
            process("-m", "monitor", "work", env=env, log=directory / "worker.log"),
        ):
            services = build_services(parts)
            ids = {}
            for url, type_ in ((targets.urls[0], TYPE), (others.urls[0], REPLAYED), (others.urls[0], BACKFILLED)):
                webhook = await services.registry.create(WebhookSpec(name=type_, url=url, event_types=[type_]), ACTOR)
                ids[type_] = webhook.id
            connection = await asyncpg.connect(parts.database.dsn)
            event = EventIn(type=REPLAYED, payload=msgspec.Raw(PAYLOAD))
            accepted = await services.publisher.publish([event], ACTOR)
            await others.until(1)
            work = Work(connection, ReplayCommands(parts.unit_of_work, parts.clock), JobCommands(parts.unit_of_work))
            replay = Replay(work, ids[REPLAYED], accepted.events[0].id)
            backfill = Backfill(work, ids[BACKFILLED])
            fresh = Fresh(services.publisher, targets, TYPE, [None])
            for name, job in (("a replay", replay), ("a backfill", backfill)):
                await fresh.compare(
                    figures, f"{name} of {ROWS:,}", job.begin, job.end, rounds=ROUNDS, events=EVENTS, bar=1.2
                )
            await connection.close()
    return figures.all


class Work:
    """One replay or backfill after the other."""

    def __init__(self, connection: asyncpg.Connection, commands: ReplayCommands, jobs: JobCommands) -> None:
        self.connection = connection
        self._commands = commands
        self._jobs = jobs

    async def begin(self, webhook_id: UUID, **chosen: Any) -> None:
        await tidy(self.connection)
        now = datetime.now(UTC)
        day = timedelta(days=1, hours=1)
        spec = ReplaySpec(from_at=now - day, to_at=now + day, **chosen)
        view = await self._commands.start(webhook_id, spec, ACTOR)
        self._job_id = view.id  # type: ignore[union-attr]
        async with asyncio.timeout(PATIENCE_S):
            while (await self._jobs.show(self._job_id)).done == 0:
                await asyncio.sleep(0.01)

    async def end(self, webhook_id: UUID) -> None:
        job = await self._jobs.show(self._job_id)
        if job.finished_at is None:
            await self._jobs.cancel(self._job_id, ACTOR)
        for table in ("deliveries", "deliveries_finished"):
            await self.connection.execute(FORGET.format(table=table), webhook_id)
        await tidy(self.connection)


class Replay:
    """Of finished deliveries, all of one event."""

    def __init__(self, work: Work, webhook_id: UUID, event_id: UUID) -> None:
        self._work = work
        self._webhook_id = webhook_id
        self._event_id = event_id

    async def begin(self) -> None:
        await self._work.connection.execute(FINISHED, self._event_id, self._webhook_id, ROWS)
        await self._work.begin(self._webhook_id, states=[DeliveryState.DELIVERED])

    async def end(self) -> None:
        await self._work.end(self._webhook_id)


class Backfill:
    """Of events that were stored without a delivery."""

    def __init__(self, work: Work, webhook_id: UUID) -> None:
        self._work = work
        self._webhook_id = webhook_id

    async def begin(self) -> None:
        await self._work.connection.execute(STORED, BACKFILLED, ROWS)
        await self._work.begin(self._webhook_id, source=ReplaySource.EVENTS)

    async def end(self) -> None:
        await self._work.end(self._webhook_id)
        await self._work.connection.execute(FORGET_EVENTS, BACKFILLED)
