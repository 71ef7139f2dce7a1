"""``FakeAlertQueries``: the committed alerts, silences and anomalies as views."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from math import floor
from statistics import fmean
from typing import Protocol, TypeVar
from uuid import UUID

from msgspec import convert, structs

from monitor.domain.alerts.alert import Action, Alert, AlertKind, AlertState
from monitor.domain.alerts.destinations import RAISED_PATTERNS, gets_critical
from monitor.domain.alerts.silences import Silence, SilenceSpec, SilenceState
from monitor.domain.errors import NotFound
from monitor.domain.ids import SYSTEM_ID, id_time
from monitor.domain.ports.queries.alerts import AlertFilter, WorstFirst
from monitor.domain.ports.repositories.detection import AnomalyRecord
from monitor.domain.views.alerts import (
    AlertCount,
    AlertsPerDay,
    AlertStatsView,
    AlertView,
    AnomalyView,
    Durations,
    HistoryView,
    LastTold,
    ToldView,
)
from monitor.domain.views.silences import SilencePreview, SilenceView, silence_view
from monitor.domain.vocab import REPLACED, SEVERITIES, DeliveryState, Severity
from tests.fakes.postgres.database import FakeDatabase, Tables

PREVIEWED = 50
HISTORY_SHOWN = 200
LOOK = 100


class _Row(Protocol):
    @property
    def id(self) -> UUID: ...


R = TypeVar("R", bound=_Row)


class FakeAlertQueries:
    def __init__(self, database: FakeDatabase) -> None:
        self._database = database

    async def alert(self, alert_id: UUID) -> AlertView:
        if alert_id not in self._tables.alerts:
            raise NotFound("There is no alert with this id.")
        entries = self._tables.history_of(alert_id)
        events = self._tables.history_events
        history = [
            HistoryView(e.at, e.action, e.actor, e.note, e.severity, e.title, events.get((alert_id, version)))
            for version, e in enumerate(entries, 1)
        ][-HISTORY_SHOWN:]
        return structs.replace(self._alert(self._tables.alerts[alert_id]), history=history)

    async def alerts(self, where: AlertFilter, *, after: UUID | None, limit: int) -> list[AlertView]:
        return _page(self._wanted(where), after, limit)

    async def worst_alerts(self, where: AlertFilter, *, after: WorstFirst | None, limit: int) -> list[AlertView]:
        def rank(of: AlertView | WorstFirst) -> tuple[int, UUID]:
            return SEVERITIES.index(of.severity), of.id

        wanted = sorted((view for view in self._wanted(where) if view.resolved_at is None), key=rank, reverse=True)
        return [view for view in wanted if after is None or rank(view) < rank(after)][:limit]

    async def told(self, event_ids: Collection[UUID]) -> dict[UUID, ToldView]:
        tables = self._tables
        unmade = {event.id for fan_out in tables.fan_outs.values() for event in fan_out.events}
        found = {}
        for id_ in event_ids:
            if id_ in tables.events and id_ not in unmade:
                rows = [row for row in tables.finished.values() if row.event_id == id_]
                replaced = sum((row.state, row.last_error) == (DeliveryState.CANCELLED, REPLACED) for row in rows)
                states = [row.state for row in rows]
                pending = sum(row.event_id == id_ for row in tables.deliveries.values())
                delivered = states.count(DeliveryState.DELIVERED)
                found[id_] = ToldView(pending + len(states), delivered, len(states) - delivered - replaced, replaced)
        return found

    async def last_told(self, webhook_ids: Collection[UUID]) -> dict[UUID, LastTold]:
        found = {}
        for webhook_id in webhook_ids:
            made = sorted((id_ for id_, a in self._tables.attempts.items() if a.webhook_id == webhook_id), reverse=True)
            for id_ in made[:LOOK]:
                attempt = self._tables.attempts[id_]
                if attempt.kind == "delivery" and (attempt.event_type or "").startswith("monitor.alert."):
                    found[webhook_id] = LastTold(id_, id_time(id_), attempt.outcome.status_code, attempt.outcome.error)
                    break
        return found

    async def critical_is_told(self) -> bool:
        return any(
            gets_critical(row.webhook.labels, enabled=row.webhook.enabled)
            for row in self._tables.webhooks.values()
            if row.deleted_at is None and not set(RAISED_PATTERNS).isdisjoint(row.webhook.event_types)
        )

    def _wanted(self, where: AlertFilter) -> Iterator[AlertView]:
        return (
            self._alert(alert)
            for alert in self._tables.alerts.values()
            if (not where.states or alert.state in where.states)
            and where.severity in (None, alert.severity)
            and where.kind in (None, alert.kind)
            and where.webhook_id in (None, alert.webhook_id)
            and (where.from_at is None or alert.raised_at >= where.from_at)
            and (where.to_at is None or alert.raised_at < where.to_at)
        )

    async def stats(self, days: int) -> AlertStatsView:
        now, alerts = self._now, [alert for alert in self._tables.alerts.values() if self._counts(alert)]
        first = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days - 1)
        raised = [alert for alert in alerts if alert.raised_at >= first]
        counted = Counter(
            (a.state, a.severity, a.kind) for a in alerts if (a.is_open or a.raised_at >= first) and not a.superseded
        )
        pending = [now - alert.raised_at for alert in alerts if alert.state is AlertState.PENDING]
        dates = [(first + timedelta(days=offset)).date() for offset in range(days)]
        return AlertStatsView(
            as_of=now,
            days=days,
            counts=[AlertCount(*key, n) for key, n in sorted(counted.items())],
            oldest_pending_age_s=max(pending).total_seconds() if pending else None,
            series=[
                AlertsPerDay(
                    day,
                    {s: sum(a.severity is s and _day(a.raised_at) == day for a in raised) for s in Severity},
                    sum(a.resolved_at is not None and _day(a.resolved_at) == day and not a.superseded for a in alerts),
                )
                for day in dates
            ],
            time_to_acknowledge=_durations((a.first_acknowledged_at, a.raised_at) for a in raised),
            time_to_resolve=_durations((a.resolved_at, a.raised_at) for a in raised if not a.superseded),
        )

    def _counts(self, alert: Alert) -> bool:
        told = {Action.NOTIFIED, Action.FLAPPING}
        return alert.is_open or any(entry.action in told for entry in self._tables.history_of(alert.id))

    async def silence(self, silence_id: UUID) -> SilenceView:
        if silence_id not in self._tables.silences:
            raise NotFound("There is no silence with this id.")
        return self._silence(self._tables.silences[silence_id])

    async def silences(
        self, *, active: bool | None, after: UUID | None, limit: int, state: SilenceState | None = None
    ) -> list[SilenceView]:
        views = (self._silence(silence) for silence in self._tables.silences.values())
        wanted = (view for view in views if active in (None, view.ends_at > self._now) and state in (None, view.state))
        return _page(wanted, after, limit)

    async def preview(self, spec: SilenceSpec) -> SilencePreview:
        silence = Silence(
            id=SYSTEM_ID,
            created_by="",
            created_at=self._now,
            reason=spec.reason,
            ends_at=self._now + timedelta(hours=1),
            webhook_id=spec.webhook_id,
            label=spec.label,
            kind=spec.kind,
        )
        alerts = (alert for alert in self._tables.alerts.values() if alert.is_open and self._matches(silence, alert))
        webhooks = sum(
            silence.matches(id_, row.webhook.labels, spec.kind or AlertKind.FAILING, self._now)
            for id_, row in self._tables.webhooks.items()
            if row.deleted_at is None
        )
        return SilencePreview(webhooks, _page((self._alert(alert) for alert in alerts), None, PREVIEWED))

    async def anomaly(self, anomaly_id: UUID) -> AnomalyView:
        anomaly = self._tables.anomalies.get(anomaly_id)
        if anomaly is None:
            raise NotFound("There is no anomaly with this id.")
        return self._anomaly(anomaly)

    async def anomalies(
        self, *, is_open: bool, webhook_id: UUID | None, after: UUID | None, limit: int
    ) -> list[AnomalyView]:
        views = (
            self._anomaly(a)
            for a in self._tables.anomalies.values()
            if (a.closed_at is None) is is_open and webhook_id in (None, a.webhook_id)
        )
        return _page(views, after, limit)

    def _anomaly(self, anomaly: AnomalyRecord) -> AnomalyView:
        name = self._tables.webhooks[anomaly.webhook_id].webhook.name
        led_to = min(
            (
                alert.id
                for alert in self._tables.alerts.values()
                if anomaly.closed_at is None
                and alert.is_open
                and alert.webhook_id == anomaly.webhook_id
                and anomaly.signal.value in {cause.value for cause in alert.causes}
            ),
            default=None,
        )
        return AnomalyView(webhook_name=name, alert_id=led_to, **structs.asdict(anomaly))

    @property
    def _tables(self) -> Tables:
        self._database.require_up()
        return self._database.tables

    @property
    def _now(self) -> datetime:
        return self._database.clock.now()

    def _matches(self, silence: Silence, alert: Alert) -> bool:
        row = self._tables.webhooks.get(alert.webhook_id)
        return silence.matches(alert.webhook_id, {} if row is None else row.webhook.labels, alert.kind, self._now)

    def _alert(self, alert: Alert) -> AlertView:
        row = self._tables.webhooks.get(alert.webhook_id)
        at, evaluation = self._tables.evaluations.get(alert.webhook_id, (None, None))
        held = () if evaluation is None else evaluation.held_conditions.get(alert.kind, ())
        shown = structs.asdict(alert) | {
            "worst_severity": alert.worst,
            "conditions_at": at,
            "conditions": [structs.asdict(condition) for condition in held],
            "webhook_id": None if alert.webhook_id == SYSTEM_ID else alert.webhook_id,
            "webhook_name": None if row is None else row.webhook.name,
            "silenced": any(self._matches(silence, alert) for silence in self._tables.silences.values()),
        }
        return convert(shown, AlertView)

    def _silence(self, silence: Silence) -> SilenceView:
        alerts = self._tables.alerts.values()
        row = None if silence.webhook_id is None else self._tables.webhooks.get(silence.webhook_id)
        return silence_view(
            silence,
            self._now,
            webhook_name=None if row is None else row.webhook.name,
            matches=sum(alert.is_open and self._matches(silence, alert) for alert in alerts),
        )


def _page(rows: Iterable[R], after: UUID | None, limit: int) -> list[R]:
    newest_first = sorted(rows, key=lambda row: row.id, reverse=True)
    return [row for row in newest_first if after is None or row.id < after][:limit]


def _day(at: datetime) -> date:
    return at.astimezone(UTC).date()


def _durations(moments: Iterable[tuple[datetime | None, datetime]]) -> Durations:
    """Return what passed until each first moment from its second one."""
    passed = sorted((end - begin).total_seconds() for end, begin in moments if end is not None)
    if not passed:
        return Durations(0, None, None, None)
    return Durations(len(passed), *(round(value, 3) for value in (_at(passed, 0.5), _at(passed, 0.9), fmean(passed))))


def _at(ordered: Sequence[float], share: float) -> float:
    """Return the value at *share* of the way, between two values in proportion, as ``percentile_cont`` does."""
    place = share * (len(ordered) - 1)
    low = floor(place)
    return ordered[low] + (ordered[min(low + 1, len(ordered) - 1)] - ordered[low]) * (place - low)
