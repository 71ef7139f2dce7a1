"""Errors of a job in a row, and an index of what was quarantined lately.

On the partitioned table, writers wait while the index is built: results are kept until then, and events are accepted.
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE jobs ADD COLUMN errors integer NOT NULL DEFAULT 0")
    op.execute(
        "CREATE INDEX ix_deliveries_finished_quarantined ON deliveries_finished (finished_at)"
        " WHERE state = 'quarantined'"
    )


def downgrade() -> None:
    op.execute("DROP INDEX ix_deliveries_finished_quarantined")
    op.execute("ALTER TABLE jobs DROP COLUMN errors")
