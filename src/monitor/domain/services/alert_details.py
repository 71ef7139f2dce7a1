"""Alerts beside what became of each, and the destinations of their notifications: composed of bounded reads."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from msgspec import UNSET
from msgspec.structs import replace

from monitor.domain.alerts.destinations import gets_critical
from monitor.domain.alerts.notification import RAISED
from monitor.domain.errors import NotFound, UnreadableRow
from monitor.domain.monitoring.metrics import MINUTE_S
from monitor.domain.monitoring.status import StatusReason
from monitor.domain.ports.queries.alerts import AlertQueries
from monitor.domain.ports.queries.resources import AttemptFilter, Queries, WebhookFilter
from monitor.domain.views.alerts import AlertNow, AlertView, FailedAttemptRef, HistoryView, NotificationDestinationView
from monitor.domain.vocab import WebhookStatus

NOW_S = 5 * MINUTE_S
"""The window of the figures of now."""

BEFORE = timedelta(minutes=15)
"""How long before its raising the attempts that led to an alert may lie."""


class AlertDetails:
    """Reads of alerts with their causes. Works on no more than a few hundred rows."""

    def __init__(self, queries: Queries, alert_queries: AlertQueries) -> None:
        self._queries = queries
        self._alert_queries = alert_queries

    async def alert(self, alert_id: UUID) -> AlertView:
        """Return an alert with its history, how many destinations were notified, the figures of now, and the
        last failed attempt. Raises ``NotFound``."""
        alert = await self._alert_queries.alert(alert_id)
        return replace(
            alert,
            history=await self._with_told(alert.history or []),
            now=await self._now(alert),
            last_failed_attempt=await self._last_failed(alert),
        )

    async def destinations(self, *, after: UUID | None, limit: int) -> list[NotificationDestinationView]:
        """Return up to *limit* webhooks that are notified of alerts, newest first."""
        webhooks = await self._queries.webhooks(WebhookFilter(event_type=RAISED), after=after, limit=limit)
        told = await self._alert_queries.last_told([webhook.id for webhook in webhooks])
        return [
            NotificationDestinationView(
                webhook_id=webhook.id,
                name=webhook.name,
                body_format=webhook.body_format,
                event_types=webhook.event_types,
                labels=webhook.labels,
                enabled=webhook.enabled,
                paused=webhook.paused_at is not None,
                critical=gets_critical(webhook.labels, enabled=webhook.enabled),
                status=webhook.status,
                status_reason=webhook.status_reason,
                health=webhook.health,
                last_told=told.get(webhook.id),
            )
            for webhook in webhooks
        ]

    async def _with_told(self, history: list[HistoryView]) -> list[HistoryView]:
        told = await self._alert_queries.told({line.event_id for line in history if line.event_id is not None})
        return [line if line.event_id is None else replace(line, told=told.get(line.event_id)) for line in history]

    async def _now(self, alert: AlertView) -> AlertNow | None:
        if alert.webhook_id is None:
            return None
        as_of = await self._queries.now()
        try:
            metrics = await self._queries.metrics(alert.webhook_id, as_of - timedelta(seconds=NOW_S), as_of, MINUTE_S)
        except NotFound:
            return None
        status = await self._status(alert.webhook_id)
        return AlertNow(
            window_s=NOW_S,
            attempts=metrics.total.attempts,
            failures=metrics.total.failures,
            p50_ms=metrics.total.p50_ms,
            p95_ms=metrics.total.p95_ms,
            status=None if status is None else status.status,
            reason=None if status is None else status.reason,
        )

    async def _status(self, webhook_id: UUID) -> StatusReason | None:
        try:
            webhook = await self._queries.webhook(webhook_id)
        except (NotFound, UnreadableRow):
            return None
        return StatusReason(
            WebhookStatus(webhook.health.status) if webhook.status is UNSET else webhook.status,
            webhook.health.reason if webhook.status_reason is UNSET else webhook.status_reason,
        )

    async def _last_failed(self, alert: AlertView) -> FailedAttemptRef | None:
        if alert.webhook_id is None:
            return None
        where = AttemptFilter(ok=False, from_at=alert.raised_at - BEFORE, to_at=alert.resolved_at)
        try:
            found = await self._queries.attempts(alert.webhook_id, where, after=None, limit=1)
        except NotFound:
            return None
        if not found:
            return None
        [attempt] = found
        return FailedAttemptRef(attempt.id, attempt.webhook_id, attempt.at, attempt.status_code, attempt.error)
