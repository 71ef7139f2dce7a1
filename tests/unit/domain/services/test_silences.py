"""Silences over fakes: created, repeated, and what they hold and leave out."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from monitor.adapters.recurrences import expand
from monitor.domain.alerts import SilenceSpec
from monitor.domain.alerts.recurrence import Recurrence
from monitor.domain.delivery.held import Held, HeldReason
from monitor.domain.delivery.lane import RELEASE_BURST
from monitor.domain.errors import Conflict
from monitor.domain.monitoring.uptime import Counts
from monitor.domain.services.silences import MAX_HOLDING, SilenceCommands
from monitor.domain.views.silences import SilenceView
from tests import samples
from tests.fakes.postgres.queries.alerts import FakeAlertQueries
from tests.fakes.postgres.queries.resources import FakeQueries
from tests.unit.domain.services.deliver_bench import Bench
from tests.unit.domain.services.test_release import claim, resume_lane

HOUR_S = 3600
WEEKLY = Recurrence("FREQ=WEEKLY", "Europe/Berlin")


def queries(bench: Bench) -> FakeQueries:
    return FakeQueries(bench.database)


def silencer(bench: Bench) -> SilenceCommands:
    return SilenceCommands(bench.unit_of_work, queries(bench), FakeAlertQueries(bench.database), bench.clock, expand)


async def silence(bench: Bench, webhook_id: UUID, **changes: Any) -> SilenceView:
    members: dict[str, Any] = {"reason": "Maintenance.", "webhook_id": webhook_id, "duration_s": HOUR_S} | changes
    return await silencer(bench).create(SilenceSpec(**members), samples.ACTOR)


async def test_a_silence_holds_deliveries_and_releases_them_at_a_bounded_rate(bench: Bench) -> None:
    webhook_id = await bench.webhook(deliveries=30)
    other = await bench.webhook(deliveries=1)
    made = await silence(bench, webhook_id, hold_deliveries=True)
    assert [one.webhook_id for one in (await claim(bench)).deliveries] == [other]
    assert (await queries(bench).webhook(webhook_id)).held == Held(HeldReason.SILENCE, made.ends_at)

    bench.clock.advance(HOUR_S)
    assert len((await claim(bench)).deliveries) == 1
    assert bench.lane(webhook_id).hold_seen_at == made.ends_at
    bench.clock.advance(HOUR_S)
    assert len((await claim(bench)).deliveries) == RELEASE_BURST
    assert (await queries(bench).webhook(webhook_id)).held is None


async def test_a_pause_that_ended_later_than_a_hold_decides_what_is_released(bench: Bench) -> None:
    webhook_id = await bench.webhook(deliveries=3)
    made = await silence(bench, webhook_id, hold_deliveries=True)
    bench.clock.advance(HOUR_S + 60)
    await resume_lane(bench, webhook_id)
    assert len((await claim(bench)).deliveries) == 1
    lane = bench.lane(webhook_id)
    assert (lane.resumed_at, lane.hold_seen_at) == (bench.clock.now(), made.ends_at)


async def test_what_waits_in_stock_when_a_silence_begins_is_not_sent(bench: Bench) -> None:
    webhook_id = await bench.webhook(deliveries=2)
    claimed = await bench.deliverer.claim(None, 10)
    await silence(bench, webhook_id, hold_deliveries=True)
    assert (await bench.deliverer.check(claimed.deliveries)).sendable == []
    assert len(bench.database.tables.deliveries) == 2


@pytest.mark.parametrize("is_inside", [False, True])
async def test_attempts_inside_a_silence_are_left_out_of_the_uptime_alone(bench: Bench, is_inside: bool) -> None:
    webhook_id = await bench.webhook(deliveries=2)
    if is_inside:
        await silence(bench, webhook_id)
    await claim(bench)
    tables = bench.database.tables
    assert sum(rollup.attempts for (id_, _), rollup in tables.minutes.items() if id_ == webhook_id) == 2
    assert list(tables.silenced_hours.values()) == ([Counts(2, 0)] if is_inside else [])
    bench.clock.advance(60)
    uptime = await queries(bench).uptime(webhook_id)
    last = uptime.hours[-1]
    assert (last.attempts, last.silenced) == ((0, 2) if is_inside else (2, 0))
    assert uptime.success_ratios.last_24h == (None if is_inside else 1.0)


async def test_a_series_is_advanced_and_each_change_invalidates(bench: Bench) -> None:
    webhook_id = await bench.webhook()
    made = await silence(bench, webhook_id, recurrence=WEEKLY)
    silences = silencer(bench)
    assert (made.state, await silences.advance_due()) == ("active", 0)
    for after_s, state in ((HOUR_S, "scheduled"), (7 * 24 * HOUR_S - HOUR_S, "active")):
        bench.clock.advance(after_s)
        assert await silences.advance_due() == 1
        assert await silences.advance_due() == 0
        assert (await FakeAlertQueries(bench.database).silence(made.id)).state == state
    await silences.run()


async def test_a_run_advances_all_that_are_due(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.domain.services.silences.ADVANCED", 1)
    made = [await silence(bench, await bench.webhook(), recurrence=WEEKLY) for _ in range(2)]
    bench.clock.advance(HOUR_S)
    await silencer(bench).run()
    views = [await FakeAlertQueries(bench.database).silence(one.id) for one in made]
    assert [view.state for view in views] == ["scheduled", "scheduled"]


async def test_an_occurrence_is_ended_once_and_the_series_goes_on(bench: Bench) -> None:
    webhook_id = await bench.webhook()
    made = await silence(bench, webhook_id, recurrence=WEEKLY)
    bench.clock.advance(60)
    for _ in range(2):
        view = await silencer(bench).end_occurrence(made.id, samples.ACTOR)
        assert (view.state, view.active_until) == ("scheduled", None)
        assert view.next_starts_at == made.next_starts_at
    once = await silence(bench, webhook_id)
    bench.clock.advance(60)
    assert (await silencer(bench).end_occurrence(once.id, samples.ACTOR)).state == "ended"
    assert (await silencer(bench).end_occurrence(once.id, samples.ACTOR)).state == "ended"
    actions = [row.action for row in bench.database.tables.audit.values() if row.action.startswith("silence.")]
    assert actions == ["silence.create", "silence.end_occurrence"] * 2


async def test_so_many_silences_hold_deliveries_and_not_one_more(bench: Bench) -> None:
    webhook_id = await bench.webhook()
    for _ in range(MAX_HOLDING):
        await silence(bench, webhook_id, hold_deliveries=True)
    with pytest.raises(Conflict):
        await silence(bench, webhook_id, hold_deliveries=True)
    await silence(bench, webhook_id)
    bench.clock.advance(HOUR_S)
    await silence(bench, webhook_id, hold_deliveries=True)


async def test_a_preview_lists_the_next_occurrences_in_local_time(bench: Bench) -> None:
    webhook_id = await bench.webhook()
    spec = SilenceSpec(reason="Maintenance.", webhook_id=webhook_id, duration_s=HOUR_S, recurrence=WEEKLY)
    preview = await silencer(bench).preview(spec)
    assert (preview.webhooks, len(preview.occurrences)) == (1, 8)
    first = preview.occurrences[0]
    assert first.local_starts_at == first.starts_at
    assert first.local_starts_at.utcoffset() == timedelta(hours=1)
    assert bench.database.tables.silences == {}
