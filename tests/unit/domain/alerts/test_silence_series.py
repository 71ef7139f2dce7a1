"""When silences are active: later, for a while, repeating; and what they hold and leave out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from monitor.domain.alerts import AlertKind, Silence, SilenceSpec
from monitor.domain.alerts.recurrence import Recurrence
from monitor.domain.alerts.silences import (
    AHEAD,
    MAX_DURATION,
    MAX_SERIES,
    Hold,
    SilenceState,
    Window,
    advance,
    end_occurrence,
    hold_of,
    plan_silence,
)
from monitor.domain.errors import Invalid
from monitor.domain.views.silences import occurrences_of, silence_view
from tests.unit.domain.alerts.alert_stories import NOW, WEBHOOK

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MOMENT = timedelta(microseconds=1)
DAILY = Recurrence("FREQ=DAILY", "UTC")
ONCE = Recurrence("FREQ=DAILY;COUNT=1", "UTC")


def daily(recurrence: Recurrence, first: datetime) -> Iterator[datetime]:
    """Every day from *first* on, as often as the rule's COUNT says."""
    _, counted, count = recurrence.rrule.partition("COUNT=")
    n = 0
    while not counted or n < int(count):
        yield first + n * DAY
        n += 1


def plan(**changes: Any) -> Silence:
    members: dict[str, Any] = {"reason": "Maintenance.", "webhook_id": WEBHOOK, "duration_s": 3600} | changes
    return plan_silence(SilenceSpec(**members), NOW, daily, id_=UUID(int=1), created_by="ada")


def series(**changes: Any) -> Silence:
    return plan(recurrence=DAILY, starts_at=NOW + HOUR, **changes)


@pytest.mark.parametrize(
    ("changes", "window"),
    [
        ({}, Window(NOW, NOW + HOUR)),
        ({"starts_at": NOW - DAY}, Window(NOW, NOW + HOUR)),
        ({"starts_at": NOW + HOUR}, Window(NOW + HOUR, NOW + 2 * HOUR)),
        ({"starts_at": NOW + HOUR, "duration_s": None, "ends_at": NOW + DAY}, Window(NOW + HOUR, NOW + DAY)),
        ({"duration_s": None, "ends_at": NOW + MAX_DURATION}, Window(NOW, NOW + MAX_DURATION)),
    ],
)
def test_a_silence_that_does_not_repeat_has_one_occurrence(changes: dict[str, Any], window: Window) -> None:
    planned = plan(**changes)
    assert list(planned.windows()) == [window]
    assert planned.advance_at == (window.starts_at if window.starts_at > NOW else window.ends_at)
    assert advance(planned, window.ends_at, daily).advance_at is None


@pytest.mark.parametrize(
    ("changes", "pointers"),
    [
        ({"ends_at": NOW + HOUR}, ["/ends_at"]),
        ({"duration_s": None}, ["/ends_at"]),
        ({"starts_at": NOW + MAX_DURATION + MOMENT}, ["/starts_at"]),
        ({"starts_at": NOW + MAX_DURATION}, ["/duration_s"]),
        ({"starts_at": NOW + HOUR, "duration_s": None, "ends_at": NOW + HOUR}, ["/ends_at"]),
        ({"webhook_id": None, "kind": AlertKind.VOLUME, "hold_deliveries": True}, ["/hold_deliveries"]),
        ({"recurrence": DAILY, "duration_s": None}, ["/duration_s"]),
        ({"recurrence": DAILY, "starts_at": NOW - MAX_DURATION - MOMENT}, ["/starts_at"]),
        ({"recurrence": DAILY, "starts_at": NOW + MAX_DURATION + MOMENT}, ["/starts_at"]),
        ({"recurrence": DAILY, "ends_at": NOW}, ["/ends_at"]),
        ({"recurrence": DAILY, "ends_at": NOW + MAX_SERIES + MOMENT}, ["/ends_at"]),
        ({"recurrence": Recurrence("FREQ=HOURLY", "UTC")}, ["/recurrence/rrule"]),
        ({"recurrence": DAILY, "duration_s": 86_401}, ["/duration_s"]),
        ({"recurrence": ONCE, "starts_at": NOW - DAY}, ["/recurrence/rrule"]),
    ],
)
def test_every_broken_rule_of_time_is_named(changes: dict[str, Any], pointers: list[str]) -> None:
    with pytest.raises(Invalid) as refused:
        plan(**changes)
    assert [error.pointer for error in refused.value.errors] == pointers


def test_a_day_may_repeat_every_day() -> None:
    assert plan(recurrence=DAILY, duration_s=86_400).is_active(NOW + 3 * DAY)


def test_a_series_has_its_next_occurrences_in_store() -> None:
    planned = series()
    assert [window.starts_at for window in planned.windows()] == [NOW + HOUR + n * DAY for n in range(AHEAD)]
    assert (planned.ends_at, planned.advance_at) == (NOW + MAX_SERIES, NOW + HOUR)
    states = [planned.state(NOW + after) for after in (HOUR - MOMENT, HOUR, 2 * HOUR - MOMENT, 2 * HOUR, DAY + HOUR)]
    assert states == ["scheduled", "active", "active", "scheduled", "active"]
    assert planned.matches(WEBHOOK, {}, AlertKind.FAILING, NOW + HOUR)
    assert not planned.matches(WEBHOOK, {}, AlertKind.FAILING, NOW)


def test_advancing_keeps_the_latest_occurrence_that_ended_and_fills_up() -> None:
    later = advance(series(), NOW + 2 * DAY, daily)
    assert [window.starts_at for window in later.windows()] == [NOW + HOUR + n * DAY for n in range(1, AHEAD + 2)]
    assert later.advance_at == NOW + 2 * DAY + HOUR
    assert advance(later, NOW + 2 * DAY, daily) == later
    active = advance(later, NOW + 2 * DAY + HOUR, daily)
    assert active.advance_at == NOW + 2 * DAY + 2 * HOUR


def test_a_series_without_another_occurrence_ends_with_its_last() -> None:
    counted = plan(recurrence=Recurrence("FREQ=DAILY;COUNT=3", "UTC"))
    bounded = plan(recurrence=DAILY, ends_at=NOW + 2 * DAY + HOUR / 2)
    assert (counted.ends_at, bounded.ends_at) == (NOW + 2 * DAY + HOUR, NOW + 2 * DAY + HOUR / 2)
    assert [len(list(one.windows())) for one in (counted, bounded)] == [3, 3]
    assert counted.state(counted.ends_at) is SilenceState.ENDED
    assert advance(counted, NOW + 9 * DAY, daily).advance_at is None


def test_a_late_job_finds_no_occurrence_and_changes_nothing_else() -> None:
    # Nothing is in store any more: scheduled until the job has run.
    late = NOW + 20 * DAY
    assert series().state(late) is SilenceState.SCHEDULED
    assert silence_view(series(), late).next_starts_at is None
    assert advance(series(), late, daily).window(late) == Window(late + HOUR, late + 2 * HOUR)


def test_an_occurrence_ends_early_and_the_others_stay() -> None:
    at = NOW + HOUR + HOUR / 2
    cut = end_occurrence(series(), at, daily)
    assert (cut.is_active(at), cut.is_active(at - MOMENT), cut.is_active(at + DAY)) == (False, True, True)
    assert cut.advance_at == NOW + HOUR + DAY
    assert end_occurrence(cut, at, daily) is cut
    assert not advance(cut, at + MOMENT, daily).is_active(at + MOMENT)
    last = end_occurrence(plan(recurrence=ONCE), NOW + MOMENT, daily)
    assert last.state(NOW + MOMENT) is SilenceState.ENDED


def test_a_silence_of_the_version_before_is_active_from_its_creation() -> None:
    old = Silence(id=UUID(int=1), created_by="ada", created_at=NOW, reason="Maintenance.", ends_at=NOW + HOUR)
    assert old.window(NOW) == Window(NOW, NOW + HOUR)
    assert silence_view(old, NOW).starts_at == NOW


@pytest.mark.parametrize(
    ("now", "hold"),
    [
        (NOW, Hold()),
        (NOW + HOUR, Hold(until=NOW + 2 * HOUR)),
        (NOW + 2 * HOUR, Hold(ended_at=NOW + 2 * HOUR)),
        (NOW + HOUR + DAY, Hold(until=NOW + 2 * HOUR + DAY, ended_at=NOW + 2 * HOUR)),
    ],
)
def test_deliveries_are_held_while_a_silence_is_active(now: datetime, hold: Hold) -> None:
    holding = replace(series(hold_deliveries=True), kind=AlertKind.LATENCY)
    assert hold_of([holding, series()], WEBHOOK, {}, now) == hold
    assert hold_of([holding], UUID(int=9), {}, now) == Hold()


def test_a_silence_is_shown_with_its_state_and_its_next_occurrence() -> None:
    view = silence_view(series(), NOW + HOUR, matches=2, webhook_name="orders")
    assert (view.state, view.active, view.active_until, view.next_starts_at) == (
        "active", True, NOW + 2 * HOUR, NOW + HOUR + DAY
    )  # fmt: skip
    assert (view.recurrence, view.matches, view.webhook_name) == (DAILY, 2, "orders")
    later = silence_view(plan(starts_at=NOW + HOUR), NOW)
    assert (later.state, later.active, later.active_until, later.next_starts_at) == (
        "scheduled", False, None, NOW + HOUR
    )  # fmt: skip
    over = silence_view(plan(), NOW + HOUR)
    assert (over.state, over.active_until, over.next_starts_at) == ("ended", None, None)


def test_a_preview_has_occurrences_in_local_time() -> None:
    shown = occurrences_of(series(), daily)
    assert len(shown) == AHEAD
    assert (shown[0].starts_at, shown[0].local_ends_at) == (NOW + HOUR, NOW + 2 * HOUR)
    assert len(occurrences_of(plan(), daily)) == 1


def test_occurrences_that_begin_after_the_end_of_a_series_are_none() -> None:
    ended = replace(series(), ends_at=NOW + DAY)
    assert [window.starts_at for window in series().windows()][:2] == [NOW + HOUR, NOW + DAY + HOUR]
    assert list(ended.windows()) == [Window(NOW + HOUR, NOW + 2 * HOUR)]
    assert ended.window(NOW + DAY) is None
