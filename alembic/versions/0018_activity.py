"""Changes of health, and the indexes by time of the changes that the live view starts from.

Writers of alerts and anomalies wait while the indexes are built: both tables are small.
"""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE TABLE health_changes (id uuid PRIMARY KEY, webhook_id uuid NOT NULL, at timestamptz NOT NULL,"
        " status text NOT NULL, reason text NOT NULL)"
    )
    op.execute("CREATE INDEX ix_health_changes_at ON health_changes (at)")
    op.execute("CREATE INDEX ix_alert_history_at ON alert_history (at)")
    op.execute("CREATE INDEX ix_anomalies_opened_at ON anomalies (opened_at)")


def downgrade() -> None:
    op.execute("DROP INDEX ix_anomalies_opened_at")
    op.execute("DROP INDEX ix_alert_history_at")
    op.execute("DROP TABLE health_changes")
