"""The index of deliveries whose events reached retention before they were sent.

On the partitioned table, writers wait while an index is built: results are kept until then.
"""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE INDEX ix_deliveries_finished_expired ON deliveries_finished (webhook_id, finished_at)"
        " WHERE state = 'failed' AND last_error = 'expired'"
    )


def downgrade() -> None:
    op.execute("DROP INDEX ix_deliveries_finished_expired")
