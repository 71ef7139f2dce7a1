"""Rows as views."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from monitor.adapters.postgres.codec import from_jsonb, from_row, health_of
from monitor.adapters.postgres.lanes import order_of
from monitor.adapters.postgres.queries.backlog import read_backlog
from monitor.adapters.postgres.queries.held import held_of
from monitor.domain.alerts.evaluation import NormalBand, signals_beside
from monitor.domain.anomaly.model import Signal
from monitor.domain.delivery.outcome import Phases
from monitor.domain.ids import id_time
from monitor.domain.monitoring.health import Health, HealthPolicy
from monitor.domain.monitoring.status import OpenAlert, StatusReason, status_reason
from monitor.domain.views.audit import AuditView, without_secret_urls
from monitor.domain.views.deliveries import AttemptView, DeliveryView
from monitor.domain.views.webhooks import HealthView, WebhookView
from monitor.domain.vocab import SEVERITIES, Severity
from monitor.domain.webhooks.disabled import disabled_details
from monitor.domain.webhooks.webhook import MASK

_SEVERITY_RANK = " ".join(f"WHEN '{severity}' THEN {rank}" for rank, severity in enumerate(SEVERITIES))

OPEN_ALERT = f"""(
    SELECT ARRAY[a.severity, coalesce((
        SELECT b.conditions -> a.kind -> 0 ->> 'title' FROM webhook_baselines b WHERE b.webhook_id = a.webhook_id
    ), a.title)] FROM alerts a WHERE a.webhook_id = w.id AND a.state <> 'resolved'
    ORDER BY CASE a.severity {_SEVERITY_RANK} END DESC, a.id DESC LIMIT 1
)"""
"""The most severe open alert of ``webhooks w``, the newest of several, with its present title."""


_LEARNING: dict[str, str] = dict.fromkeys(Signal, "learning")


def status_of(row: asyncpg.Record) -> StatusReason:
    """Read the status of a webhook from its row with ``OPEN_ALERT AS open_alert`` and the health of its lane."""
    alert = row["open_alert"]
    return status_reason(
        health_of(row, Health),
        OpenAlert(Severity(alert[0]), alert[1]) if alert else None,
        enabled=row["enabled"],
        paused=row["paused_at"] is not None,
        disabled_reason=row["disabled_reason"],
    )


def webhook_view(row: asyncpg.Record, *, events_kept_s: float, **members: Any) -> WebhookView:
    """Read a webhook; *events_kept_s* is the retention of events."""
    headers = dict.fromkeys(row["header_names"], MASK)
    health = health_of(row, HealthView)
    members |= {"headers": headers, "health": health, "held": held_of(row), "ordered": order_of(row)}
    members["disabled"] = disabled_details(
        row["disabled_reason"],
        row["disabled_at"],
        row["probe_at"],
        enabled=row["enabled"],
        events_kept_s=events_kept_s,
    )
    status = status_of(row)
    members |= {"status": status.status, "status_reason": status.reason}
    return from_row(row, WebhookView, "labels", "retry", "rate_limit", **members)


def evaluated_webhook_view(row: asyncpg.Record, *, events_kept_s: float, policy: HealthPolicy) -> WebhookView:
    """
    Read a webhook with its backlog, signals and baselines; before the first evaluation every signal is ``learning``.
    """
    signals = from_jsonb(row["signals"], dict[str, str]) if row["signals"] else None
    view = webhook_view(
        row,
        events_kept_s=events_kept_s,
        signals=signals_beside(health_of(row, Health).status, signals or _LEARNING),
        normal=from_jsonb(row["normal"], NormalBand) if row["normal"] else NormalBand(),
        previous_secrets_expire_at=row["previous_secrets_expire_at"],
    )
    return msgspec.structs.replace(view, backlog=read_backlog(row, view.held, policy))


def delivery_view(
    row: asyncpg.Record,
    event_types: dict[UUID, str],
    attempts: list[AttemptView] | msgspec.UnsetType = msgspec.UNSET,
) -> DeliveryView:
    event_type, created_at = event_types.get(row["event_id"]), id_time(row["id"])
    return from_row(row, DeliveryView, event_type=event_type, created_at=created_at, attempt_log=attempts)


ATTEMPT_COLUMNS = (
    "webhook_id, id, kind, delivery_id, event_id, event_type, number, status_code, error, error_detail, latency_ms,"
    " dns_ms, connect_ms, tls_ms, first_byte_ms, response_body"
)
"""What lists show: the exchange of an attempt can be large."""


def attempt_view(row: asyncpg.Record, **members: Any) -> AttemptView:
    body: bytes | None = row["response_body"]
    return from_row(
        row,
        AttemptView,
        ok=row["error"] is None,
        latency_ms=round(row["latency_ms"], 3),
        phases=Phases(row["dns_ms"], row["connect_ms"], row["tls_ms"], row["first_byte_ms"]),
        # A receiver may answer anything; what is not text is shown with replacement characters.
        response_body=None if body is None else body.decode(errors="replace"),
        at=id_time(row["id"]),
        **members,
    )


AUDIT_COLUMNS = (
    "id, least(greatest(at, '0001-01-01 00:00Z'), '9999-12-31 23:59Z') AS at,"
    " subject, role, request_id, client, action, target, before, after"
)
"""The driver fails on times that Python lacks, and so on all rows: a role that may add one could hide the others."""


def audit_view(row: asyncpg.Record) -> AuditView:
    """Read an audit row. It is never set aside: members that cannot be read are shown as such."""
    members = {name: _audited(row[name]) for name in ("before", "after")}
    return without_secret_urls(from_row(row, AuditView, **members))


def _audited(text: str | None) -> dict[str, Any] | None:
    try:
        return from_jsonb(text, dict[str, Any] | None)  # type: ignore[arg-type]
    except (msgspec.MsgspecError, RecursionError):
        return {"unreadable": True}
