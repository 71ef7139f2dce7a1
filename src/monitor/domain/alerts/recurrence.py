"""
Recurrence: when a silence repeats, as a rule of RFC 5545 and a time zone.

A subset of the RFC, in which every rule that is accepted matches again within decades: so the search for the next
occurrence ends. The 30th of every twelfth month from February on would be looked for until the year 9999.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from monitor.domain.errors import FieldError
from monitor.domain.text import LINE

MAX_COUNT = 1_000
MAX_INTERVALS = {"DAILY": 366, "WEEKLY": 52, "MONTHLY": 11, "YEARLY": 1}
"""Months that are 12 apart may all lack a day, and years that are 2 or 4 apart the 29th of February."""

MAX_HOURS = 4
"""A year of daily rules has at most so many times 366 occurrences to walk over."""

_DAYS_OF_MONTH = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}
_LONGEST_MONTH = 31
_WEEKS_OF_MONTH, _WEEKS_OF_YEAR = 5, 53

_NAMES = (
    "FREQ", "INTERVAL", "BYDAY", "BYMONTHDAY", "BYMONTH", "BYHOUR", "BYMINUTE", "WKST", "COUNT", "UNTIL",
)  # fmt: skip
_NUMBER = re.compile(r"[+-]?[0-9]{1,4}")
_WEEKDAY = re.compile(r"([+-]?[0-9]{1,2})?(MO|TU|WE|TH|FR|SA|SU)")
_UNTIL = "%Y%m%dT%H%M%SZ"

RULE_POINTER = "/recurrence/rrule"


class Recurrence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    When a silence repeats. ``rrule`` is a rule of RFC 5545 such as ``FREQ=WEEKLY;BYDAY=TU,TH``: ``FREQ`` of ``DAILY``,
    ``WEEKLY``, ``MONTHLY`` or ``YEARLY``, with ``INTERVAL``, ``BYDAY``, ``BYMONTHDAY``, ``BYMONTH``, ``BYHOUR``,
    ``BYMINUTE``, ``WKST``, and ``COUNT`` or ``UNTIL``. What it leaves out is that of ``starts_at``.

    Occurrences begin at the same local time in ``timezone``. A local time that a clock change leaves out is read with
    the offset before the change, and of one that comes twice the first is meant, as RFC 5545 says.
    """

    rrule: Annotated[str, Meta(min_length=10, max_length=200, extra_json_schema=LINE)]
    timezone: Annotated[
        str,
        Meta(min_length=1, max_length=64, description="An IANA name, such as Europe/Berlin.", extra_json_schema=LINE),
    ]


Expand = Callable[[Recurrence, datetime], Iterator[datetime]]
"""Returns the starts of the occurrences from a time on, ascending, each in the zone of the recurrence, without bound
unless the rule has one. Raises ``Invalid`` for an unknown zone."""


class _Part(Exception):
    """What is wrong with one part of a rule."""


def rule_errors(rrule: str) -> Iterator[FieldError]:
    """Yield what is wrong with *rrule*, at most one error."""
    try:
        _check(_parts(rrule))
    except _Part as error:
        yield FieldError(RULE_POINTER, str(error))


def split_until(rrule: str) -> tuple[str, datetime | None]:
    """Return a checked rule without ``UNTIL``, and that time: the last at which an occurrence may begin."""
    parts = _parts(rrule)
    until = parts.pop("UNTIL", None)
    rule = ";".join(f"{name}={value}" for name, value in parts.items())
    return rule, None if until is None else _time(until)


def _parts(rrule: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for part in rrule.upper().split(";"):
        name, equals, value = part.partition("=")
        if name not in _NAMES or not equals or not value:
            raise _Part(f"Write parts such as FREQ=DAILY with ; between them, of {', '.join(_NAMES)}.")
        if name in parts:
            raise _Part(f"{name} stands there twice.")
        parts[name] = value
    return parts


def _check(parts: dict[str, str]) -> None:
    freq = parts.get("FREQ", "")
    if freq not in MAX_INTERVALS:
        raise _Part(f"FREQ is one of {', '.join(MAX_INTERVALS)}.")
    interval = _numbers(parts, "INTERVAL", 1, MAX_INTERVALS[freq], at_most=1)
    if "COUNT" in parts and "UNTIL" in parts:
        raise _Part("Give COUNT or UNTIL, not both.")
    _numbers(parts, "COUNT", 1, MAX_COUNT, at_most=1)
    if "UNTIL" in parts:
        _time(parts["UNTIL"])
    _numbers(parts, "BYHOUR", 0, 23, at_most=MAX_HOURS)
    _numbers(parts, "BYMINUTE", 0, 59, at_most=1)
    if parts.get("WKST", "MO") not in ("MO", "SU"):
        raise _Part("WKST is MO or SU.")
    if "BYMONTH" in parts and freq != "YEARLY":
        raise _Part("BYMONTH goes with FREQ=YEARLY.")
    if "BYMONTHDAY" in parts and freq not in ("MONTHLY", "YEARLY"):
        raise _Part("BYMONTHDAY goes with FREQ=MONTHLY and FREQ=YEARLY.")
    if "BYDAY" in parts and freq == "DAILY" and interval not in ([], [1]):
        raise _Part("BYDAY goes with FREQ=DAILY only every day: use FREQ=WEEKLY.")
    _check_days(parts, freq)


def _check_days(parts: dict[str, str], freq: str) -> None:
    months = _numbers(parts, "BYMONTH", 1, 12)
    days = _numbers(parts, "BYMONTHDAY", -_LONGEST_MONTH, _LONGEST_MONTH, without=(0,))
    longest = max((_DAYS_OF_MONTH.get(month, _LONGEST_MONTH) for month in months), default=_LONGEST_MONTH)
    if any(abs(day) > longest for day in days):
        raise _Part("BYMONTHDAY names a day that the months lack.")
    numbered = []
    for text in parts["BYDAY"].split(",") if "BYDAY" in parts else ():
        found = _WEEKDAY.fullmatch(text)
        if found is None:
            raise _Part(
                "BYDAY is a list of MO, TU, WE, TH, FR, SA and SU, with a number before it for the nth of a month."
            )
        if found[1] is not None:
            numbered.append(int(found[1]))
    if not numbered:
        return
    if freq in ("DAILY", "WEEKLY"):
        raise _Part("A number in BYDAY goes with FREQ=MONTHLY and FREQ=YEARLY.")
    if days:
        raise _Part("A number in BYDAY does not go with BYMONTHDAY.")
    most = _WEEKS_OF_YEAR if freq == "YEARLY" and not months else _WEEKS_OF_MONTH
    if any(not 1 <= abs(number) <= most for number in numbered):
        raise _Part(f"A number in BYDAY is 1 to {most}, or -1 to -{most}.")


def _numbers(
    parts: dict[str, str], name: str, low: int, high: int, *, at_most: int = 31, without: Collection[int] = ()
) -> list[int]:
    texts = parts[name].split(",") if name in parts else []
    if len(texts) > at_most:
        raise _Part(f"{name} has at most {at_most} {'value' if at_most == 1 else 'values'}.")
    numbers = [int(text) for text in texts if _NUMBER.fullmatch(text)]
    if len(numbers) < len(texts) or any(not low <= number <= high or number in without for number in numbers):
        raise _Part(f"{name} is {low} to {high}{' without 0' if without else ''} here.")
    return numbers


def _time(until: str) -> datetime:
    try:
        return datetime.strptime(until, _UNTIL).replace(tzinfo=UTC)
    except ValueError:
        raise _Part("UNTIL is a time in UTC such as 20271231T225959Z.") from None
