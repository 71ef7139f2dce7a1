"""Laws of uptime: every bucket is there, and the ratios are those of the buckets that are seen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.monitoring.metrics import DAY_S, HOUR_S
from monitor.domain.monitoring.status import WORST_FIRST
from monitor.domain.monitoring.uptime import (
    DAYS,
    HOURS,
    Counts,
    bucket_status,
    by_day,
    success_ratio,
    uptime_buckets,
    without_silenced,
    worst_by_day,
)
from monitor.domain.views.history import uptime_view
from monitor.domain.vocab import HealthStatus, WebhookStatus

NOW = datetime(2026, 3, 2, 12, 34, 56, tzinfo=UTC)
HOUR, DAY = timedelta(seconds=HOUR_S), timedelta(seconds=DAY_S)
THIS_HOUR, TODAY = datetime(2026, 3, 2, 12, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)

counts = st.integers(0, 10_000).flatmap(lambda n: st.builds(Counts, st.just(n), st.integers(0, n)))
hours = st.dictionaries(st.integers(0, 24 * DAYS - 1).map(lambda back: THIS_HOUR - HOUR * back), counts, max_size=50)


def rank(status: HealthStatus) -> int:
    return WORST_FIRST.index(WebhookStatus(status))


@pytest.mark.parametrize(
    ("attempts", "failures", "status"),
    [
        (0, 0, "unknown"),
        (1, 0, "healthy"),
        (1, 1, "unavailable"),
        (101, 1, "healthy"),
        (100, 1, "degraded"),
        (100, 49, "degraded"),
        (100, 50, "unavailable"),
    ],
)
def test_the_status_of_a_bucket_follows_its_share_of_failures(attempts: int, failures: int, status: str) -> None:
    assert bucket_status(Counts(attempts, failures)) == status


@given(hours)
def test_a_strip_has_every_hour_and_day_up_to_the_current_ones(found: dict[datetime, Counts]) -> None:
    """Law: 72 hours and 90 days, each right after the one before, with the attempts of that time and no others."""
    view = uptime_view(NOW, found, by_day(found))
    for buckets, n, width, last in ((view.hours, HOURS, HOUR, THIS_HOUR), (view.days, DAYS, DAY, TODAY)):
        assert [bucket.at for bucket in buckets] == [last - width * back for back in reversed(range(n))]
    assert [Counts(day.attempts, day.failures) for day in view.days] == [
        by_day(found).get(day.at, Counts()) for day in view.days
    ]


@given(hours)
def test_the_worst_status_of_a_day_is_that_of_its_worst_hour(found: dict[datetime, Counts]) -> None:
    """Law: no hour of a day is worse than its worst status, and one is that bad, or the day as a whole."""
    for day in uptime_view(NOW, found, by_day(found)).days:
        statuses = [bucket_status(at_hour) for at, at_hour in found.items() if at.date() == day.at.date()]
        seen = [status for status in statuses if status is not HealthStatus.UNKNOWN]
        assert day.worst in {*seen, day.status}
        assert all(rank(day.worst) <= rank(status) for status in seen)


@given(st.lists(counts, max_size=90))
def test_a_success_ratio_is_that_of_all_attempts_together(found: list[Counts]) -> None:
    """Law: a bucket weighs by its attempts."""
    starts = [TODAY - DAY * back for back in range(len(found))]
    buckets = uptime_buckets(dict(zip(starts, found, strict=True)), TODAY, DAY, DAYS)
    attempts, failures = sum(one.attempts for one in found), sum(one.failures for one in found)
    assert success_ratio(buckets) == (pytest.approx(1 - failures / attempts, abs=1e-6) if attempts else None)


def test_ratios_are_of_the_last_day_week_month_and_quarter() -> None:
    days = {TODAY - DAY * back: Counts(100, failures) for back, failures in ((0, 0), (6, 50), (29, 25), (89, 25))}
    # The hour before the last 24 is left out of them.
    view = uptime_view(NOW, {THIS_HOUR: Counts(4, 1), THIS_HOUR - HOUR * 24: Counts(4, 4)}, days)
    ratios = view.success_ratios
    assert (ratios.last_24h, ratios.last_7d, ratios.last_30d, ratios.last_90d) == (0.75, 0.75, 0.75, 0.75)
    assert uptime_view(NOW, {}, {}).success_ratios.last_90d is None


def test_a_day_whose_hours_are_past_retention_is_as_bad_as_it_was() -> None:
    (day,) = uptime_buckets({TODAY: Counts(10, 9)}, TODAY, DAY, 1, worst_by_day({}))
    assert day.worst is HealthStatus.UNAVAILABLE


@given(hours, hours)
def test_silenced_attempts_are_left_out_and_shown(
    counted: dict[datetime, Counts], silenced: dict[datetime, Counts]
) -> None:
    """Law: with all that was silenced added before, the uptime is that of the others."""
    both = {
        at: Counts(
            counted.get(at, Counts()).attempts + silenced.get(at, Counts()).attempts,
            counted.get(at, Counts()).failures + silenced.get(at, Counts()).failures,
        )
        for at in counted.keys() | silenced.keys()
    }
    view = uptime_view(NOW, both, by_day(both), silenced)
    alone = uptime_view(NOW, counted, by_day(counted))
    assert view.success_ratios == alone.success_ratios
    for buckets, others, inside in ((view.hours, alone.hours, silenced), (view.days, alone.days, by_day(silenced))):
        assert [(b.attempts, b.failures, b.worst) for b in buckets] == [
            (b.attempts, b.failures, b.worst) for b in others
        ]
        assert [b.silenced for b in buckets] == [inside.get(b.at, Counts()).attempts for b in buckets]


def test_rollups_that_lack_silenced_attempts_are_not_negative() -> None:
    assert without_silenced({NOW: Counts(3, 2)}, {NOW: Counts(4, 1)}) == {NOW: Counts(0, 0)}
    assert without_silenced({NOW: Counts(5, 5)}, {NOW: Counts(1, 0)}) == {NOW: Counts(4, 4)}
