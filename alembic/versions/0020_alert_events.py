"""The event that notified subscribers of a history entry of an alert, and the index of open alerts by severity.

The column is added without a rewrite. Few alerts are open, so the index takes one scan of the table of alerts.
"""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE alert_history ADD COLUMN event_id UUID")
    op.execute("CREATE INDEX ix_alerts_open ON alerts (severity, id) WHERE state <> 'resolved'")


def downgrade() -> None:
    op.execute("DROP INDEX ix_alerts_open")
    op.execute("ALTER TABLE alert_history DROP COLUMN event_id")
