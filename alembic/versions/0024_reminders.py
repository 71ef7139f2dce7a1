"""Reminders of alerts: the steps of a webhook, and the next look at each alert that may need one. One-use links in
messages: which were used.

The column is added without a rewrite, and the tables are new. Alerts that are open already get reminders from now on.
"""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE webhooks ADD COLUMN reminders INTEGER[]")
    op.execute("""
        CREATE TABLE alert_reminders (
            alert_id UUID PRIMARY KEY REFERENCES alerts (id) ON DELETE CASCADE,
            since TIMESTAMPTZ NOT NULL,
            passed_s INTEGER NOT NULL,
            next_at TIMESTAMPTZ NOT NULL
        )
    """)
    op.execute("CREATE INDEX ix_alert_reminders_next_at ON alert_reminders (next_at)")
    op.execute("""
        INSERT INTO alert_reminders (alert_id, since, passed_s, next_at)
        SELECT id, now(), 0, now() + interval '5 minutes' FROM alerts
        WHERE state = 'pending' AND severity = 'critical'
            AND notified AND NOT pending_notification AND NOT flapping
    """)
    op.execute("""
        CREATE TABLE used_links (
            digest BYTEA PRIMARY KEY,
            used_at TIMESTAMPTZ NOT NULL,
            used_by TEXT NOT NULL,
            expires_at TIMESTAMPTZ NOT NULL
        )
    """)
    op.execute("CREATE INDEX ix_used_links_expires_at ON used_links (expires_at)")


def downgrade() -> None:
    op.execute("DROP TABLE used_links")
    op.execute("DROP TABLE alert_reminders")
    op.execute("ALTER TABLE webhooks DROP COLUMN reminders")
