"""What the controllers call. Built by the composition root."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from monitor.domain.dashboard import DashboardQueries
from monitor.domain.ports import Queries
from monitor.domain.services.measure import Measurer
from monitor.domain.services.publish import Publisher
from monitor.domain.services.registry import Registry
from monitor.domain.services.replay import Replayer
from monitor.domain.services.triage import Triage
from monitor.domain.watch_ports import AlertQueries
from monitor.http.cached import CachedViews


@dataclass(frozen=True, slots=True)
class Services:
    """Everything behind the routes. ``readiness`` returns what is not ready, one line each."""

    registry: Registry
    publisher: Publisher
    measurer: Measurer
    triage: Triage
    replayer: Replayer
    queries: Queries
    alert_queries: AlertQueries
    dashboards: DashboardQueries
    views: CachedViews
    readiness: Callable[[], Awaitable[list[str]]]
