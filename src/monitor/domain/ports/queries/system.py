"""Reads about the system itself: what happened lately, and the state of the database."""

from __future__ import annotations

from typing import Protocol

from monitor.domain.views.activity import ActivityKind, ActivityView
from monitor.domain.views.process import DatabaseStats


class SystemQueries(Protocol):
    """Reads that no resource has."""

    async def activity(self, *, kind: ActivityKind | None, limit: int) -> list[ActivityView]:
        """Return the newest *limit* changes, newest first; *kind* of ``None`` includes all."""
        ...

    async def database(self) -> DatabaseStats:
        """Return the state of the database, and the processes that have sessions on it."""
        ...
