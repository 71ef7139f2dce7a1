"""
The schema for SQLAlchemy. Private to this package; mapped classes are written through repositories (ADR 0002).

``alembic/versions`` holds the statements that make it; ``nox -s migrations`` compares the two. Tables named
"daily" are partitioned by day: by id where ids carry time, else by their ``bucket_at`` (ADR 0003).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from advanced_alchemy.base import DefaultBase
from advanced_alchemy.types import DateTimeUTC
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from monitor.adapters.postgres import rollup_tables
from monitor.adapters.postgres.detection_tables import at as _at
from monitor.adapters.postgres.job_tables import JobRow, replays
from monitor.domain.delivery.order import ALERT_KEYS, BY_KEY, Order

__all__ = ["JobRow", "SecretRow", "SilenceRow", "WebhookRow", "metadata", "replays"]

metadata = rollup_tables.metadata


class WebhookRow(DefaultBase):
    """One registered destination. Deleted rows stay until retention, so that history keeps its names."""

    __tablename__ = "webhooks"
    __table_args__ = (
        sa.Index("ix_webhooks_event_types", "event_types", postgresql_using="gin"),
        sa.Index("ix_webhooks_labels", "labels", postgresql_using="gin"),
        sa.Index("ix_webhooks_probe_at", "probe_at", postgresql_where=sa.text("probe_at IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.Text)
    url: Mapped[str] = mapped_column(sa.Text)
    description: Mapped[str] = mapped_column(sa.Text)
    event_types: Mapped[list[str]] = mapped_column(ARRAY(sa.Text))
    labels: Mapped[dict[str, str]] = mapped_column(JSONB)
    header_names: Mapped[list[str]] = mapped_column(ARRAY(sa.Text))
    headers_sealed: Mapped[bytes | None] = mapped_column(sa.LargeBinary)
    enabled: Mapped[bool]
    disabled_reason: Mapped[str | None] = mapped_column(sa.Text)
    disabled_at: Mapped[datetime | None] = mapped_column(DateTimeUTC(timezone=True))
    reenable: Mapped[str] = mapped_column(sa.Text, server_default="never")
    probe_at: Mapped[datetime | None] = mapped_column(DateTimeUTC(timezone=True))
    probes: Mapped[int] = mapped_column(server_default="0")
    paused_at: Mapped[datetime | None] = mapped_column(DateTimeUTC(timezone=True))
    timeout_s: Mapped[float] = mapped_column(sa.Double)
    retry: Mapped[dict[str, Any]] = mapped_column(JSONB)
    max_concurrency: Mapped[int]
    rate_limit: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    is_ordered: Mapped[bool] = mapped_column("ordered")
    order_by_key: Mapped[bool] = mapped_column(server_default=sa.false())
    skip_after: Mapped[int | None]
    signature: Mapped[str] = mapped_column(sa.Text)
    body_format: Mapped[str] = mapped_column(sa.Text, server_default="standard")
    reminders: Mapped[list[int] | None] = mapped_column(ARRAY(sa.Integer))
    version: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(DateTimeUTC(timezone=True))
    updated_at: Mapped[datetime] = mapped_column(DateTimeUTC(timezone=True))
    deleted_at: Mapped[datetime | None] = mapped_column(DateTimeUTC(timezone=True))

    @property
    def ordered(self) -> Order:
        """Two columns, so that a version from before order keys reads the first one."""
        return BY_KEY if self.order_by_key else self.is_ordered

    @ordered.setter
    def ordered(self, ordered: Order) -> None:
        self.is_ordered, self.order_by_key = ordered is not False, ordered == BY_KEY


class SecretRow(DefaultBase):
    """One signing key of a webhook, sealed. ``expires_at`` is null for the current one."""

    __tablename__ = "webhook_secrets"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    webhook_id: Mapped[UUID] = mapped_column(sa.ForeignKey("webhooks.id", ondelete="CASCADE"), index=True)
    sealed: Mapped[bytes] = mapped_column(sa.LargeBinary)
    created_at: Mapped[datetime] = mapped_column(DateTimeUTC(timezone=True))
    expires_at: Mapped[datetime | None] = mapped_column(DateTimeUTC(timezone=True))


class SilenceRow(DefaultBase):
    """One silence of alerts. Ended ones stay until retention."""

    __tablename__ = "silences"
    __table_args__ = (
        sa.Index("ix_silences_ends_at", "ends_at"),
        sa.Index("ix_silences_advance_at", "advance_at", postgresql_where=sa.text("advance_at IS NOT NULL")),
        sa.Index("ix_silences_hold", "ends_at", postgresql_where=sa.text("hold_deliveries")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    created_by: Mapped[str] = mapped_column(sa.Text)
    created_at: Mapped[datetime] = mapped_column(DateTimeUTC(timezone=True))
    reason: Mapped[str] = mapped_column(sa.Text)
    ends_at: Mapped[datetime] = mapped_column(DateTimeUTC(timezone=True))
    starts_at: Mapped[datetime | None] = mapped_column(DateTimeUTC(timezone=True))
    duration_s: Mapped[int | None]
    rrule: Mapped[str | None] = mapped_column(sa.Text)
    timezone: Mapped[str | None] = mapped_column(sa.Text)
    # The latest occurrence that ended and the next ones, of a silence that repeats.
    window_starts: Mapped[list[datetime] | None] = mapped_column(ARRAY(sa.DateTime(timezone=True)))
    window_ends: Mapped[list[datetime] | None] = mapped_column(ARRAY(sa.DateTime(timezone=True)))
    advance_at: Mapped[datetime | None] = mapped_column(DateTimeUTC(timezone=True))
    hold_deliveries: Mapped[bool] = mapped_column(server_default=sa.false())
    webhook_id: Mapped[UUID | None]
    label: Mapped[str | None] = mapped_column(sa.Text)
    kind: Mapped[str | None] = mapped_column(sa.Text)


lanes = sa.Table(
    # State that changes with every attempt, apart from the configuration: its lock serialises claim and settle of one
    # webhook.
    "webhook_lanes",
    metadata,
    sa.Column("webhook_id", sa.Uuid, sa.ForeignKey("webhooks.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("recent", ARRAY(sa.Text), nullable=False),
    sa.Column("recent_ends_s", ARRAY(sa.Double), nullable=False, server_default="{}"),
    _at("last_attempt_at", nullable=True),
    _at("failing_since", nullable=True),
    sa.Column("health_status", sa.Text, nullable=False),
    sa.Column("health_reason", sa.Text, nullable=False),
    sa.Column("failure_probability", sa.Double, nullable=False),
    _at("health_changed_at", nullable=True),
    sa.Column("breaker_state", sa.Text, nullable=False),
    _at("breaker_until", nullable=True),
    sa.Column("breaker_trips", sa.Integer, nullable=False),
    sa.Column("breaker_since", sa.Integer, nullable=False),
    sa.Column("breaker_cause", sa.Text, nullable=True),
    _at("breaker_cause_at", nullable=True),
    sa.Column("tokens", sa.Double, nullable=True),
    _at("tokens_at", nullable=True),
    _at("throttled_until", nullable=True),
    # What was due when a pause ended is released one after the other; the next one then.
    _at("resumed_at", nullable=True),
    _at("release_at", nullable=True),
    # The end of the latest silence that held deliveries and whose release began.
    _at("hold_seen_at", nullable=True),
    # Jobs have spread deliveries over the time until then; what the next ones bring back falls due after it.
    _at("paced_until", nullable=True),
    # What the detector has not evaluated yet, and when it is due.
    sa.Column("unevaluated", sa.LargeBinary, nullable=True),
    _at("evaluate_at", nullable=True),
    sa.Index("ix_webhook_lanes_evaluate_at", "evaluate_at"),
)

events = sa.Table(
    "events",  # daily by id
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("labels", JSONB, nullable=False),
    _at("occurred_at"),
    _at("created_at"),
    sa.Column("order_key", sa.Text, nullable=True),
    sa.Column("traceparent", sa.Text, nullable=True),
    sa.Index("ix_events_type_id", "type", "id"),
    postgresql_partition_by="RANGE (id)",
)

fan_outs = sa.Table(
    # Events whose deliveries workers are still making, until the last one is made. event_types: patterns that match.
    "fan_outs",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("event_ids", ARRAY(sa.Uuid), nullable=False),
    sa.Column("except_webhook_ids", ARRAY(sa.Uuid), nullable=False),
    sa.Column("event_types", ARRAY(sa.Text), nullable=False),
    _at("accepted_at"),
    _at("stepped_at"),
    sa.Column("after", sa.Uuid, nullable=True),
    sa.Column("done", sa.Integer, nullable=False),
    sa.Index("ix_fan_outs_stepped_at", "stepped_at", "id"),
)

deliveries = sa.Table(
    # Only what still has to be done; finished rows move to deliveries_finished. A lease is a due_at in the future
    # with leased_by set, so a dead worker's rows become due again by themselves.
    "deliveries",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("event_id", sa.Uuid, nullable=False),
    sa.Column("webhook_id", sa.Uuid, nullable=False),
    _at("due_at"),
    sa.Column("leased_by", sa.Text, nullable=True),
    _at("leased_at", nullable=True),
    sa.Column("fencing_token", sa.Integer, nullable=False, server_default="0"),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    # The attempts before the retry schedule last started over.
    sa.Column("schedule_from", sa.Integer, nullable=False, server_default="0"),
    sa.Column("crashes", sa.Integer, nullable=False, server_default="0"),
    sa.Column("last_status_code", sa.SmallInteger, nullable=True),
    sa.Column("last_error", sa.Text, nullable=True),
    # The order, as in domain.delivery.order. A claim that meets a delivery behind another one of its key marks it, and
    # no claim looks at it again until it is the head.
    sa.Column("order_key", sa.Text, nullable=True),
    sa.Column("replayed", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("aside", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("behind", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Index("ix_deliveries_line", "webhook_id", "replayed", "id", postgresql_where=sa.text("NOT aside")),
    sa.Index(
        "ix_deliveries_key",
        *("webhook_id", "order_key", "replayed", "id"),
        postgresql_where=sa.text("order_key IS NOT NULL AND NOT aside"),
    ),
    # The newest message about an alert replaces the others.
    sa.Index(
        "ix_deliveries_alert",
        *("webhook_id", "order_key", "event_id", "id"),
        postgresql_where=sa.text(f"starts_with(order_key, '{ALERT_KEYS}')"),
    ),
    sa.Index("ix_deliveries_walk", "webhook_id", "behind", "due_at"),
    sa.Index("ix_deliveries_behind", "webhook_id", "order_key", "replayed", postgresql_where=sa.text("behind")),
    sa.Index("ix_deliveries_aside", "webhook_id", "due_at", postgresql_where=sa.text("aside")),
    sa.Index("ix_deliveries_due", "webhook_id", "due_at"),
    sa.Index("ix_deliveries_webhook_id", "webhook_id", "id"),
    sa.Index("ix_deliveries_pair", "event_id", "webhook_id"),
    sa.Index("ix_deliveries_leased", "webhook_id", postgresql_where=sa.text("leased_by IS NOT NULL")),
    sa.Index("ix_deliveries_error", "last_error", "id", postgresql_where=sa.text("last_error IS NOT NULL")),
)

deliveries_finished = sa.Table(
    "deliveries_finished",  # daily by id
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("event_id", sa.Uuid, nullable=False),
    sa.Column("webhook_id", sa.Uuid, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("fencing_token", sa.Integer, nullable=False),
    sa.Column("last_status_code", sa.SmallInteger, nullable=True),
    sa.Column("last_error", sa.Text, nullable=True),
    sa.Column("order_key", sa.Text, nullable=True),
    _at("finished_at"),
    sa.Index("ix_deliveries_finished_webhook_id", "webhook_id", "id"),
    sa.Index("ix_deliveries_finished_pair", "event_id", "webhook_id"),
    # Rare among a million delivered ones, and searched for.
    sa.Index(
        "ix_deliveries_finished_undelivered", "webhook_id", "id", postgresql_where=sa.text("state <> 'delivered'")
    ),
    sa.Index("ix_deliveries_finished_state", "state", "id", postgresql_where=sa.text("state <> 'delivered'")),
    sa.Index("ix_deliveries_finished_quarantined", "finished_at", postgresql_where=sa.text("state = 'quarantined'")),
    sa.Index(
        "ix_deliveries_finished_expired",
        *("webhook_id", "finished_at"),
        postgresql_where=sa.text("state = 'failed' AND last_error = 'expired'"),
    ),
    sa.Index("ix_deliveries_finished_error", "last_error", "id", postgresql_where=sa.text("last_error IS NOT NULL")),
    postgresql_partition_by="RANGE (id)",
)

attempts = sa.Table(
    # Daily by id. Its key is also the index of the attempt log.
    "attempts",
    metadata,
    sa.Column("webhook_id", sa.Uuid, primary_key=True),
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("delivery_id", sa.Uuid, nullable=True),
    sa.Column("event_id", sa.Uuid, nullable=True),
    sa.Column("event_type", sa.Text, nullable=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("status_code", sa.SmallInteger, nullable=True),
    sa.Column("error", sa.Text, nullable=True),
    sa.Column("error_detail", sa.Text, nullable=True),
    sa.Column("latency_ms", sa.Double, nullable=False),
    *(sa.Column(name, sa.REAL, nullable=True) for name in ("dns_ms", "connect_ms", "tls_ms", "first_byte_ms")),
    sa.Column("response_body", sa.LargeBinary, nullable=True),
    # As text: nothing is searched in it.
    sa.Column("exchange", sa.JSON, nullable=True),
    # The few failures of a healthy webhook.
    sa.Index("ix_attempts_failed", "webhook_id", "id", postgresql_where=sa.text("error IS NOT NULL")),
    sa.Index("ix_attempts_delivery", "delivery_id", postgresql_where=sa.text("delivery_id IS NOT NULL")),
    postgresql_partition_by="RANGE (id)",
)


silenced_hours = sa.Table(
    # Attempts inside silences, by the hour in which they started: uptime leaves them out.
    "silenced_hours",
    metadata,
    sa.Column("webhook_id", sa.Uuid, primary_key=True),
    sa.Column("bucket_at", sa.DateTime(timezone=True), primary_key=True),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Index("ix_silenced_hours_bucket_at", "bucket_at"),
)

idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    sa.Column("scope", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("body_hash", sa.LargeBinary, nullable=False),
    sa.Column("answer_sealed", sa.LargeBinary, nullable=True),
    _at("created_at"),
    sa.Index("ix_idempotency_keys_created_at", "created_at"),
)

audit_log = sa.Table(
    "audit_log",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    _at("at"),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=True),
    sa.Column("request_id", sa.Text, nullable=True),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("before", JSONB, nullable=True),
    sa.Column("after", JSONB, nullable=True),
    sa.Column("client", sa.Text, nullable=True),
    sa.Index("ix_audit_log_at", "at"),
    sa.Index("ix_audit_log_target", "target", "action", "at"),
)

revoked_tokens = sa.Table(
    "revoked_tokens",
    metadata,
    sa.Column("jti", sa.Text, primary_key=True),
    _at("revoked_at"),
    _at("expires_at"),
)

event_outbox = sa.Table(
    # Domain events until their dispatch.
    "event_outbox",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("event", sa.LargeBinary, nullable=False),
)
