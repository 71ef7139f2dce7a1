"""Index of what was quarantined lately.

On the partitioned table, writers wait while it is built: results are kept until then, and events are accepted.
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE INDEX ix_deliveries_finished_quarantined ON deliveries_finished (finished_at)"
        " WHERE state = 'quarantined'"
    )


def downgrade() -> None:
    op.execute("DROP INDEX ix_deliveries_finished_quarantined")
