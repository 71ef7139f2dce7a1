"""Live feeds by user and cached views by tier."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from monitor.cache.stats import Source, ViewStats
from monitor.domain.views.process import MAX_USERS, SocketStats
from monitor.http.live.hub import SocketStatus
from monitor.http.routes.stats import users_of, view_stats

AT = datetime(2026, 3, 2, tzinfo=UTC)


def socket(subject: str, minutes: int) -> SocketStatus:
    return SocketStatus(subject, AT + timedelta(minutes=minutes), 0, congested=False)


def test_a_user_is_listed_once_with_the_oldest_socket() -> None:
    sockets = [socket("ada", 3), socket("grace", 1), socket("grace", 2), socket("bob", 0)]
    assert users_of(sockets) == [
        SocketStats("grace", 2, AT + timedelta(minutes=1)),
        SocketStats("ada", 1, AT + timedelta(minutes=3)),
        SocketStats("bob", 1, AT),
    ]
    assert users_of([]) == []


def test_the_list_of_users_is_bounded() -> None:
    users = users_of([socket(f"user-{i:04}", i) for i in range(MAX_USERS + 50)])
    assert len(users) == MAX_USERS


@given(st.lists(st.sampled_from(Source), max_size=60))
def test_the_tiers_share_all_reads(reads: list[Source]) -> None:
    """Law: the ratios of the tiers add up to the hit ratio, and the rest waited for a computation."""
    counted = ViewStats("overview")
    for source in reads:
        counted.count(source)
    stats = view_stats(counted)
    assert (stats.view, stats.reads) == ("overview", len(reads))
    if not reads:
        assert stats.hit_ratio is stats.memory_ratio is stats.redis_ratio is stats.stale_ratio is None
        return
    assert stats.hit_ratio is not None
    parts = (stats.memory_ratio or 0.0, stats.redis_ratio or 0.0, stats.stale_ratio or 0.0)
    assert abs(stats.hit_ratio - sum(parts)) < 1e-3
    assert abs(stats.hit_ratio - (1 - reads.count(Source.CREATED) / len(reads))) < 1e-3


def test_a_computation_takes_its_mean_time() -> None:
    assert view_stats(ViewStats("overview")).creation_ms is None
    assert view_stats(ViewStats("overview", creations=4, creation_s=0.1)).creation_ms == 25.0
