"""Reads of webhooks, events, deliveries, attempts, metrics, the audit log and revoked tokens."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from monitor.domain.delivery.selection import DeliveryFilter
from monitor.domain.paging import Look
from monitor.domain.views.audit import AuditView
from monitor.domain.views.deliveries import AttemptView, DeliveryView, EventView
from monitor.domain.views.history import AnnotationsView, UptimeView
from monitor.domain.views.metrics import MetricsView
from monitor.domain.views.tokens import Revocation, RevocationPosition
from monitor.domain.views.webhooks import WebhookView
from monitor.domain.vocab import DeliveryState, HealthStatus
from monitor.domain.webhooks.destination import Destination

SEARCHED_BYTES = 65_536
"""Payloads up to this size are searched for a text."""


class WebhookFilter(msgspec.Struct, frozen=True):
    """Conditions on webhooks; ``None`` matches any. ``q`` is part of the name, URL or description."""

    status: HealthStatus | None = None
    enabled: bool | None = None
    event_type: str | None = None
    label: str | None = None
    q: str | None = None


class EventFilter(msgspec.Struct, frozen=True):
    """
    Conditions on events; ``None`` matches any.

    ``type`` is exact or a prefix (``order.*``); ``label`` is ``name`` or ``name=value``. ``state`` and ``status_code``,
    that of the last attempt, are those of one of its deliveries, the same one if both are given. ``q`` is part of the
    payload as posted, byte for byte; payloads of more than ``SEARCHED_BYTES`` are not searched.
    """

    type: str | None = None
    label: str | None = None
    status_code: int | None = None
    id: UUID | None = None
    from_at: datetime | None = None
    to_at: datetime | None = None
    state: DeliveryState | None = None
    order_key: str | None = None
    q: str | None = None


class AttemptFilter(msgspec.Struct, frozen=True):
    """Conditions on attempts; ``None`` matches any."""

    ok: bool | None = None
    error: str | None = None
    from_at: datetime | None = None
    to_at: datetime | None = None


class AuditFilter(msgspec.Struct, frozen=True):
    """Conditions on audit rows; ``None`` matches any. ``action`` is exact or a prefix (``webhook.*``)."""

    subject: str | None = None
    action: str | None = None
    target: str | None = None
    from_at: datetime | None = None
    to_at: datetime | None = None


class Queries(Protocol):
    """Resources of the API. Pages are newest first; *after* is the last id of the page before."""

    async def webhook(self, webhook_id: UUID) -> WebhookView:
        """Return a webhook with its detection state. Raises ``NotFound``."""
        ...

    async def webhooks(self, where: WebhookFilter, *, after: UUID | None, limit: int) -> list[WebhookView]:
        """Return up to *limit* webhooks with their last hour."""
        ...

    async def destinations(self, webhook_ids: Collection[UUID]) -> dict[UUID, tuple[int, Destination]]:
        """Return version and destination of webhooks, without deleted ones and undecryptable secrets."""
        ...

    async def event(self, event_id: UUID) -> EventView:
        """Return an event with its payload and the states of its deliveries. Raises ``NotFound``."""
        ...

    async def payload(self, event_id: UUID) -> bytes | None:
        """Return the payload of an event as posted, null if it is not stored."""
        ...

    async def events(self, where: EventFilter, *, after: UUID | None, limit: int) -> Look[EventView]:
        """Return up to *limit* events with their fan-outs and the states of their deliveries, or fewer if a bounded
        number of rows has no more."""
        ...

    async def delivery(self, delivery_id: UUID) -> DeliveryView:
        """Return a delivery with its attempts. Raises ``NotFound``."""
        ...

    async def deliveries(self, where: DeliveryFilter, *, after: UUID | None, limit: int) -> Look[DeliveryView]:
        """Return up to *limit* deliveries, or fewer if a bounded number of rows has no more."""
        ...

    async def attempts(
        self, webhook_id: UUID, where: AttemptFilter, *, after: UUID | None, limit: int
    ) -> list[AttemptView]:
        """Return up to *limit* attempts of a webhook, also of a deleted one. Raises ``NotFound``."""
        ...

    async def attempt(self, webhook_id: UUID, attempt_id: UUID) -> AttemptView:
        """Return an attempt with its exchange, also of a deleted webhook. Raises ``NotFound``."""
        ...

    async def metrics(self, webhook_id: UUID, from_at: datetime, to_at: datetime, step_s: int) -> MetricsView:
        """Return the series of a webhook, also of a deleted one, in steps of *step_s* seconds. Raises ``NotFound``."""
        ...

    async def uptime(self, webhook_id: UUID) -> UptimeView:
        """Return the uptime of a webhook, also of a deleted one. Raises ``NotFound``."""
        ...

    async def annotations(self, webhook_id: UUID, from_at: datetime, to_at: datetime) -> AnnotationsView:
        """Return the newest annotations of ``[from_at, to_at)`` of a webhook, also of a deleted one. Raises
        ``NotFound``."""
        ...

    async def now(self) -> datetime:
        """Return the database's time."""
        ...

    async def audit_log(self, where: AuditFilter, *, after: UUID | None, limit: int) -> Look[AuditView]:
        """Return up to *limit* rows of the audit log, or fewer if a bounded number of rows has no more."""
        ...

    async def revocations(self, *, after: RevocationPosition | None, limit: int) -> list[Revocation]:
        """Return up to *limit* revocations that are in force; *after* is the position of the last one before."""
        ...
