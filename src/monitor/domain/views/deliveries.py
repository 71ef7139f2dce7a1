"""Read models of events, deliveries and attempts."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from monitor.domain.delivery.exchange import RequestBody, StoredExchange
from monitor.domain.delivery.held import Held
from monitor.domain.delivery.outcome import Phases
from monitor.domain.vocab import DeliveryState, FanOutState, SigningSecret

COUNTED_MAX = 500
"""Deliveries of one event that a list counts: of those that wait, and of those that are finished."""


class DeliveryCounts(msgspec.Struct, frozen=True):
    """Deliveries of one event by state; at least so many if ``complete`` is false."""

    pending: int = 0
    delivered: int = 0
    failed: int = 0
    cancelled: int = 0
    quarantined: int = 0
    complete: bool = True


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """
    One event. ``payload`` is the JSON exactly as posted. ``deliveries`` counts those made so far: all, once ``fan_out``
    is ``done``. Lists omit the payload, and count the first ``COUNTED_MAX`` deliveries of each event.
    """

    id: UUID
    type: str
    labels: dict[str, str]
    occurred_at: datetime
    created_at: datetime
    order_key: str | None = None
    payload: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    deliveries: DeliveryCounts | msgspec.UnsetType = msgspec.UNSET
    fan_out: FanOutState | msgspec.UnsetType = msgspec.UNSET


class AttemptView(msgspec.Struct, frozen=True, kw_only=True):
    """
    One HTTP attempt. ``kind`` is ``delivery``, ``test`` or ``reported``; ``number`` counts from 1 within a delivery.

    Details hold ``exchange``: null if no byte was sent, or by a version that did not store it; ``request_body``: null
    if the event is not stored any more, or the attempt was reported; and ``signature_valid_with``: which secret of the
    webhook made the signature as sent, null if that cannot be told. Lists omit the three.
    """

    id: UUID
    webhook_id: UUID
    kind: str
    delivery_id: UUID | None
    event_id: UUID | None
    event_type: str | None
    number: int
    ok: bool
    status_code: int | None
    error: str | None
    error_detail: str | None
    latency_ms: float
    phases: Phases
    response_body: str | None
    at: datetime
    exchange: StoredExchange | msgspec.UnsetType | None = msgspec.UNSET
    request_body: RequestBody | msgspec.UnsetType | None = msgspec.UNSET
    signature_valid_with: SigningSecret | msgspec.UnsetType | None = msgspec.UNSET


class DeliveryView(msgspec.Struct, frozen=True, kw_only=True):
    """
    One event for one webhook. ``due_at`` is null once it is finished; details hold ``attempt_log``, newest first.

    ``held`` is what keeps it from being sent, besides its due time; null if nothing does. ``aside`` says that it failed
    so often that those behind it overtake it. ``last_error`` is that of the last attempt, or ``expired``.
    ``webhook_name`` is null once nothing is known of the webhook.
    """

    id: UUID
    event_id: UUID
    webhook_id: UUID
    event_type: str | None
    state: DeliveryState
    attempts: int
    in_flight: bool
    due_at: datetime | None
    last_status_code: int | None
    last_error: str | None
    created_at: datetime
    finished_at: datetime | None
    order_key: str | None = None
    aside: bool = False
    held: Held | None = None
    webhook_name: str | None = None
    attempt_log: list[AttemptView] | msgspec.UnsetType = msgspec.UNSET
