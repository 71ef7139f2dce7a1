"""Minutes fold into hours and hours into days; whatever a series is read from, it is what the attempts add up to."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

import pytest

from monitor.adapters.postgres.maintenance.rollup_compaction import COMPACTION_LOCK, RollupCompactor
from monitor.adapters.postgres.repositories.attempts import SYSTEM_IDS
from monitor.bootstrap.container import Container
from monitor.bootstrap.worker import build_scheduler
from monitor.domain.errors import Unavailable
from monitor.domain.monitoring.metrics import DAY_S, HOUR_S, MINUTE_S
from monitor.domain.ports.repositories.attempts import MinuteRollup
from tests.integration.rollup_support import (
    DAY,
    HOUR,
    START,
    TODAY,
    Attempt,
    assert_series_are_true,
    assert_system_is_the_sum,
    fold_all,
    made_up,
    one_at,
    progress,
    rows,
    store,
    stored,
)
from tests.integration.support import eventually, execute, sql
from tests.samples import add_webhook, rollup_of


@pytest.fixture
async def webhook_id(parts: Container) -> UUID:
    return (await add_webhook(parts.unit_of_work, parts.clock)).id


@pytest.fixture
def folder(parts: Container) -> RollupCompactor:
    return RollupCompactor(parts.database)


@pytest.mark.parametrize("seed", range(3))
async def test_the_rebuild_from_attempts_equals_the_rollups_at_every_level(
    parts: Container, folder: RollupCompactor, seed: int
) -> None:
    """For attempts that arrive in any order, before and after folding: series == merge of the raw attempts."""
    dice = Random(seed)
    ids = [(await add_webhook(parts.unit_of_work, parts.clock)).id for _ in range(3)]
    attempts = made_up(dice, ids[:2], 600)
    early, late, later = attempts[:400], attempts[400:500], attempts[500:]
    await store(parts, early)
    await assert_series_are_true(parts, early, ids[:1])
    await folder.compact()
    await assert_series_are_true(parts, early, ids)
    await fold_all(folder)
    await assert_series_are_true(parts, early, ids)
    # A third webhook is first heard of late.
    late += [(ids[2], at, outcome) for _, at, outcome in late[:50]]
    await store(parts, late)
    await assert_series_are_true(parts, early + late, ids)
    await fold_all(folder)
    await assert_series_are_true(parts, early + late, ids)
    await store(parts, later)
    await assert_series_are_true(parts, attempts + late[-50:], ids)
    assert await rows(parts, "SELECT FROM rollups_stale")
    await fold_all(folder)
    assert not await rows(parts, "SELECT FROM rollups_stale")
    await assert_system_is_the_sum(parts)


async def test_only_hours_and_days_that_are_over_are_folded(
    parts: Container, folder: RollupCompactor, webhook_id: UUID
) -> None:
    now = datetime.now(UTC)
    for at in (now, now - 2 * HOUR, TODAY - HOUR):
        await one_at(parts, webhook_id, at)
    await fold_all(folder)
    done = await progress(parts)
    assert now - HOUR - timedelta(minutes=2) < done["hour"] <= now
    assert done["hour"].minute == done["hour"].second == 0
    assert done["day"] <= done["hour"]
    assert all(at + HOUR <= done["hour"] for _, at in await stored(parts, "hour"))
    assert all(at + DAY <= done["day"] for _, at in await stored(parts, "day"))


async def test_folding_begins_at_the_oldest_minute_and_goes_on_in_bounded_steps(
    parts: Container, folder: RollupCompactor, webhook_id: UUID
) -> None:
    await folder.compact()
    assert await progress(parts) == {}
    oldest = START + timedelta(hours=5, minutes=17)
    await one_at(parts, webhook_id, oldest)
    await folder.compact()
    assert await progress(parts) == {"hour": START + 29 * HOUR, "day": START + DAY}
    assert await stored(parts, "day") == {(webhook_id, START): 1, (SYSTEM_IDS[1], START): 1}
    await folder.compact()
    assert await progress(parts) == {"hour": START + 53 * HOUR, "day": START + 2 * DAY}


async def test_folding_again_changes_nothing(parts: Container, folder: RollupCompactor, webhook_id: UUID) -> None:
    await one_at(parts, webhook_id, START, 7)
    await fold_all(folder)
    before = [await stored(parts, level) for level in ("hour", "day")]
    await execute(parts, "INSERT INTO rollups_stale VALUES ('hour', $1, $2), ('day', $1, $2)", webhook_id, START)
    await fold_all(folder)
    assert [await stored(parts, level) for level in ("hour", "day")] == before


async def test_a_late_attempt_reaches_its_hour_and_its_day(
    parts: Container, folder: RollupCompactor, webhook_id: UUID
) -> None:
    await one_at(parts, webhook_id, START)
    await fold_all(folder)
    # Older than everything before, in the middle, and for a day that had none.
    for at in (START - DAY, START + timedelta(minutes=59), START + DAY + 3 * HOUR):
        await one_at(parts, webhook_id, at)
    await folder.compact()
    assert {at: n for (id_, at), n in (await stored(parts, "hour")).items() if id_ == webhook_id} == {
        START - DAY: 1,
        START: 2,
        START + DAY + 3 * HOUR: 1,
    }
    assert {at: n for (id_, at), n in (await stored(parts, "day")).items() if id_ == webhook_id} == {
        START - DAY: 1,
        START: 2,
        START + DAY: 1,
    }


async def test_an_attempt_in_an_open_hour_sets_no_mark(
    parts: Container, folder: RollupCompactor, webhook_id: UUID
) -> None:
    await one_at(parts, webhook_id, datetime.now(UTC) - DAY)
    await fold_all(folder)
    await one_at(parts, webhook_id, (await progress(parts))["hour"])
    assert not await rows(parts, "SELECT FROM rollups_stale")


async def test_a_writer_in_flight_is_waited_for_and_not_missed(
    parts: Container, folder: RollupCompactor, webhook_id: UUID
) -> None:
    await one_at(parts, webhook_id, START)
    async with parts.unit_of_work() as uow:
        await uow.attempts.add_minutes([MinuteRollup(webhook_id, START, rollup_of([("ok", 1.0)]))])
        # It holds the table, then the hour: the folder does not even begin, and later gives up waiting.
        with pytest.raises(Unavailable):
            await folder.compact()
        assert await progress(parts) == {}
        await uow.commit()
    await fold_all(folder)
    assert (await stored(parts, "hour"))[webhook_id, START] == 2
    async with parts.unit_of_work() as uow:
        await uow.attempts.add_minutes([MinuteRollup(webhook_id, START, rollup_of([("ok", 1.0)]))])
        folding = asyncio.create_task(folder.compact())
        await uow.commit()
        await folding
    await folder.compact()
    assert (await stored(parts, "hour"))[webhook_id, START] == 3


async def test_nothing_is_lost_while_many_write_and_some_fold(parts: Container) -> None:
    ids = [(await add_webhook(parts.unit_of_work, parts.clock)).id for _ in range(5)]
    written: list[Attempt] = []

    async def write(seed: int) -> None:
        dice = Random(seed)
        for _ in range(10):
            batch = made_up(dice, ids, dice.randint(1, 40))
            await store(parts, batch)
            written.extend(batch)

    async def fold_until(done: asyncio.Event) -> None:
        folder = RollupCompactor(parts.database)
        while not done.is_set():
            await folder.compact()

    done = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(fold_until(done))
        await asyncio.gather(*(write(seed) for seed in range(6)))
        done.set()
    await assert_series_are_true(parts, written, ids)
    await fold_all(RollupCompactor(parts.database))
    assert not await rows(parts, "SELECT FROM rollups_stale")
    await assert_series_are_true(parts, written, ids)
    await assert_system_is_the_sum(parts)


async def test_of_two_folders_at_once_one_works(parts: Container, folder: RollupCompactor, webhook_id: UUID) -> None:
    await one_at(parts, webhook_id, START)
    async with sql(parts) as other, other.transaction():
        await other.execute("SELECT pg_advisory_xact_lock($1)", COMPACTION_LOCK)
        await folder.compact()
        assert await progress(parts) == {}
    await asyncio.gather(*(RollupCompactor(parts.database).compact() for _ in range(4)))
    await fold_all(folder)
    assert (await stored(parts, "day"))[webhook_id, START] == 1


async def test_what_a_killed_folder_left_the_next_one_does(
    parts: Container, folder: RollupCompactor, webhook_id: UUID
) -> None:
    await one_at(parts, webhook_id, START)
    async with sql(parts) as reader:
        # Holds the folder in the middle of its first hour: the seal is committed, the fold is not.
        await reader.execute("BEGIN; LOCK TABLE histograms_hour IN SHARE MODE")
        folding = asyncio.create_task(folder.compact())
        waiting = (
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            " AND query LIKE '%histograms_hour%'"
        )
        (killed,) = await eventually(lambda: rows(parts, waiting))
        await execute(parts, "SELECT pg_terminate_backend($1)", killed["pid"])
        with pytest.raises(Unavailable):
            await folding
        await reader.execute("ROLLBACK")
    assert await stored(parts, "hour") == {}
    view = await parts.queries.metrics(webhook_id, START, START + HOUR, HOUR_S)
    assert view.total.attempts == 1
    await folder.compact()
    assert (await stored(parts, "hour"))[webhook_id, START] == 1


@pytest.mark.parametrize("errors", ["null", "[]", '{"503": "many", "dns": 1}', '{"503": null}'])
async def test_counts_that_cannot_be_read_stop_no_other_webhook(
    parts: Container, folder: RollupCompactor, webhook_id: UUID, errors: str
) -> None:
    other = (await add_webhook(parts.unit_of_work, parts.clock)).id
    await one_at(parts, webhook_id, START)
    await one_at(parts, other, START)
    await execute(parts, f"UPDATE rollups_minute SET errors = '{errors}' WHERE webhook_id = $1", other)
    await fold_all(folder)
    assert (await stored(parts, "hour"))[webhook_id, START] == 1
    assert (await stored(parts, "day"))[other, START] == 1


async def test_workers_compact_rollups_by_themselves(parts: Container, webhook_id: UUID) -> None:
    await one_at(parts, webhook_id, START)
    async with parts.supervisor.running(build_scheduler(parts).loops()):
        await eventually(lambda: stored(parts, "day"))


async def test_a_range_is_answered_in_whole_hours_or_days(
    parts: Container, folder: RollupCompactor, webhook_id: UUID
) -> None:
    for at in (START, START + timedelta(minutes=59), START + 23 * HOUR, START + DAY):
        await one_at(parts, webhook_id, at)
    await fold_all(folder)
    from_at, to_at = START + timedelta(minutes=30), START + timedelta(minutes=90)
    for step_s, start, end, count in (
        (MINUTE_S, from_at, to_at, 1),
        (HOUR_S, START, START + 2 * HOUR, 2),
        (DAY_S, START, START + DAY, 3),
    ):
        view = await parts.queries.metrics(webhook_id, from_at, to_at, step_s)
        assert (view.from_at, view.to_at, view.total.attempts) == (start, end, count)
