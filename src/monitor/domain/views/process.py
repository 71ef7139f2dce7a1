"""Read models of the responding process: its live feeds by user, and what its cache saves, by view."""

from __future__ import annotations

from datetime import datetime

import msgspec

MAX_USERS = 200
"""Users that are listed; those with the most sockets come first."""


class SocketStats(msgspec.Struct, frozen=True):
    """The open live feeds of one user; ``since_at`` is when the oldest was opened."""

    subject: str
    sockets: int
    since_at: datetime


class CachedViewStats(msgspec.Struct, frozen=True, kw_only=True):
    """
    Reads of one cached view since the process started, and which share of them each tier answered: memory, Redis, or a
    value past its refresh time. ``hit_ratio`` is the share that waited for no computation. Null before the first read.
    """

    view: str
    reads: int
    hit_ratio: float | None
    memory_ratio: float | None
    redis_ratio: float | None
    stale_ratio: float | None
    creations: int
    creation_ms: float | None
    """The mean of a computation; null before the first."""


class ProcessStatsView(msgspec.Struct, frozen=True, kw_only=True):
    """Sockets and cache of the responding process, of which there may be several. ``users`` lists at most 200."""

    as_of: datetime
    sockets: int
    users: list[SocketStats]
    views: list[CachedViewStats]
