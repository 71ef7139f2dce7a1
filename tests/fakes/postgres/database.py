"""``FakeDatabase``: the tables as dictionaries, and transactions that take turns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Self
from uuid import UUID

import msgspec
from msgspec.structs import replace

from monitor.domain.alerts.alert import Alert, AlertKind, HistoryEntry
from monitor.domain.alerts.evaluation import Evaluation
from monitor.domain.alerts.notification import AlertNotification
from monitor.domain.alerts.reminders import ReminderSchedule
from monitor.domain.alerts.silences import Silence, hold_of
from monitor.domain.delivery.fan_out import FanOut, NewEvent
from monitor.domain.delivery.job import Job
from monitor.domain.delivery.lane import Lane
from monitor.domain.delivery.order import QueuedDelivery
from monitor.domain.errors import Unavailable, UnknownOutcome
from monitor.domain.events import DomainEvent
from monitor.domain.monitoring.metrics import Rollup
from monitor.domain.monitoring.uptime import Counts
from monitor.domain.ports.clock import Clock
from monitor.domain.ports.repositories.attempts import AttemptRecord
from monitor.domain.ports.repositories.detection import AnomalyRecord
from monitor.domain.ports.repositories.used_links import UsedLink
from monitor.domain.ports.wakeups import DueWebhooks
from monitor.domain.views.audit import AuditView
from monitor.domain.views.tokens import Revocation
from monitor.domain.vocab import DeliveryState
from monitor.domain.webhooks.webhook import Webhook

WAKE_IDS_MAX = 200


class Secret(msgspec.Struct, frozen=True):
    """One signing key; ``expires_at`` is null for the current one."""

    key: bytes
    expires_at: datetime | None = None


class StoredWebhook(msgspec.Struct, frozen=True):
    """``secrets`` are newest first."""

    webhook: Webhook
    headers: dict[str, str]
    secrets: tuple[Secret, ...]
    deleted_at: datetime | None = None


class StoredEvent(msgspec.Struct, frozen=True):
    event: NewEvent
    created_at: datetime


class StoredDelivery(msgspec.Struct, frozen=True):
    """A row of the hot table."""

    id: UUID
    event_id: UUID
    webhook_id: UUID
    due_at: datetime
    leased_by: str | None = None
    fencing_token: int = 0
    attempts: int = 0
    schedule_from: int = 0
    crashes: int = 0
    last_status_code: int | None = None
    last_error: str | None = None
    order_key: str | None = None
    replayed: bool = False
    aside: bool = False
    behind: bool = False

    def queued(self, now: datetime) -> QueuedDelivery:
        """Return what the order looks at."""
        in_flight = self.leased_by is not None and self.due_at > now
        return QueuedDelivery(
            id=self.id,
            due_at=self.due_at,
            event_id=self.event_id,
            order_key=self.order_key,
            replayed=self.replayed,
            aside=self.aside,
            behind=self.behind,
            in_flight=in_flight,
        )


class FinishedDelivery(msgspec.Struct, frozen=True):
    """A delivery that left the hot table."""

    id: UUID
    event_id: UUID
    webhook_id: UUID
    state: DeliveryState
    attempts: int
    fencing_token: int
    last_status_code: int | None
    last_error: str | None
    finished_at: datetime
    order_key: str | None = None


class IdempotencyKey(msgspec.Struct, frozen=True):
    body: bytes
    created_at: datetime
    answer: bytes = b""


@dataclass
class Tables:
    """Every table. Rows are frozen, so copying the dictionaries copies everything."""

    webhooks: dict[UUID, StoredWebhook] = field(default_factory=dict)
    lanes: dict[UUID, Lane] = field(default_factory=dict)
    events: dict[UUID, StoredEvent] = field(default_factory=dict)
    fan_outs: dict[UUID, FanOut] = field(default_factory=dict)
    deliveries: dict[UUID, StoredDelivery] = field(default_factory=dict)
    finished: dict[UUID, FinishedDelivery] = field(default_factory=dict)
    attempts: dict[UUID, AttemptRecord] = field(default_factory=dict)
    minutes: dict[tuple[UUID, datetime], Rollup] = field(default_factory=dict)
    silenced_hours: dict[tuple[UUID, datetime], Counts] = field(default_factory=dict)
    idempotency_keys: dict[tuple[str, str], IdempotencyKey] = field(default_factory=dict)
    audit: dict[UUID, AuditView] = field(default_factory=dict)
    revocations: dict[str, Revocation] = field(default_factory=dict)
    evaluations: dict[UUID, tuple[datetime, Evaluation]] = field(default_factory=dict)
    anomalies: dict[UUID, AnomalyRecord] = field(default_factory=dict)
    alerts: dict[UUID, Alert] = field(default_factory=dict)
    history: dict[tuple[UUID, int], HistoryEntry] = field(default_factory=dict)
    """By the alert and its version."""
    history_events: dict[tuple[UUID, int], UUID] = field(default_factory=dict)
    """The event about a history entry."""
    silences: dict[UUID, Silence] = field(default_factory=dict)
    notifications: tuple[AlertNotification, ...] = ()
    reminders: dict[UUID, ReminderSchedule] = field(default_factory=dict)
    used_links: dict[bytes, UsedLink] = field(default_factory=dict)
    jobs: dict[UUID, Job] = field(default_factory=dict)
    paced_until: dict[UUID, datetime] = field(default_factory=dict)

    def history_of(self, alert_id: UUID) -> list[HistoryEntry]:
        return [entry for (id_, _), entry in sorted(self.history.items(), key=itemgetter(0)) if id_ == alert_id]

    def copy(self) -> Self:
        return type(self)(**{column.name: copy(getattr(self, column.name)) for column in fields(self)})


class FakeDatabase:
    """
    What every fake of this package shares.

    One transaction runs at a time and the next waits for it, which is stricter than row locks: what must work under
    them works here, but nothing is ever skipped as locked. Its time is *clock*'s.

    Attributes:
        down: every transaction and read raises ``Unavailable``.
        commits_fail: transactions run, but cannot be committed.
        answers_lost: commits hold, and raise as if their answer was lost.
        falls_after_commit: is ``down`` once a transaction was committed.
        wakeups_late: what commits wake for comes with the first commit after it is false again; it is lost if none
            follows.
        locked: lanes that another transaction holds.
        domain_events: what was recorded and committed, oldest first.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.tables = Tables()
        self.turn = asyncio.Lock()
        self.listeners: list[Callable[[DueWebhooks], None]] = []
        self.down = False
        self.commits_fail = False
        self.answers_lost = False
        self.falls_after_commit = False
        self.wakeups_late = False
        self._late: list[DueWebhooks] = []
        self.locked: set[UUID] = set()
        self.locked_once: set[UUID] = set()
        self.domain_events: list[DomainEvent] = []

    def require_up(self) -> None:
        if self.down:
            raise Unavailable("The database is not reachable; try again in a moment.")

    def commit(self, tables: Tables, woken: set[UUID], domain_events: list[DomainEvent]) -> None:
        self.require_up()
        if self.commits_fail:
            raise Unavailable("The commit failed.")
        self.tables = tables
        self.domain_events += domain_events
        self.down = self.falls_after_commit
        if woken:
            # Beyond as many ids as one notification holds, it means every webhook.
            self._late.append(list(woken) if len(woken) <= WAKE_IDS_MAX else None)
        if not self.wakeups_late:
            due, self._late = self._late, []
            for one in due:
                for listener in self.listeners:
                    listener(one)
        if self.answers_lost:
            raise UnknownOutcome("The answer of the commit was lost.")


def with_hold(tables: Tables, lane: Lane, now: datetime) -> Lane:
    """Return *lane* with what silences hold of its webhook."""
    labels = tables.webhooks[lane.webhook_id].webhook.labels
    silences = [one for one in tables.silences.values() if one.ends_at > now - timedelta(days=1)]
    hold = hold_of(silences, lane.webhook_id, labels, now)
    kinds = (None, AlertKind.FAILING)
    uncounted = any(s.kind in kinds and s.covers(lane.webhook_id, labels) and s.is_active(now) for s in silences)
    return replace(lane, held_until=hold.until, hold_ended_at=hold.ended_at, uncounted=uncounted)
