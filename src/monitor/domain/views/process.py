"""Read models of the running system: a process with its feeds and cache, and the database with its sessions."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

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


MAX_PROCESSES = 100
"""Processes that are listed."""


class ProcessSessions(msgspec.Struct, frozen=True):
    """One process of Monitor with sessions on the database; ``name`` is ``<command> <host>:<pid>``."""

    name: str
    sessions: int
    since_at: datetime


class DatabaseStats(msgspec.Struct, frozen=True, kw_only=True):
    """``schema_revision`` is null without tables. ``processes`` lists at most 100."""

    version: str
    schema_revision: str | None
    read_only: bool
    size_bytes: int
    processes: list[ProcessSessions]


class ReplicaStats(msgspec.Struct, frozen=True, kw_only=True):
    """
    The streaming replica of ``MONITOR_DB__READ_URL``, as the responding process sees it, which reads from it since it
    started. ``trouble`` is why reads do not try it at present, and null while they do. The lag is the last that was
    measured: WAL that it had not replayed, and the age of what it replayed last; null if it did not answer.
    ``passed_on`` counts the reads that the primary served instead, by the cause.
    """

    used: bool
    trouble: str | None
    lag_bytes: int | None
    lag_s: float | None
    reads: int
    passed_on: dict[str, int]


class CacheState(msgspec.Struct, frozen=True, kw_only=True):
    """``trusted`` is whether memory may be served: not while Redis cannot be heard. ``pending_invalidations`` counts
    what Redis has yet to take."""

    entries: int
    bytes: int
    trusted: bool
    pending_invalidations: int


class ProcessStatsView(msgspec.Struct, frozen=True, kw_only=True):
    """
    The responding process, of which there may be several. ``users`` lists at most 200. ``redis`` is that of the
    settings, and null without one; ``database`` is null while it is away, and ``replica`` without
    one. ``tasks`` says of each background task whether it is up, and ``retention_d`` how many days are kept, by what.
    """

    as_of: datetime
    version: str
    python: str
    redis: Literal["connected", "disconnected"] | None
    database: DatabaseStats | None
    replica: ReplicaStats | None
    tasks: dict[str, bool]
    retention_d: dict[str, int]
    cache: CacheState
    sockets: int
    users: list[SocketStats]
    views: list[CachedViewStats]
