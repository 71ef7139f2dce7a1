"""What the controllers call. Built by the composition root."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from litestar import Request
from litestar.di import NamedDependency

from monitor.domain.ports.queries.alerts import AlertQueries
from monitor.domain.ports.queries.dashboard import DashboardQueries
from monitor.domain.ports.queries.resources import Queries
from monitor.domain.ports.queries.system import SystemQueries
from monitor.domain.services.alert_details import AlertDetails
from monitor.domain.services.alerts import AlertCommands
from monitor.domain.services.attempts import AttemptRecorder
from monitor.domain.services.backlogs import BacklogCommands
from monitor.domain.services.bulk import BulkCommands
from monitor.domain.services.exchanges import ExchangeReader
from monitor.domain.services.jobs import JobCommands
from monitor.domain.services.publish import Publisher
from monitor.domain.services.replays import ReplayCommands
from monitor.domain.services.resends import ResendCommands
from monitor.domain.services.silences import SilenceCommands
from monitor.domain.services.tokens import TokenCommands
from monitor.domain.services.webhooks import WebhookCommands
from monitor.http.responses.cached import CachedViews


@dataclass(frozen=True, slots=True)
class Services:
    """Everything behind the routes. ``readiness`` returns what is not ready, one line each."""

    registry: WebhookCommands
    publisher: Publisher
    measurer: AttemptRecorder
    exchanges: ExchangeReader
    triage: AlertCommands
    silencer: SilenceCommands
    replayer: ReplayCommands
    resender: ResendCommands
    jobs: JobCommands
    bulk: BulkCommands
    backlogs: BacklogCommands
    tokens: TokenCommands
    queries: Queries
    alert_queries: AlertQueries
    alert_details: AlertDetails
    dashboards: DashboardQueries
    system: SystemQueries
    views: CachedViews
    readiness: Callable[[], Awaitable[list[str]]]


Injected = NamedDependency[Services]
AnyRequest = Request[Any, Any, Any]
