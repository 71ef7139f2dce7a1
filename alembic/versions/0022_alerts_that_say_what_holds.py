"""What holds now beside what an alert began with, and the alerts that have something to tell.

New columns have constant defaults, so no table is rewritten, and a process of the version before leaves them alone.
Writers of alerts wait while the index is built: the table is small.
"""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE alerts ADD COLUMN worst_severity text, ADD COLUMN lower_since timestamptz,"
        " ADD COLUMN superseded boolean NOT NULL DEFAULT false,"
        " ADD COLUMN told_severities text[] NOT NULL DEFAULT '{}'"
    )
    op.execute("CREATE INDEX ix_alerts_untold ON alerts (id) WHERE pending_notification OR flapping")
    op.execute("ALTER TABLE webhook_baselines ADD COLUMN conditions jsonb")


def downgrade() -> None:
    op.execute("ALTER TABLE webhook_baselines DROP COLUMN conditions")
    op.execute("DROP INDEX ix_alerts_untold")
    op.execute(
        "ALTER TABLE alerts DROP COLUMN worst_severity, DROP COLUMN lower_since, DROP COLUMN superseded,"
        " DROP COLUMN told_severities"
    )
