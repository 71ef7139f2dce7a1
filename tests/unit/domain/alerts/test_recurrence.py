"""Which rules a silence may repeat by."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from monitor.domain.alerts.recurrence import MAX_COUNT, RULE_POINTER, rule_errors, split_until


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=DAILY",
        "freq=daily;interval=366",
        "FREQ=DAILY;BYDAY=MO,TU;INTERVAL=1",
        "FREQ=WEEKLY;INTERVAL=52;BYDAY=TU,TH;WKST=SU",
        "FREQ=MONTHLY;BYMONTHDAY=-1,15",
        "FREQ=MONTHLY;INTERVAL=11;BYDAY=-1SU,5MO",
        "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13",
        "FREQ=YEARLY;BYMONTH=2,3;BYMONTHDAY=31",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29",
        "FREQ=YEARLY;BYDAY=53MO,-53SU",
        "FREQ=YEARLY;BYMONTH=12;BYDAY=+5MO",
        "FREQ=DAILY;BYHOUR=0,6,12,18;BYMINUTE=30",
        f"FREQ=DAILY;COUNT={MAX_COUNT}",
        "FREQ=DAILY;UNTIL=20271231T225959Z",
    ],
)
def test_a_rule_of_the_subset_is_accepted(rule: str) -> None:
    assert list(rule_errors(rule)) == []


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("FREQ=SECONDLY", "FREQ is one of"),
        ("FREQ=MINUTELY", "FREQ is one of"),
        ("FREQ=HOURLY", "FREQ is one of"),
        ("INTERVAL=2;COUNT=3", "FREQ is one of"),
        ("RRULE:FREQ=DAILY", "Write parts"),
        ("FREQ=DAILY;", "Write parts"),
        ("FREQ=DAILY;COUNT", "Write parts"),
        ("FREQ=DAILY;BYSECOND=1", "Write parts"),
        ("FREQ=DAILY;BYSETPOS=1", "Write parts"),
        ("FREQ=DAILY;FREQ=DAILY", "FREQ stands there twice"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL is 1 to 366"),
        ("FREQ=DAILY;INTERVAL=367", "INTERVAL is 1 to 366"),
        ("FREQ=DAILY;INTERVAL=1,2", "at most 1 value."),
        ("FREQ=DAILY;INTERVAL=x", "INTERVAL is 1 to 366"),
        ("FREQ=MONTHLY;INTERVAL=12", "INTERVAL is 1 to 11"),
        ("FREQ=YEARLY;INTERVAL=2", "INTERVAL is 1 to 1"),
        ("FREQ=DAILY;COUNT=1001", "COUNT is 1 to 1000"),
        ("FREQ=DAILY;COUNT=1;UNTIL=20271231T225959Z", "COUNT or UNTIL"),
        ("FREQ=DAILY;UNTIL=20271231", "UNTIL is a time in UTC"),
        ("FREQ=DAILY;UNTIL=20271331T225959Z", "UNTIL is a time in UTC"),
        ("FREQ=DAILY;BYHOUR=24", "BYHOUR is 0 to 23"),
        ("FREQ=DAILY;BYHOUR=1,2,3,4,5", "BYHOUR has at most 4 values."),
        ("FREQ=DAILY;BYMINUTE=0,30", "BYMINUTE has at most 1 value."),
        ("FREQ=WEEKLY;WKST=TU", "WKST"),
        ("FREQ=DAILY;BYMONTH=2", "BYMONTH goes"),
        ("FREQ=WEEKLY;BYMONTHDAY=2", "BYMONTHDAY goes"),
        ("FREQ=DAILY;INTERVAL=7;BYDAY=MO", "BYDAY goes with FREQ=DAILY"),
        ("FREQ=YEARLY;BYMONTH=13", "BYMONTH is 1 to 12"),
        ("FREQ=MONTHLY;BYMONTHDAY=0", "BYMONTHDAY is -31 to 31 without 0"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "a day that the months lack"),
        ("FREQ=YEARLY;BYMONTH=4,6;BYMONTHDAY=-31", "a day that the months lack"),
        ("FREQ=WEEKLY;BYDAY=MONDAY", "BYDAY is a list"),
        ("FREQ=WEEKLY;BYDAY=1MO", "A number in BYDAY goes"),
        ("FREQ=MONTHLY;BYDAY=1MO;BYMONTHDAY=20", "does not go with BYMONTHDAY"),
        ("FREQ=MONTHLY;BYDAY=6MO", "is 1 to 5"),
        ("FREQ=MONTHLY;BYDAY=0MO", "is 1 to 5"),
        ("FREQ=YEARLY;BYDAY=54MO", "is 1 to 53"),
        ("FREQ=YEARLY;BYMONTH=2;BYDAY=6MO", "is 1 to 5"),
    ],
)
def test_a_rule_outside_the_subset_is_refused_with_the_reason(rule: str, says: str) -> None:
    [error] = rule_errors(rule)
    assert error.pointer == RULE_POINTER
    assert says in error.detail


def test_the_last_start_is_split_off_the_rule() -> None:
    assert split_until("freq=daily;until=20271231T225959z;interval=2") == (
        "FREQ=DAILY;INTERVAL=2",
        datetime(2027, 12, 31, 22, 59, 59, tzinfo=UTC),
    )
    assert split_until("FREQ=DAILY;COUNT=3") == ("FREQ=DAILY;COUNT=3", None)
