"""Figures of the responding process that have no place in a time series: its live feeds by user, its cache by view."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from litestar import get

from monitor.domain.views.process import MAX_USERS, CachedViewStats, ProcessStatsView, SocketStats
from monitor.domain.vocab import Role
from monitor.http.live import HubStatus
from monitor.http.live.hub import SocketStatus
from monitor.http.middleware.authentication import requires
from monitor.http.openapi.responses import problems
from monitor.http.routes.prometheus import CacheReport, ViewCounts


def stats_route(cache: Callable[[], CacheReport], hub: Callable[[], HubStatus], now: Callable[[], float]) -> Any:
    """
    Return the route.

    Args:
        now: Unix seconds.
    """

    @get(
        "/system/stats",
        tags=["system"],
        opt=requires(Role.OPERATOR),
        summary="Read sockets and cache",
        description="Of the responding process: open live feeds by user and since when, and the hit ratio of each"
        " cached view by tier. Answers without the database, too. Role: operator.",
        responses=problems(400, 401, 403, 429),
        sync_to_thread=False,
    )
    def system_stats() -> ProcessStatsView:
        status = hub()
        return ProcessStatsView(
            as_of=datetime.fromtimestamp(now(), UTC),
            sockets=len(status.sockets),
            users=users_of(status.sockets),
            views=sorted(map(view_stats, cache().views), key=lambda view: (-view.reads, view.view)),
        )

    return system_stats


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
