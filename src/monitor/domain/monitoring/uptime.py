"""Uptime: how the attempts of each hour and day went.

Attempts are made when there are events, not at an interval, so a bucket without attempts is ``unknown`` and counts
neither as up nor as down. Attempts inside a silence are left out: what is planned is no downtime. By its attempts, a
bucket is::

    unavailable   half failed, or more
    degraded      1 in 100 failed, or more
    healthy       fewer failed
    unknown       there were none
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import msgspec

from monitor.domain.monitoring.status import WORST_FIRST
from monitor.domain.vocab import HealthStatus, WebhookStatus

HOURS, DAYS = 72, 90
"""Buckets of an uptime strip; the last one of each is the current hour or day, UTC."""

UNAVAILABLE_RATIO = 0.5
DEGRADED_RATIO = 0.01
"""Retries make up for fewer failures than this."""


class Counts(msgspec.Struct, frozen=True):
    """Attempts of one bucket, and how many failed."""

    attempts: int = 0
    failures: int = 0


NO_ATTEMPTS = Counts()


class UptimeBucket(msgspec.Struct, frozen=True):
    """One hour or day from ``at``. ``worst`` is the worst status of its hours; that of an hour is its own. ``silenced``
    attempts were made inside silences, and are not among the others."""

    at: datetime
    attempts: int
    failures: int
    success_ratio: float | None
    status: HealthStatus
    worst: HealthStatus
    silenced: int = 0


def without_silenced(counts: Mapping[datetime, Counts], silenced: Mapping[datetime, Counts]) -> dict[datetime, Counts]:
    """Return *counts* without those of *silenced*, by the start of a bucket."""
    return {at: _without(counted, silenced.get(at, NO_ATTEMPTS)) for at, counted in counts.items()}


def by_day(hours: Mapping[datetime, Counts]) -> dict[datetime, Counts]:
    """Return the sums of *hours* by the day's start, UTC."""
    days: dict[datetime, Counts] = {}
    for at, counts in hours.items():
        day = days.get(at.replace(hour=0), NO_ATTEMPTS)
        days[at.replace(hour=0)] = Counts(day.attempts + counts.attempts, day.failures + counts.failures)
    return days


def bucket_status(counts: Counts) -> HealthStatus:
    """Return the status of a bucket; see the table of this module. Total."""
    if not counts.attempts:
        return HealthStatus.UNKNOWN
    ratio = counts.failures / counts.attempts
    if ratio >= UNAVAILABLE_RATIO:
        return HealthStatus.UNAVAILABLE
    return HealthStatus.DEGRADED if ratio >= DEGRADED_RATIO else HealthStatus.HEALTHY


def worst_by_day(hours: Mapping[datetime, Counts]) -> dict[datetime, HealthStatus]:
    """Return the worst status of the hours of each day, by the day's start, UTC; days without attempts are left out."""
    found: dict[datetime, HealthStatus] = {}
    for at, counts in hours.items():
        if counts.attempts:
            day = at.replace(hour=0)
            found[day] = _worse(found.get(day, HealthStatus.HEALTHY), bucket_status(counts))
    return found


def uptime_buckets(
    counts: Mapping[datetime, Counts],
    last: datetime,
    width: timedelta,
    n: int,
    worst: Mapping[datetime, HealthStatus] | None = None,
    silenced: Mapping[datetime, Counts] | None = None,
) -> list[UptimeBucket]:
    """
    Return *n* buckets of *width*, oldest first, the last one from *last* on; those without attempts too.

    Args:
        worst: by the start of a bucket, the worst status within it.
        silenced: by the start of a bucket, what *counts* leave out.
    """
    starts = (last - width * i for i in reversed(range(n)))
    return [
        _bucket(at, counts.get(at, NO_ATTEMPTS), (worst or {}).get(at), (silenced or {}).get(at, NO_ATTEMPTS).attempts)
        for at in starts
    ]


def success_ratio(buckets: Iterable[UptimeBucket]) -> float | None:
    """Return the share of attempts that succeeded, in [0, 1], to six decimals; ``None`` without attempts."""
    attempts = failures = 0
    for bucket in buckets:
        attempts += bucket.attempts
        failures += bucket.failures
    return _ratio(Counts(attempts, failures))


def _without(counts: Counts, silenced: Counts) -> Counts:
    # Rollups may be past retention, or not be made of the newest minutes yet.
    attempts = max(counts.attempts - silenced.attempts, 0)
    return Counts(attempts, min(max(counts.failures - silenced.failures, 0), attempts))


def _bucket(at: datetime, counts: Counts, worst: HealthStatus | None, silenced: int) -> UptimeBucket:
    status = bucket_status(counts)
    # Hours may be past retention, or not be made of the newest minutes yet.
    shown = status if worst is None or not counts.attempts else _worse(status, worst)
    return UptimeBucket(at, counts.attempts, counts.failures, _ratio(counts), status, shown, silenced)


def _worse(one: HealthStatus, other: HealthStatus) -> HealthStatus:
    return min(one, other, key=lambda status: WORST_FIRST.index(WebhookStatus(status)))


def _ratio(counts: Counts) -> float | None:
    return round(1 - counts.failures / counts.attempts, 6) if counts.attempts else None
