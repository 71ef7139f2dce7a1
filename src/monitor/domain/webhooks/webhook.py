"""Configuration of a webhook."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from monitor.domain.delivery.order import Order
from monitor.domain.delivery.rate_limit import RateLimit
from monitor.domain.delivery.retry import RetryPolicy
from monitor.domain.vocab import BodyFormat, Reenable, SignatureScheme

MASK = "***"
"""Replaces the value of a destination header in responses; in a request it keeps the stored value."""

RESERVED_HEADERS = frozenset(
    {
        "connection", "content-encoding", "content-length", "content-type", "expect", "host", "keep-alive",
        "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
        "accept-encoding", "monitor-event-type", "traceparent", "tracestate", "user-agent", "webhook-id",
        "webhook-signature", "webhook-timestamp",
    }
)  # fmt: skip
"""Lower-case names that a webhook's own headers may not set."""


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """
    Configuration of one destination. Secrets and header values are stored apart, encrypted.

    ``disabled_at`` is set while it is disabled, unless an older version disabled it; ``disabled_reason`` while it is
    Monitor that disabled it; ``probe_at`` while the next of its probes is due, after ``probes`` of them. ``reminders``
    are its own steps, if it has any; see :func:`monitor.domain.delivery.reminders.steps_of`.
    """

    id: UUID
    name: str
    url: str
    description: str = ""
    event_types: tuple[str, ...] = ("*",)
    labels: dict[str, str] = {}
    header_names: tuple[str, ...] = ()
    enabled: bool = True
    disabled_reason: str | None = None
    disabled_at: datetime | None = None
    reenable: Reenable = Reenable.NEVER
    probe_at: datetime | None = None
    probes: int = 0
    paused_at: datetime | None = None
    timeout_s: float = 15.0
    retry: RetryPolicy = RetryPolicy()
    max_concurrency: int = 10
    rate_limit: RateLimit | None = None
    ordered: Order = False
    skip_after: int | None = None
    signature: SignatureScheme = SignatureScheme.V1
    body_format: BodyFormat = BodyFormat.STANDARD
    reminders: tuple[int, ...] | None = None
    version: int = 1
    created_at: datetime
    updated_at: datetime
