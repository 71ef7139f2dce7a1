"""What the controllers call. Built by the composition root."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from monitor.domain.ports.queries.alerts import AlertQueries
from monitor.domain.ports.queries.dashboard import DashboardQueries
from monitor.domain.ports.queries.resources import Queries
from monitor.domain.services.alerts import Triage
from monitor.domain.services.attempts import Measurer
from monitor.domain.services.publish import Publisher
from monitor.domain.services.replays import Replayer
from monitor.domain.services.webhooks import Registry
from monitor.http.responses.cached import CachedViews


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
