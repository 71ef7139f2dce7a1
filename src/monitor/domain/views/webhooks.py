"""
Read models of webhooks, filled directly by SQL.

Names end in ``_at`` (RFC 3339 UTC), ``_ms``, ``_s``, ``_ratio`` (0 to 1); a ratio or percentile of nothing is null.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from monitor.domain.alerts.evaluation import NormalBand
from monitor.domain.delivery.backlog import Backlog
from monitor.domain.delivery.held import Held
from monitor.domain.delivery.order import Order
from monitor.domain.delivery.rate_limit import RateLimit
from monitor.domain.delivery.retention import EVENTS_KEPT_S
from monitor.domain.delivery.retry import RetryPolicy
from monitor.domain.monitoring.health import Health
from monitor.domain.vocab import BodyFormat, HealthStatus, Reenable, SignatureScheme, WebhookStatus
from monitor.domain.webhooks.chat_url import shown_url
from monitor.domain.webhooks.disabled import Disabled, disabled_details
from monitor.domain.webhooks.webhook import MASK, Webhook


class HealthView(msgspec.Struct, frozen=True):
    """Health of a webhook; ``failure_probability`` is the chance that the next delivery fails."""

    status: HealthStatus
    reason: str
    failure_probability: float
    changed_at: datetime | None


class LastHour(msgspec.Struct, frozen=True):
    """Attempts of the last 60 minutes; the latency is of the successful ones."""

    attempts: int
    success_ratio: float | None
    p95_ms: float | None


class WebhookView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """
    One webhook. ``headers`` shows names only, each value as ``***``; below the role admin ``url`` shows of a chat
    service its origin only. ``last_hour`` is set in lists. ``held`` is what
    keeps its due deliveries from being sent; null if nothing does. ``disabled`` is set while Monitor has it disabled,
    ``disabled_at`` while it is disabled at all. ``backfill_job`` is set in the answer of a change that asked for one.

    ``status`` is that of ``health`` worsened by open alerts, and what its configuration says, and ``status_reason``
    says why; answers to changes lack both. Details add ``signals``, the detection state of each signal (``learning``,
    ``normal``, ``open``, or ``failing`` where attempts fail no more than is usual for it), ``normal``, the normal range
    of the webhook, ``backlog``, what waits for it, and ``previous_secrets_expire_at``, until when former secrets sign
    too; null if one signs alone.
    """

    id: UUID
    name: str
    url: str
    description: str
    event_types: list[str]
    labels: dict[str, str]
    headers: dict[str, str]
    enabled: bool
    reenable: Reenable
    disabled_reason: str | None
    paused_at: datetime | None
    timeout_s: float
    retry: RetryPolicy
    max_concurrency: int
    rate_limit: RateLimit | None
    ordered: Order
    skip_after: int | None
    signature: SignatureScheme
    body_format: BodyFormat
    health: HealthView
    version: int
    created_at: datetime
    updated_at: datetime
    reminders: list[int] | None = None
    held: Held | None = None
    disabled: Disabled | None = None
    disabled_at: datetime | None = None
    status: WebhookStatus | msgspec.UnsetType = msgspec.UNSET
    status_reason: str | msgspec.UnsetType = msgspec.UNSET
    last_hour: LastHour | msgspec.UnsetType | None = msgspec.UNSET
    signals: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    normal: NormalBand | msgspec.UnsetType = msgspec.UNSET
    backlog: Backlog | msgspec.UnsetType = msgspec.UNSET
    previous_secrets_expire_at: datetime | msgspec.UnsetType | None = msgspec.UNSET
    secret: str | msgspec.UnsetType = msgspec.UNSET
    backfill_job: UUID | msgspec.UnsetType = msgspec.UNSET


def view_of(webhook: Webhook, health: Health, *, events_kept_s: float = EVENTS_KEPT_S, **members: Any) -> WebhookView:
    """Return the view of *webhook* as it is configured, with *members* of the details."""
    shown = {
        "disabled": disabled_details(
            webhook.disabled_reason,
            webhook.disabled_at,
            webhook.probe_at,
            enabled=webhook.enabled,
            events_kept_s=events_kept_s,
        ),
        "headers": dict.fromkeys(webhook.header_names, MASK),
        "health": HealthView(health.status, health.reason, health.failure_probability, health.changed_at),
    }
    return msgspec.convert(msgspec.structs.asdict(webhook) | shown | members, WebhookView)


def below_admin(view: WebhookView) -> WebhookView:
    """Return *view* for roles below admin: of the URL of a chat service, which is a secret, the origin alone."""
    return msgspec.structs.replace(view, url=shown_url(view.url, view.body_format))


class SecretView(msgspec.Struct, frozen=True):
    """A signing secret, shown once. The previous one also signs until ``previous_expires_at``."""

    secret: str
    previous_expires_at: datetime | None
