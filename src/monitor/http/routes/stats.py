"""The state of the system that has no place in a time series: live feeds by user, the cache by view, the sessions."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from litestar import get

from monitor import __version__
from monitor.domain.errors import Unavailable
from monitor.domain.views.process import (
    MAX_USERS,
    CachedViewStats,
    CacheState,
    ProcessStatsView,
    ReplicaStats,
    SocketStats,
)
from monitor.domain.vocab import Role
from monitor.http.live import HubStatus
from monitor.http.live.hub import SocketStatus
from monitor.http.middleware.authentication import requires
from monitor.http.openapi.responses import problems
from monitor.http.routes.prometheus import CacheReport, ReplicaReport, TaskReport, ViewCounts
from monitor.http.routes.services import Injected


def stats_route(
    cache: Callable[[], CacheReport],
    hub: Callable[[], HubStatus],
    tasks: TaskReport,
    now: Callable[[], float],
    *,
    has_redis: bool,
    replica: ReplicaReport | None,
    retention_d: Mapping[str, int],
) -> Any:
    """
    Return the route.

    Args:
        now: Unix seconds.
        replica: the replica that this process reads from, if it has one.
        retention_d: days that are kept, by what.
    """

    @get(
        "/system/stats",
        tags=["system"],
        opt=requires(Role.OPERATOR),
        summary="Read the state of the system",
        description="Of the responding process: version, background tasks, open live feeds by user and since when, the"
        " cache and the hit ratio of each cached view by tier, the replica of `MONITOR_DB__READ_URL`. Of all: the"
        " database, the processes that have sessions"
        " on it, retention. Answers without the database, too. Role: operator.",
        responses=problems(400, 401, 403, 429),
    )
    async def system_stats(services: Injected) -> ProcessStatsView:
        status, counts = hub(), cache()
        try:
            database = await services.system.database()
        except Unavailable:
            database = None
        return ProcessStatsView(
            as_of=datetime.fromtimestamp(now(), UTC),
            version=__version__,
            python=platform.python_version(),
            redis=("connected" if counts.trusted else "disconnected") if has_redis else None,
            database=database,
            replica=None if replica is None else replica_stats(replica),
            tasks=dict(sorted(tasks.tasks.items())),
            retention_d=dict(retention_d),
            cache=CacheState(
                entries=counts.entries,
                bytes=counts.bytes,
                trusted=counts.trusted,
                pending_invalidations=counts.pending_invalidations,
            ),
            sockets=len(status.sockets),
            users=users_of(status.sockets),
            views=sorted(map(view_stats, counts.views), key=lambda view: (-view.reads, view.view)),
        )

    return system_stats


def replica_stats(report: ReplicaReport) -> ReplicaStats:
    """Return the figures of *report*."""
    lag = report.lag
    return ReplicaStats(
        used=report.is_used,
        trouble=report.trouble,
        lag_bytes=None if lag is None else lag.size_bytes,
        lag_s=None if lag is None else round(lag.seconds, 3),
        reads=report.served,
        passed_on=dict(sorted(report.passed_on.items())),
    )


def users_of(sockets: Iterable[SocketStatus]) -> list[SocketStats]:
    """Return the open sockets by user, the users with the most first, at most ``MAX_USERS``."""
    since: dict[str, list[datetime]] = {}
    for socket in sockets:
        since.setdefault(socket.subject, []).append(socket.since)
    users = [SocketStats(subject, len(times), min(times)) for subject, times in since.items()]
    return sorted(users, key=lambda user: (-user.sockets, user.subject))[:MAX_USERS]


def view_stats(counts: ViewCounts) -> CachedViewStats:
    """Return the ratios of *counts*."""
    hits = counts.l1_hits + counts.l2_hits + counts.stale_hits + counts.fail_safe
    reads = hits + counts.misses

    def ratio(count: int) -> float | None:
        return round(count / reads, 4) if reads else None

    return CachedViewStats(
        view=counts.view,
        reads=reads,
        hit_ratio=ratio(hits),
        memory_ratio=ratio(counts.l1_hits),
        redis_ratio=ratio(counts.l2_hits),
        stale_ratio=ratio(counts.stale_hits + counts.fail_safe),
        creations=counts.creations,
        creation_ms=round(counts.creation_s / counts.creations * 1000, 3) if counts.creations else None,
    )
