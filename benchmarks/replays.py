"""Fresh events beside the replay of 100,000 finished deliveries of another webhook."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import msgspec

from benchmarks.claim import ID
from benchmarks.fresh import Fresh
from benchmarks.receivers import receivers
from benchmarks.support import ACTOR, PAYLOAD, Figure, Figures, database, process, scratch, settings_of
from monitor.bootstrap.container import Container
from monitor.bootstrap.server import build_services
from monitor.domain.delivery.replay import ReplaySpec
from monitor.domain.services.jobs import JobCommands
from monitor.domain.services.publish import EventIn
from monitor.domain.services.replays import ReplayCommands
from monitor.domain.vocab import DeliveryState
from monitor.domain.webhooks.registration import WebhookSpec

REPLAYED = 100_000
ROUNDS = 5
EVENTS = 400
TYPE = "bench.fresh"
FINISHED = f"""
INSERT INTO deliveries_finished (id, event_id, webhook_id, state, attempts, fencing_token, finished_at)
SELECT {ID.format(i="i", salt="f")}, $1, $2, 'delivered', 1, 1, now() FROM generate_series(1, $3) AS i
"""
FORGET = "DELETE FROM {table} WHERE webhook_id = $1"


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
            for url, type_ in ((targets.urls[0], TYPE), (others.urls[0], "bench.replayed")):
                webhook = await services.registry.create(WebhookSpec(name=type_, url=url, event_types=[type_]), ACTOR)
            connection = await asyncpg.connect(parts.database.dsn)
            event = EventIn(type="bench.replayed", payload=msgspec.Raw(PAYLOAD))
            accepted = await services.publisher.publish([event], ACTOR)
            await others.until(1)
            commands = ReplayCommands(parts.unit_of_work, parts.clock)
            jobs = JobCommands(parts.unit_of_work)
            replay = Replay(connection, webhook.id, accepted.events[0].id, commands, jobs)
            fresh = Fresh(services.publisher, targets, TYPE, [None])
            name = f"a replay of {REPLAYED:,}"
            await fresh.compare(figures, name, replay.begin, replay.end, rounds=ROUNDS, events=EVENTS, bar=1.2)
            await connection.close()
    return figures.all


class Replay:
    """One replay after the other, each of as many deliveries."""

    def __init__(
        self,
        connection: asyncpg.Connection,
        webhook_id: UUID,
        event_id: UUID,
        commands: ReplayCommands,
        jobs: JobCommands,
    ) -> None:
        self._connection = connection
        self._webhook_id = webhook_id
        self._event_id = event_id
        self._commands = commands
        self._jobs = jobs

    async def begin(self) -> None:
        await self._connection.execute(FINISHED, self._event_id, self._webhook_id, REPLAYED)
        now = datetime.now(UTC)
        day = timedelta(days=1, hours=1)
        spec = ReplaySpec(from_at=now - day, to_at=now + day, states=[DeliveryState.DELIVERED])
        view = await self._commands.start(self._webhook_id, spec, ACTOR)
        self._job_id = view.id  # type: ignore[union-attr]

    async def end(self) -> None:
        job = await self._jobs.show(self._job_id)
        if job.finished_at is None:
            await self._jobs.cancel(self._job_id, ACTOR)
        for table in ("deliveries", "deliveries_finished"):
            await self._connection.execute(FORGET.format(table=table), self._webhook_id)
