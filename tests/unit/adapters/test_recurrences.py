"""Occurrences of silences, against python-dateutil's own time zones."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise, takewhile
from zoneinfo import available_timezones

import pytest
from dateutil import tz
from dateutil.rrule import rrulestr
from hypothesis import given
from hypothesis import strategies as st

from monitor.adapters.recurrences import expand
from monitor.domain.alerts.recurrence import MAX_INTERVALS, Recurrence, rule_errors
from monitor.domain.alerts.silences import Silence, SilenceSpec, advance, plan_silence
from monitor.domain.errors import Invalid
from tests.unit.domain.alerts.alert_stories import WEBHOOK

DAY = timedelta(days=1)
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "Pacific/Apia",
    "America/St_Johns",
]
WEEKDAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]


def starts(rrule: str, zone: str, first: datetime, n: int = 5) -> list[str]:
    """Return the first occurrences in UTC."""
    found = islice(expand(Recurrence(rrule, zone), first), n)
    return [at.astimezone(UTC).isoformat(timespec="minutes") for at in found]


def local(zone: str, *of: int) -> datetime:
    return datetime(*of, tzinfo=tz.gettz(zone))  # type: ignore[arg-type, misc]


@pytest.mark.parametrize(
    ("rrule", "zone", "first", "expected"),
    [
        # The clock goes from 02:00 to 03:00 on 28 March 2027: 02:30 has the offset from before.
        (
            "FREQ=DAILY",
            "Europe/Berlin",
            (2027, 3, 27, 2, 30),
            ["2027-03-27T01:30+00:00", "2027-03-28T01:30+00:00", "2027-03-29T00:30+00:00"],
        ),
        # From 03:00 back to 02:00 on 31 October 2027: the first 02:30 is meant.
        (
            "FREQ=DAILY",
            "Europe/Berlin",
            (2027, 10, 30, 2, 30),
            ["2027-10-30T00:30+00:00", "2027-10-31T00:30+00:00", "2027-11-01T01:30+00:00"],
        ),
        # 02:30 and 03:30 are one moment there: it occurs once.
        (
            "FREQ=DAILY;BYHOUR=2,3",
            "America/New_York",
            (2027, 3, 14, 1, 30),
            ["2027-03-14T07:30+00:00", "2027-03-15T06:30+00:00", "2027-03-15T07:30+00:00"],
        ),
        ("FREQ=YEARLY", "UTC", (2028, 2, 29, 0, 0), ["2028-02-29T00:00+00:00", "2032-02-29T00:00+00:00"]),
        (
            "FREQ=MONTHLY;BYMONTHDAY=-1",
            "Asia/Kolkata",
            (2028, 2, 1, 0, 0),
            ["2028-02-28T18:30+00:00", "2028-03-30T18:30+00:00"],
        ),
        ("FREQ=DAILY;COUNT=2", "UTC", (2027, 1, 1, 0, 0), ["2027-01-01T00:00+00:00", "2027-01-02T00:00+00:00"]),
        (
            "FREQ=DAILY;UNTIL=20270102T000000Z",
            "UTC",
            (2027, 1, 1, 0, 0),
            ["2027-01-01T00:00+00:00", "2027-01-02T00:00+00:00"],
        ),
    ],
)
def test_occurrences_keep_their_local_time(rrule: str, zone: str, first: tuple[int, ...], expected: list[str]) -> None:
    found = starts(rrule, zone, local(zone, *first))
    assert found == expected if "COUNT" in rrule or "UNTIL" in rrule else found[: len(expected)] == expected


@pytest.mark.parametrize("name", ["Europe/Nowhere", "../../etc/passwd", "Europe", "", "/UTC", "Europe/Berlin\x00"])
def test_a_zone_that_is_not_known_is_refused(name: str) -> None:
    with pytest.raises(Invalid) as refused:
        expand(Recurrence("FREQ=DAILY", name), datetime(2027, 1, 1, tzinfo=UTC))
    assert [error.pointer for error in refused.value.errors] == ["/recurrence/timezone"]


@st.composite
def rules(draw: st.DrawFn) -> str:
    freq = draw(st.sampled_from(sorted(MAX_INTERVALS)))
    parts = [f"FREQ={freq}", f"INTERVAL={draw(st.integers(1, MAX_INTERVALS[freq]))}"]
    days = draw(st.lists(st.sampled_from(WEEKDAYS), max_size=3, unique=True))
    if days and freq != "DAILY":
        number = draw(st.sampled_from(["", "1", "-1", "5"])) if freq in ("MONTHLY", "YEARLY") else ""
        parts.append("BYDAY=" + ",".join(number + day for day in days))
    elif freq in ("MONTHLY", "YEARLY") and (
        month_days := draw(st.lists(st.integers(-31, 31).filter(bool), max_size=2))
    ):
        parts.append("BYMONTHDAY=" + ",".join(map(str, month_days)))
    if freq == "YEARLY" and (months := draw(st.lists(st.integers(1, 12), max_size=3, unique=True))):
        parts.append("BYMONTH=" + ",".join(map(str, months)))
    if hours := draw(st.lists(st.integers(0, 23), max_size=3, unique=True)):
        parts.append("BYHOUR=" + ",".join(map(str, hours)))
    if draw(st.booleans()):
        parts.append(f"COUNT={draw(st.integers(1, 20))}")
    return ";".join(parts)


accepted = rules().filter(lambda rule: not list(rule_errors(rule)))
zones = st.sampled_from(ZONES) | st.sampled_from(sorted(available_timezones() - {"localtime", "Factory"}))
firsts = st.integers(0, 6 * 366 * 86_400).map(lambda s: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=s))


def by_dateutil(rrule: str, zone: str, first: datetime) -> Iterator[datetime]:
    """Yield the occurrences as dateutil computes them with a zone of its own."""
    known = tz.gettz(zone)
    latest = None
    for at in rrulestr(rrule, dtstart=first.astimezone(known)):
        utc = tz.resolve_imaginary(at.replace(fold=0)).astimezone(UTC)
        if latest is None or utc > latest:
            yield utc
            latest = utc


@given(accepted, zones, firsts, st.integers(0, 400))
def test_what_is_active_is_what_dateutil_expands(rrule: str, zone: str, first: datetime, days: int) -> None:
    """However late the job is, the stored occurrences are those of dateutil that are not over."""
    duration = timedelta(minutes=30)
    spec = SilenceSpec(
        reason="Maintenance.", webhook_id=WEBHOOK, starts_at=first, duration_s=1800, recurrence=Recurrence(rrule, zone)
    )
    bound = first + timedelta(days=5 * 366)
    expected = list(islice(takewhile(lambda at: at < bound, by_dateutil(rrule, zone, first)), 8))
    try:
        silence = plan_silence(spec, first, expand, id_=WEBHOOK, created_by="ada")
    except Invalid as refused:
        assert not expected or [e.pointer for e in refused.errors] == ["/duration_s"]  # noqa: PT017 - either is right
        return
    assert [window.starts_at for window in silence.windows()] == expected
    now = first + days * DAY
    later = advance(silence, now, expand)
    left = islice(
        (at for at in takewhile(lambda at: at < bound, by_dateutil(rrule, zone, first)) if at + duration > now), 8
    )
    assert [window.starts_at for window in later.windows() if window.ends_at > now] == list(left)
    assert advance(later, now, expand) == later
    for window in later.windows():
        for at in (window.starts_at, window.ends_at - timedelta(microseconds=1)):
            assert later.is_active(at)
    assert_quiet_between(later)


def assert_quiet_between(silence: Silence) -> None:
    windows = list(silence.windows())
    for one, other in pairwise(windows):
        assert silence.is_active(one.ends_at) is (one.ends_at >= other.starts_at)
