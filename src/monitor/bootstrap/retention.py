"""Retention from the settings. Light to import, for `monitor migrate`."""

from __future__ import annotations

from monitor.adapters.postgres.maintenance.partitions import Retention
from monitor.settings.schema import Settings


def retention(settings: Settings) -> Retention:
    """Return the configured retention."""
    days = settings.retention
    return Retention(days.events_d, days.deliveries_d, days.attempts_d, days.minutes_d, days.hours_d, days.days_d)
