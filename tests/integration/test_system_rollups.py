"""The rollups of the whole system: rows that no two transactions write to, which reads add up."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from monitor.adapters.postgres.maintenance.rollup_compaction import RollupCompactor
from monitor.adapters.postgres.queries.metrics import overview, series
from monitor.adapters.postgres.repositories.attempts import SYSTEM_IDS
from monitor.bootstrap.container import Container
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.monitoring.metrics import HOUR_S, MINUTE_S
from monitor.domain.ports.repositories.attempts import MinuteRollup
from monitor.domain.views.metrics import MetricsView
from tests.integration.rollup_support import START, assert_system_is_the_sum, one_at, store, stored
from tests.samples import add_webhook, rollup_of


@pytest.fixture
async def webhook_id(parts: Container) -> UUID:
    return (await add_webhook(parts.unit_of_work, parts.clock)).id


@pytest.fixture
def folder(parts: Container) -> RollupCompactor:
    return RollupCompactor(parts.database)


async def test_the_rows_of_the_system_are_written_side_by_side(parts: Container, webhook_id: UUID) -> None:
    """Many transactions at once, more than there are rows: none waits for another but where all rows are taken."""
    others = [(await add_webhook(parts.unit_of_work, parts.clock)).id for _ in range(2)]
    now = datetime.now(UTC)
    minute = MinuteRollup(webhook_id, now.replace(second=0, microsecond=0), rollup_of([("ok", 1.0), ("503", 1.0)]))
    async with parts.unit_of_work() as first, parts.unit_of_work() as second, asyncio.timeout(10):
        for uow, id_ in ((first, webhook_id), (second, others[0])):
            await uow.attempts.add_minutes([replace(minute, webhook_id=id_)])
        await store(parts, [(others[1], now, Outcome(status_code=200, latency_ms=5.0))] * 3)
        await first.commit()
        await second.commit()
    await one_at(parts, webhook_id, now)
    traffic = (await overview(parts.database)).traffic
    assert (traffic.attempts, traffic.success_ratio) == (8, 0.75)
    assert traffic.p50_ms == pytest.approx(5.0, rel=0.03)


async def test_finished_minutes_of_the_system_are_folded_into_one_row(
    parts: Container, folder: RollupCompactor, webhook_id: UUID
) -> None:
    """Reads before and after are the same; the running minute and sealed hours stay as they are."""
    others = [(await add_webhook(parts.unit_of_work, parts.clock)).id for _ in range(3)]
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    minutes = [now - timedelta(minutes=ago) for ago in (0, 3, 4, 70)] + [START]
    attempts: list[tuple[str, float]] = [("ok", 1.0), ("503", 1.0), ("ok", 50.0)]

    async def view() -> MetricsView:
        return await series(parts.database, SYSTEM_ID, START, now + timedelta(minutes=1), MINUTE_S)

    async with AsyncExitStack() as stack:
        for id_ in others:
            uow = await stack.enter_async_context(parts.unit_of_work())
            await uow.attempts.add_minutes([MinuteRollup(id_, at, rollup_of(attempts)) for at in minutes])
            stack.push_async_callback(uow.commit)
    before = await view()
    assert [point.attempts for point in before.points] == [9] * 5
    for _ in range(5):
        await folder.compact()
        assert await view() == before
    counts = {at: n for (id_, at), n in (await stored(parts, "minute")).items() if id_ == SYSTEM_IDS[1]}
    assert [counts[at] for at in minutes[1:3]] == [9, 9]
    assert (counts[now], counts[START]) == (3, 3)
    hourly = await series(parts.database, SYSTEM_ID, START, now, HOUR_S)
    assert hourly.total.attempts >= 9 * 3
    await assert_system_is_the_sum(parts, levels=("minute",))
