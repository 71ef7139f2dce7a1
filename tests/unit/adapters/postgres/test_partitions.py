"""Which partitions should exist, and which may go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from monitor.adapters.postgres.maintenance.partitions import NEVER, Plan, Retention, midnight, plans
from tests import strategies as our

TODAY = datetime(2026, 3, 30, tzinfo=UTC)
DAY = timedelta(days=1)
TABLES = 9

days = our.instants.map(midnight)


def plan_of(table: str, folded: dict[str, datetime]) -> Plan:
    return next(plan for plan in plans(TODAY, Retention(), folded) if plan.table == table)


@given(days, st.integers(0, 800), st.integers(0, 800), st.booleans())
def test_partitions_lie_side_by_side_and_cover_what_is_kept(day: datetime, back: int, kept: int, monthly: bool) -> None:
    """What Plan.wanted yields has neither gaps nor overlaps, covers first to last as far as kept, expires never."""
    plan = Plan("t", day - back * DAY, day, day - kept * DAY, monthly=monthly)
    wanted = list(plan.wanted())
    assert [upper for _, _, upper in wanted[:-1]] == [lower for _, lower, _ in wanted[1:]]
    assert wanted[0][1] <= max(plan.first, plan.keep_from)
    assert wanted[-1][1] <= day < wanted[-1][2]
    assert plan.expired({name for name, _, _ in wanted}) == []


@given(days, st.integers(0, 800), st.booleans())
def test_a_partition_expires_when_all_of_it_is_past(day: datetime, ago: int, monthly: bool) -> None:
    """Plan.expired(p) iff the upper bound of p <= keep_from."""
    ((name, _, upper),) = Plan("t", day, day, NEVER, monthly=monthly).wanted()
    plan = Plan("t", day, day, day + ago * DAY, monthly=monthly)
    assert plan.expired({name, "t_default", "other_20000101"}) == ([name] if upper <= plan.keep_from else [])


def test_each_table_is_planned_once() -> None:
    tables = [plan.table for plan in plans(TODAY, Retention(), {})]
    assert len(tables) == len(set(tables)) == TABLES


def test_hours_have_partitions_for_whatever_minutes_are_folded() -> None:
    names = [name for name, _, _ in plan_of("rollups_hour", {"hour": TODAY, "day": TODAY}).wanted()]
    assert names == ["rollups_hour_202603", "rollups_hour_202604"]


def test_nothing_goes_before_the_next_level_holds_it() -> None:
    stale = TODAY - 60 * DAY
    for table, folded, keep_from in (
        ("rollups_minute", {}, NEVER),
        ("rollups_minute", {"hour": TODAY}, TODAY - 14 * DAY),
        ("rollups_minute", {"hour": stale + timedelta(hours=5)}, stale),
        ("rollups_hour", {"hour": TODAY}, NEVER),
        ("rollups_hour", {"hour": TODAY, "day": TODAY}, TODAY - 90 * DAY),
        ("rollups_hour", {"hour": TODAY, "day": TODAY - 100 * DAY}, TODAY - 100 * DAY),
        # A late hour will change its day, which is then added up from all its hours.
        ("histograms_hour", {"hour": TODAY - 200 * DAY, "day": TODAY}, TODAY - 200 * DAY),
        ("rollups_day", {}, TODAY - 730 * DAY),
    ):
        assert plan_of(table, folded).keep_from == keep_from
