"""Attempts over three days, their rollups, and what both must agree on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import asyncpg

from monitor.adapters.postgres.maintenance.rollup_compaction import RollupCompactor
from monitor.adapters.postgres.queries.metrics import series
from monitor.adapters.postgres.repositories.attempts import SYSTEM_IDS
from monitor.bootstrap.container import Container
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.monitoring.metrics import DAY_S, HOUR_S, MINUTE_S, merge_rollups, percentile
from monitor.domain.ports.repositories.attempts import AttemptRecord
from monitor.domain.services.settle import minute_rollups
from monitor.domain.views.metrics import MetricsPoint
from monitor.domain.vocab import ErrorKind
from tests.integration.support import sql
from tests.samples import rollup_of

HOUR, DAY = timedelta(seconds=HOUR_S), timedelta(seconds=DAY_S)
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
START = TODAY - 3 * DAY
STEPS = (MINUTE_S, 15 * MINUTE_S, HOUR_S, 6 * HOUR_S, DAY_S, 2 * DAY_S)

Attempt = tuple[UUID, datetime, Outcome]


def made_up(dice: Random, webhook_ids: Sequence[UUID], count: int) -> list[Attempt]:
    """Return attempts from three days ago until now, with all kinds of endings."""
    endings: list[dict[str, Any]] = [{"status_code": 200}] * 5 + [
        {"status_code": 503, "error": ErrorKind.STATUS},
        {"status_code": 404, "error": ErrorKind.STATUS},
        {"error": ErrorKind.TIMEOUT},
    ]
    span_s = (datetime.now(UTC) - START).total_seconds()
    return [
        (
            dice.choice(webhook_ids),
            START + timedelta(seconds=dice.uniform(0, span_s)),
            Outcome(**dice.choice(endings), latency_ms=dice.expovariate(1 / 300)),
        )
        for _ in range(count)
    ]


async def store(parts: Container, attempts: Sequence[Attempt]) -> None:
    """Store attempts and their minutes, as every service does."""
    async with parts.unit_of_work() as uow:
        await uow.attempts.add(
            [AttemptRecord(id=parts.clock.new_id(at), webhook_id=id_, outcome=outcome) for id_, at, outcome in attempts]
        )
        await uow.attempts.add_minutes(minute_rollups(attempts))
        await uow.commit()


async def assert_series_are_true(parts: Container, attempts: Sequence[Attempt], webhook_ids: Sequence[UUID]) -> None:
    """Rebuild every series from the attempts and compare."""
    until = TODAY + DAY
    for webhook_id in (*webhook_ids, SYSTEM_ID):
        for step_s in STEPS:
            view = await series(parts.database, webhook_id, START, until, step_s)
            expected: dict[datetime, list[tuple[str, float]]] = {}
            for id_, at, outcome in attempts:
                if webhook_id in (id_, SYSTEM_ID):
                    start = START + (at - START) // timedelta(seconds=step_s) * timedelta(seconds=step_s)
                    expected.setdefault(start, []).append((outcome.label, outcome.latency_ms))
            assert [point.at for point in view.points] == sorted(expected), step_s
            for point in view.points:
                assert_point(point, expected[point.at])
            assert_point(view.total, [sample for samples in expected.values() for sample in samples])


def assert_point(point: MetricsPoint, samples: Sequence[tuple[str, float]]) -> None:
    rollup = merge_rollups(*(rollup_of([sample]) for sample in samples))
    assert (point.attempts, point.failures, point.errors) == (rollup.attempts, rollup.failures, rollup.errors)
    expected = [rollup.latency_mean_ms, *(percentile(rollup.histogram, q) for q in (0.5, 0.95, 0.99))]
    found = [point.mean_ms, point.p50_ms, point.p95_ms, point.p99_ms]
    assert found == [value if value is None else round(value, 3) for value in expected]


async def fold_all(folder: RollupCompactor) -> None:
    """Tick often enough for three days."""
    for _ in range(5):
        await folder.compact()


async def rows(parts: Container, statement: str, *args: object) -> list[asyncpg.Record]:
    async with sql(parts) as connection:
        found: list[asyncpg.Record] = await connection.fetch(statement, *args)
        return found


async def progress(parts: Container) -> dict[str, datetime]:
    return {row["resolution"]: row["compacted_until"] for row in await rows(parts, "SELECT * FROM rollup_progress")}


async def stored(parts: Container, level: str) -> dict[tuple[UUID, datetime], int]:
    """Return the attempts of each bucket of *level*."""
    found = await rows(parts, f"SELECT webhook_id, bucket_at, attempts FROM rollups_{level}")
    return {(row["webhook_id"], row["bucket_at"]): row["attempts"] for row in found}


async def one_at(parts: Container, webhook_id: UUID, at: datetime, count: int = 1) -> None:
    """Store *count* attempts of one moment."""
    await store(parts, [(webhook_id, at, Outcome(status_code=200, latency_ms=5.0))] * count)


async def assert_system_is_the_sum(parts: Container, levels: Sequence[str] = ("minute", "hour", "day")) -> None:
    for level in levels:
        sums: dict[datetime, int] = {}
        system: dict[datetime, int] = {}
        for (id_, at), attempts in (await stored(parts, level)).items():
            into = system if id_ in SYSTEM_IDS else sums
            into[at] = into.get(at, 0) + attempts
        assert sums == system
        assert system
