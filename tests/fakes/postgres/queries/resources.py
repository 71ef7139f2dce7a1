"""``FakeQueries``: the committed tables as views."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import UNSET, Raw, UnsetType, structs
from msgspec.structs import astuple

from monitor.domain.alerts.evaluation import NormalBand, normal_band
from monitor.domain.anomaly.model import Signal
from monitor.domain.delivery.backlog import BACKLOG_COUNTED, Queued, backlog_of
from monitor.domain.delivery.selection import DeliveryFilter, has_label, is_of_type, matches
from monitor.domain.errors import NotFound
from monitor.domain.ids import id_time
from monitor.domain.monitoring.health import HealthPolicy
from monitor.domain.monitoring.metrics import DAY_S, HOUR_S, Rollup, merge_rollups, percentile, whole_units
from monitor.domain.monitoring.uptime import Counts
from monitor.domain.paging import Look
from monitor.domain.ports.queries.resources import (
    AttemptFilter,
    AuditFilter,
    EventFilter,
    WebhookFilter,
)
from monitor.domain.services.attempts import attempt_view
from monitor.domain.views.audit import AuditView, without_secret_urls
from monitor.domain.views.deliveries import COUNTED_MAX, AttemptView, DeliveryCounts, DeliveryView, EventView
from monitor.domain.views.history import (
    ALERTED,
    AUDITED,
    Annotation,
    AnnotationsView,
    UptimeView,
    audited_annotation,
    newest,
    uptime_view,
)
from monitor.domain.views.metrics import MetricsPoint, MetricsView
from monitor.domain.views.tokens import Revocation, RevocationPosition
from monitor.domain.views.webhooks import LastHour, WebhookView, view_of
from monitor.domain.vocab import DeliveryState, FanOutState
from monitor.domain.webhooks.destination import Destination
from tests.fakes.postgres.bulk import row_of
from tests.fakes.postgres.database import (
    FakeDatabase,
    FinishedDelivery,
    StoredDelivery,
    StoredEvent,
    Tables,
)
from tests.fakes.postgres.queries.filters import contains, is_audited, is_wanted, page, within
from tests.fakes.postgres.queries.held import delivery_held, webhook_held

HOUR = timedelta(hours=1)


class FakeQueries:
    def __init__(self, database: FakeDatabase) -> None:
        self._database = database

    async def webhook(self, webhook_id: UUID) -> WebhookView:
        view = self._with_backlog(self._webhook(webhook_id))
        _, evaluation = self._tables.evaluations.get(webhook_id, (None, None))
        if evaluation is None:
            return structs.replace(view, signals=dict.fromkeys(Signal, "learning"), normal=NormalBand())
        return structs.replace(
            view, signals=evaluation.signals, normal=normal_band(evaluation.baselines, evaluation.verdicts)
        )

    async def webhooks(self, where: WebhookFilter, *, after: UUID | None, limit: int) -> list[WebhookView]:
        alive = [id_ for id_, row in self._tables.webhooks.items() if row.deleted_at is None]
        views = [self._webhook(id_, self._last_hour(id_)) for id_ in alive]
        return page((view for view in views if is_wanted(view, where)), after, limit)

    async def destinations(self, webhook_ids: Collection[UUID]) -> dict[UUID, tuple[int, Destination]]:
        tables, now = self._tables, self._database.clock.now()
        found = {}
        for id_ in webhook_ids:
            row = tables.webhooks.get(id_)
            if row is None or row.deleted_at is not None:
                continue
            keys = tuple(s.key for s in row.secrets if s.expires_at is None or s.expires_at > now)
            webhook = row.webhook
            found[id_] = (
                webhook.version,
                Destination(
                    webhook.url,
                    webhook.timeout_s,
                    tuple(row.headers.items()),
                    webhook.signature,
                    keys,
                    webhook.body_format,
                ),
            )
        return found

    async def event(self, event_id: UUID) -> EventView:
        tables = self._tables
        if event_id not in tables.events:
            raise NotFound("There is no event with this id.")
        stored, counts = tables.events[event_id], self._states(event_id)
        return structs.replace(
            _event_view(stored),
            payload=Raw(stored.event.payload),
            deliveries=DeliveryCounts(**counts, complete=True),
            fan_out=self._fan_out(event_id),
        )

    async def payload(self, event_id: UUID) -> bytes | None:
        stored = self._tables.events.get(event_id)
        return None if stored is None else stored.event.payload

    async def events(self, where: EventFilter, *, after: UUID | None, limit: int) -> Look[EventView]:
        tables = self._tables
        deliveries = (row_of(tables, id_) for id_ in (*tables.deliveries, *tables.finished))
        with_delivery = {
            row.event_id
            for row in deliveries
            if where.status_code in (None, row.status_code) and where.state in (None, row.state)
        }
        wanted = (
            view
            for view in (_event_view(stored) for stored in tables.events.values())
            if is_of_type(view.type, where.type)
            and has_label(view.labels, where.label)
            and where.id in (None, view.id)
            and where.order_key in (None, view.order_key)
            and ((where.status_code is None and where.state is None) or view.id in with_delivery)
            and (where.q is None or contains(tables.events[view.id].event.payload, where.q))
            and within(view.id, where.from_at, where.to_at)
        )
        return Look([self._counted(view) for view in page(wanted, after, limit)])

    def _fan_out(self, event_id: UUID) -> FanOutState:
        unfinished = (event.id for fan_out in self._tables.fan_outs.values() for event in fan_out.events)
        return FanOutState.RUNNING if event_id in unfinished else FanOutState.DONE

    def _states(self, event_id: UUID) -> dict[str, int]:
        counts = {str(state): 0 for state in DeliveryState}
        counts["pending"] = sum(d.event_id == event_id for d in self._tables.deliveries.values())
        for done in self._tables.finished.values():
            counts[done.state] += done.event_id == event_id
        return counts

    def _counted(self, view: EventView) -> EventView:
        counts = self._states(view.id)
        waiting, finished = counts["pending"], sum(counts.values()) - counts["pending"]
        shown = DeliveryCounts(**counts, complete=max(waiting, finished) < COUNTED_MAX)
        return structs.replace(view, deliveries=shown, fan_out=self._fan_out(view.id))

    async def delivery(self, delivery_id: UUID) -> DeliveryView:
        tables = self._tables
        if delivery_id not in tables.deliveries and delivery_id not in tables.finished:
            raise NotFound("There is no delivery with this id.")
        made = (attempt_view(a, id_time(a.id)) for a in tables.attempts.values() if a.delivery_id == delivery_id)
        return structs.replace(self._delivery(delivery_id), attempt_log=page(made, None, 200))

    async def deliveries(self, where: DeliveryFilter, *, after: UUID | None, limit: int) -> Look[DeliveryView]:
        tables = self._tables
        ids = (id_ for id_ in (*tables.deliveries, *tables.finished) if matches(where, row_of(tables, id_)))
        return Look(page((self._delivery(id_) for id_ in ids), after, limit))

    async def attempts(
        self, webhook_id: UUID, where: AttemptFilter, *, after: UUID | None, limit: int
    ) -> list[AttemptView]:
        self._require_history(webhook_id)
        wanted = (
            attempt_view(attempt, id_time(attempt.id))
            for attempt in self._tables.attempts.values()
            if attempt.webhook_id == webhook_id
            and where.ok in (None, attempt.outcome.ok)
            and where.error in (None, attempt.outcome.error, attempt.outcome.label)
            and within(attempt.id, where.from_at, where.to_at)
        )
        return page(wanted, after, limit)

    async def attempt(self, webhook_id: UUID, attempt_id: UUID) -> AttemptView:
        attempt = self._tables.attempts.get(attempt_id)
        if attempt is None or attempt.webhook_id != webhook_id:
            raise NotFound("There is no attempt with this id.")
        return attempt_view(attempt, id_time(attempt_id), with_exchange=True)

    async def metrics(self, webhook_id: UUID, from_at: datetime, to_at: datetime, step_s: int) -> MetricsView:
        self._require_history(webhook_id)
        from_at, to_at = whole_units(from_at, to_at, step_s)
        steps: dict[datetime, list[Rollup]] = {}
        step = timedelta(seconds=step_s)
        for (id_, at), rollup in self._tables.minutes.items():
            if id_ == webhook_id and from_at <= at < to_at:
                steps.setdefault(from_at + (at - from_at) // step * step, []).append(rollup)
        return MetricsView(
            from_at=from_at,
            to_at=to_at,
            step_s=step_s,
            total=_point(from_at, [rollup for rollups in steps.values() for rollup in rollups]),
            points=[_point(at, rollups) for at, rollups in sorted(steps.items())],
        )

    async def uptime(self, webhook_id: UUID) -> UptimeView:
        self._require_history(webhook_id)
        now = self._database.clock.now()
        series = [await self.metrics(webhook_id, now - timedelta(days=89), now, step_s) for step_s in (HOUR_S, DAY_S)]
        hours, days = ({point.at: Counts(point.attempts, point.failures) for point in view.points} for view in series)
        silenced = {at: n for (id_, at), n in self._tables.silenced_hours.items() if id_ == webhook_id}
        return uptime_view(now, hours, days, silenced)

    async def annotations(self, webhook_id: UUID, from_at: datetime, to_at: datetime) -> AnnotationsView:
        self._require_history(webhook_id)
        found = [
            audited_annotation(row.at, row.subject, row.action, row.before, row.after)
            for row in self._tables.audit.values()
            if row.target == f"webhook:{webhook_id}" and row.action in AUDITED
        ]
        for alert in self._tables.alerts.values():
            for entry in self._tables.history_of(alert.id) if alert.webhook_id == webhook_id else ():
                if kind := ALERTED.get(entry.action):
                    severity, title = entry.severity or alert.severity, entry.title or alert.title
                    about = Annotation(at=entry.at, kind=kind, actor=entry.actor, alert_id=alert.id)
                    found.append(structs.replace(about, severity=severity, title=title))
        items, complete = newest([annotation for annotation in found if from_at <= annotation.at < to_at])
        return AnnotationsView(from_at, to_at, complete, items)

    async def now(self) -> datetime:
        self._database.require_up()
        return self._database.clock.now()

    async def audit_log(self, where: AuditFilter, *, after: UUID | None, limit: int) -> Look[AuditView]:
        wanted = [row for row in self._tables.audit.values() if is_audited(row, where)]
        return Look([without_secret_urls(row) for row in page(wanted, after, limit)])

    async def revocations(self, *, after: RevocationPosition | None, limit: int) -> list[Revocation]:
        now = self._database.clock.now()
        in_force = [row for row in self._tables.revocations.values() if row.expires_at > now]
        newest_first = sorted(in_force, key=lambda row: astuple(row.position), reverse=True)
        return [row for row in newest_first if after is None or astuple(row.position) < astuple(after)][:limit]

    @property
    def _tables(self) -> Tables:
        self._database.require_up()
        return self._database.tables

    def _require_history(self, webhook_id: UUID) -> None:
        if webhook_id not in self._tables.webhooks:
            raise NotFound("There is no webhook with this id.")

    def _webhook(self, webhook_id: UUID, last_hour: LastHour | UnsetType = UNSET) -> WebhookView:
        row = self._tables.webhooks.get(webhook_id)
        if row is None or row.deleted_at is not None:
            raise NotFound("There is no webhook with this id.")
        held = webhook_held(self._tables, row, self._database.clock.now())
        view = view_of(row.webhook, self._tables.lanes[webhook_id].health, held=held)
        return structs.replace(view, last_hour=last_hour)

    def _with_backlog(self, view: WebhookView) -> WebhookView:
        tables, now = self._tables, self._database.clock.now()
        rows = [d.queued(now) for d in tables.deliveries.values() if d.webhook_id == view.id]
        lane = tables.lanes[view.id]
        queued = Queued(
            counted=min(len(rows), BACKLOG_COUNTED + 1),
            in_flight=sum(one.in_flight for one in rows),
            oldest_due_at=min((one.due_at for one in rows if one.due_at <= now), default=None),
            next_due_at=min((one.due_at for one in rows if one.due_at > now and not one.in_flight), default=None),
        )
        backlog = backlog_of(
            queued,
            lane.breaker,
            view.held,
            lane.recent,
            lane.failing_since,
            enabled=view.enabled,
            policy=HealthPolicy(),
        )
        ends = (one.expires_at for one in tables.webhooks[view.id].secrets)
        expire_at = max((at for at in ends if at is not None and at > now), default=None)
        return structs.replace(view, backlog=backlog, previous_secrets_expire_at=expire_at)

    def _minutes_of_last_hour(self, webhook_id: UUID) -> list[Rollup]:
        since = self._database.clock.now() - HOUR
        return [rollup for (id_, at), rollup in self._tables.minutes.items() if id_ == webhook_id and at >= since]

    def _last_hour(self, webhook_id: UUID) -> LastHour:
        point = _point(self._database.clock.now(), self._minutes_of_last_hour(webhook_id))
        return LastHour(point.attempts, point.success_ratio, point.p95_ms)

    def _delivery(self, delivery_id: UUID) -> DeliveryView:
        row = self._tables.deliveries.get(delivery_id) or self._tables.finished[delivery_id]
        event, now = self._tables.events.get(row.event_id), self._database.clock.now()
        return DeliveryView(
            id=row.id,
            event_id=row.event_id,
            webhook_id=row.webhook_id,
            event_type=None if event is None else event.event.type,
            state=row.state if isinstance(row, FinishedDelivery) else DeliveryState.PENDING,
            attempts=row.attempts,
            in_flight=isinstance(row, StoredDelivery) and row.leased_by is not None and row.due_at > now,
            due_at=row.due_at if isinstance(row, StoredDelivery) else None,
            last_status_code=row.last_status_code,
            last_error=row.last_error,
            created_at=id_time(row.id),
            finished_at=row.finished_at if isinstance(row, FinishedDelivery) else None,
            order_key=row.order_key,
            aside=isinstance(row, StoredDelivery) and row.aside,
            held=delivery_held(self._tables, row, self._database.clock.now())
            if isinstance(row, StoredDelivery)
            else None,
            webhook_name=self._tables.webhooks[row.webhook_id].webhook.name,
        )


def _event_view(stored: StoredEvent) -> EventView:
    event = stored.event
    return EventView(
        id=event.id,
        type=event.type,
        labels=event.labels,
        occurred_at=event.occurred_at,
        created_at=stored.created_at,
        order_key=event.order_key,
    )


def _point(at: datetime, rollups: Iterable[Rollup]) -> MetricsPoint:
    whole = merge_rollups(*rollups)
    mean, failed_mean, p50, p95, p99 = (
        None if value is None else round(value, 3)
        for value in (
            whole.latency_mean_ms,
            whole.failed_latency_mean_ms,
            *(percentile(whole.histogram, q) for q in (0.5, 0.95, 0.99)),
        )
    )
    return MetricsPoint(
        at=at,
        attempts=whole.attempts,
        failures=whole.failures,
        success_ratio=round(1 - whole.failures / whole.attempts, 6) if whole.attempts else None,
        mean_ms=mean,
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        failed_mean_ms=failed_mean,
        errors=whole.errors,
    )
