"""Rows into views."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from monitor.adapters.postgres.codec import from_jsonb
from monitor.domain.alerts.evaluation import NormalBand
from monitor.domain.anomaly.model import Signal
from monitor.domain.delivery.outcome import Phases
from monitor.domain.delivery.rate_limit import RateLimit
from monitor.domain.delivery.retry import RetryPolicy
from monitor.domain.ids import id_time
from monitor.domain.views.audit import AuditView
from monitor.domain.views.deliveries import AttemptView, DeliveryCounts, DeliveryView, EventView
from monitor.domain.views.webhooks import HealthView, LastHour, WebhookView
from monitor.domain.vocab import BodyFormat, DeliveryState, HealthStatus, SignatureScheme
from monitor.domain.webhooks.webhook import MASK


def webhook_view(row: asyncpg.Record, last_hour: LastHour | msgspec.UnsetType = msgspec.UNSET) -> WebhookView:
    return WebhookView(
        id=row["id"],
        name=row["name"],
        url=row["url"],
        description=row["description"],
        event_types=row["event_types"],
        labels=from_jsonb(row["labels"], dict[str, str]),
        headers=dict.fromkeys(row["header_names"], MASK),
        enabled=row["enabled"],
        disabled_reason=row["disabled_reason"],
        paused_at=row["paused_at"],
        timeout_s=row["timeout_s"],
        retry=from_jsonb(row["retry"], RetryPolicy),
        max_concurrency=row["max_concurrency"],
        rate_limit=from_jsonb(row["rate_limit"], RateLimit) if row["rate_limit"] else None,
        ordered=row["ordered"],
        signature=SignatureScheme(row["signature"]),
        body_format=BodyFormat(row["body_format"]),
        health=health_view(row),
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        last_hour=last_hour,
    )


def health_view(row: asyncpg.Record) -> HealthView:
    return HealthView(
        HealthStatus(row["health_status"]), row["health_reason"], row["failure_probability"], row["health_changed_at"]
    )


def watched_webhook_view(row: asyncpg.Record) -> WebhookView:
    """Read a webhook with what the detector knows of it; before the first look it is learning everything."""
    return msgspec.structs.replace(
        webhook_view(row),
        signals=from_jsonb(row["signals"], dict[str, str]) if row["signals"] else dict.fromkeys(Signal, "learning"),
        normal=from_jsonb(row["normal"], NormalBand) if row["normal"] else NormalBand(),
    )


def event_view(row: asyncpg.Record, deliveries: DeliveryCounts | msgspec.UnsetType = msgspec.UNSET) -> EventView:
    return EventView(
        id=row["id"],
        type=row["type"],
        labels=from_jsonb(row["labels"], dict[str, str]),
        occurred_at=row["occurred_at"],
        created_at=row["created_at"],
        payload=msgspec.Raw(row["payload"]) if "payload" in row.keys() else msgspec.UNSET,  # noqa: SIM118 (a Record)
        deliveries=deliveries,
    )


def delivery_view(
    row: asyncpg.Record,
    event_types: dict[UUID, str],
    attempts: list[AttemptView] | msgspec.UnsetType = msgspec.UNSET,
) -> DeliveryView:
    return DeliveryView(
        id=row["id"],
        event_id=row["event_id"],
        webhook_id=row["webhook_id"],
        event_type=event_types.get(row["event_id"]),
        state=DeliveryState(row["state"]),
        attempts=row["attempts"],
        in_flight=row["in_flight"],
        due_at=row["due_at"],
        last_status_code=row["last_status_code"],
        last_error=row["last_error"],
        created_at=id_time(row["id"]),
        finished_at=row["finished_at"],
        attempt_log=attempts,
    )


def attempt_view(row: asyncpg.Record) -> AttemptView:
    body: bytes | None = row["response_body"]
    return AttemptView(
        id=row["id"],
        webhook_id=row["webhook_id"],
        kind=row["kind"],
        delivery_id=row["delivery_id"],
        event_id=row["event_id"],
        event_type=row["event_type"],
        number=row["number"],
        ok=row["error"] is None,
        status_code=row["status_code"],
        error=row["error"],
        error_detail=row["error_detail"],
        latency_ms=round(row["latency_ms"], 3),
        phases=Phases(row["dns_ms"], row["connect_ms"], row["tls_ms"], row["first_byte_ms"]),
        # A receiver may answer anything; what is not text is shown with replacement characters.
        response_body=None if body is None else body.decode(errors="replace"),
        at=id_time(row["id"]),
    )


def audit_view(row: asyncpg.Record) -> AuditView:
    return AuditView(
        id=row["id"],
        at=row["at"],
        subject=row["subject"],
        role=row["role"],
        request_id=row["request_id"],
        action=row["action"],
        target=row["target"],
        before=_object(row["before"]),
        after=_object(row["after"]),
    )


def _object(text: str | None) -> dict[str, Any] | None:
    return None if text is None else msgspec.json.decode(text, type=dict[str, Any])
