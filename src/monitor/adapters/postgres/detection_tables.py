"""The tables of detection and alerts: the other part of ``tables``, which completes the schema by importing it."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from advanced_alchemy.base import DefaultBase
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = DefaultBase.metadata


def at(name: str, *, nullable: bool = False) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


baselines = sa.Table(
    # Large and written at every evaluation, so apart from the lanes that every claim reads.
    "webhook_baselines",
    metadata,
    sa.Column("webhook_id", sa.Uuid, sa.ForeignKey("webhooks.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("baselines", sa.LargeBinary, nullable=False),
    at("evaluated_at"),
    sa.Column("signals", JSONB, nullable=False),
    sa.Column("normal", JSONB, nullable=False),
    # What held at that time, by kind of alert.
    sa.Column("conditions", JSONB, nullable=True),
)

anomalies = sa.Table(
    "anomalies",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("webhook_id", sa.Uuid, nullable=False),
    sa.Column("signal", sa.Text, nullable=False),
    sa.Column("severity", sa.Text, nullable=False),
    sa.Column("sentence", sa.Text, nullable=False),
    sa.Column("evidence", JSONB, nullable=False),
    at("opened_at"),
    at("closed_at", nullable=True),
    sa.Index("ux_anomalies_open", "webhook_id", "signal", unique=True, postgresql_where=sa.text("closed_at IS NULL")),
    sa.Index("ix_anomalies_webhook_id", "webhook_id", "id"),
    sa.Index("ix_anomalies_closed_at", "closed_at"),
    sa.Index("ix_anomalies_opened_at", "opened_at"),
)

health_changes = sa.Table(
    "health_changes",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("webhook_id", sa.Uuid, nullable=False),
    at("at"),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Index("ix_health_changes_at", "at"),
)

alerts = sa.Table(
    "alerts",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("webhook_id", sa.Uuid, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("severity", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("causes", ARRAY(sa.Text), nullable=False),
    sa.Column("evidence", JSONB, nullable=False),
    at("raised_at"),
    at("acknowledged_at", nullable=True),
    sa.Column("acknowledged_by", sa.Text, nullable=True),
    at("ack_expires_at", nullable=True),
    at("first_acknowledged_at", nullable=True),
    sa.Column("note", sa.Text, nullable=True),
    at("resolved_at", nullable=True),
    sa.Column("resolved_by", sa.Text, nullable=True),
    sa.Column("transitions", ARRAY(sa.DateTime(timezone=True)), nullable=False),
    sa.Column("flapping", sa.Boolean, nullable=False),
    sa.Column("notified", sa.Boolean, nullable=False),
    sa.Column("pending_notification", sa.Boolean, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("worst_severity", sa.Text, nullable=True),
    at("lower_since", nullable=True),
    sa.Column("superseded", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("told_severities", ARRAY(sa.Text), nullable=False, server_default="{}"),
    # Ensures one open alert per webhook and kind under concurrency.
    sa.Index("ux_alerts_open", "webhook_id", "kind", unique=True, postgresql_where=sa.text("state <> 'resolved'")),
    sa.Index("ix_alerts_webhook_id", "webhook_id", "id"),
    sa.Index("ix_alerts_open", "severity", "id", postgresql_where=sa.text("state <> 'resolved'")),
    sa.Index("ix_alerts_raised_at", "raised_at"),
    sa.Index("ix_alerts_untold", "id", postgresql_where=sa.text("pending_notification OR flapping")),
    sa.Index("ix_alerts_resolved_at", "resolved_at", postgresql_where=sa.text("state = 'resolved'")),
)

alert_history = sa.Table(
    "alert_history",
    metadata,
    sa.Column("alert_id", sa.Uuid, sa.ForeignKey("alerts.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    at("at"),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("note", sa.Text, nullable=True),
    sa.Column("severity", sa.Text, nullable=True),
    sa.Column("title", sa.Text, nullable=True),
    sa.Column("causes", ARRAY(sa.Text), nullable=True),
    sa.Column("evidence", JSONB, nullable=True),
    at("expires_at", nullable=True),
    # The event by which subscribers were notified of the entry.
    sa.Column("event_id", sa.Uuid, nullable=True),
    sa.Index("ix_alert_history_at", "at"),
)

alert_reminders = sa.Table(
    # The next look at each alert that may need reminders; a day after its beginning at most.
    "alert_reminders",
    metadata,
    sa.Column("alert_id", sa.Uuid, sa.ForeignKey("alerts.id", ondelete="CASCADE"), primary_key=True),
    at("since"),
    sa.Column("passed_s", sa.Integer, nullable=False),
    at("next_at"),
    sa.Index("ix_alert_reminders_next_at", "next_at"),
)

used_links = sa.Table(
    # Links in messages that were used, each until it expires.
    "used_links",
    metadata,
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    at("used_at"),
    sa.Column("used_by", sa.Text, nullable=False),
    at("expires_at"),
    sa.Index("ix_used_links_expires_at", "expires_at"),
)

alert_notifications = sa.Table(
    "alert_notifications",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("notification", sa.LargeBinary, nullable=False),
)

# As PostgreSQL prints them. The rules are those of domain.monitoring.status, as a property on random rows proves.
_STATUS = """
CASE WHEN NOT enabled THEN 'disabled'::text
    WHEN paused THEN 'paused'::text
    WHEN health_status <> ALL (ARRAY['unavailable'::text, 'degraded'::text]) AND (critical > 0 OR warning > 0)
        THEN 'degraded'::text
    ELSE health_status
END
"""
_URGENCY = """
CASE WHEN critical > 0 AND (NOT enabled OR paused) THEN 2
    WHEN NOT enabled THEN 13
    WHEN paused THEN 7
    ELSE
        CASE WHEN health_status = 'unavailable'::text THEN 0
            WHEN health_status = 'degraded'::text OR critical > 0 OR warning > 0 THEN 2
            WHEN health_status = 'throttled'::text THEN 4
            WHEN health_status = 'unknown'::text THEN 8
            ELSE 10
        END + CASE WHEN critical > 0 THEN 0 ELSE 1 END
END::double precision - failure_probability
"""

summaries = sa.Table(
    # What lists of webhooks are filtered and sorted by. Triggers keep configuration, health and alerts in it; the
    # figures, of which -1 stands for none, are measured again every half a minute. Status and order are generated.
    "webhook_summaries",
    metadata,
    sa.Column("webhook_id", sa.Uuid, sa.ForeignKey("webhooks.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("name", sa.Text(collation="C"), nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("paused", sa.Boolean, nullable=False),
    sa.Column("health_status", sa.Text, nullable=False, server_default="unknown"),
    sa.Column("failure_probability", sa.Double, nullable=False, server_default="0.05"),
    *(sa.Column(name, sa.Integer, nullable=False, server_default="0") for name in ("critical", "warning", "info")),
    # Of one type, since one statement pages through all.
    sa.Column("attempts", sa.Double, nullable=False, server_default="0"),
    sa.Column("failure_ratio", sa.Double, nullable=False, server_default="-1"),
    sa.Column("p95_ms", sa.Double, nullable=False, server_default="-1"),
    sa.Column("waiting", sa.Double, nullable=False, server_default="0"),
    sa.Column("status", sa.Text, sa.Computed(_STATUS, persisted=True), nullable=False),
    sa.Column("urgency", sa.Double, sa.Computed(_URGENCY, persisted=True), nullable=False),
    *(
        sa.Index(f"ix_webhook_summaries_{name}", name, "webhook_id")
        for name in ("urgency", "name", "attempts", "failure_ratio", "p95_ms", "waiting")
    ),
    sa.Index("ix_webhook_summaries_status", "status", "urgency", "webhook_id"),
)

summary_progress = sa.Table(
    # One row: the webhook up to which figures were measured in this round, and when the round and its last step began.
    "summary_progress",
    metadata,
    sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("after", sa.Uuid, nullable=False),
    at("round_at"),
    at("stepped_at"),
)
