"""Retention of events: until when what a webhook missed is still stored."""

from __future__ import annotations

from datetime import datetime, timedelta

EVENTS_KEPT_S = 30 * 86_400.0
"""Retention of events, unless settings override it."""


def kept_until(accepted_at: datetime | None, events_kept_s: float) -> datetime | None:
    """Return when an event that was accepted at *accepted_at* reaches retention; ``None`` if that is unknown."""
    return None if accepted_at is None else accepted_at + timedelta(seconds=events_kept_s)
