"""Occurrences of a silence, by python-dateutil and the IANA time zones of ``zoneinfo``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr

from monitor.domain.alerts.recurrence import Recurrence, split_until
from monitor.domain.errors import FieldError, Invalid


def expand(recurrence: Recurrence, first: datetime) -> Iterator[datetime]:
    """
    Expand a recurrence whose rule was checked; see :data:`monitor.domain.alerts.recurrence.Expand`.

    The rule is expanded in local time, which then gets its offset: ``fold=0`` of PEP 495 is the rule of RFC 5545 for a
    local time that does not exist, or exists twice. Where one does not exist, two local times may be one moment.
    """
    zone = _zone(recurrence.timezone)
    rule, until = split_until(recurrence.rrule)
    return _moments(rule, first.astimezone(zone).replace(tzinfo=None), zone, until)


def _moments(rule: str, first: datetime, zone: ZoneInfo, until: datetime | None) -> Iterator[datetime]:
    latest: datetime | None = None
    for local in rrulestr(rule, dtstart=first):
        at = local.replace(tzinfo=zone).astimezone(UTC)
        if until is not None and at > until:
            return
        if latest is None or at > latest:
            latest = at
            yield at.astimezone(zone)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        detail = "There is no such time zone; write an IANA name, such as Europe/Berlin."
        raise Invalid(
            "The silence breaks a rule; see errors.", errors=(FieldError("/recurrence/timezone", detail),)
        ) from None
