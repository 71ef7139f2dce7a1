"""Indexes of what is deleted by age, and of the failures of a webhook.

On the partitioned tables, writers wait while an index is built: results are kept until then, and events are accepted.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_replays_finished_at": "replays (finished_at)",
    "ix_audit_log_at": "audit_log (at)",
    "ix_anomalies_closed_at": "anomalies (closed_at)",
    "ix_deliveries_finished_undelivered": "deliveries_finished (webhook_id, id) WHERE state <> 'delivered'",
    "ix_attempts_failed": "attempts (webhook_id, id) WHERE error IS NOT NULL",
}


def upgrade() -> None:
    for name, columns in INDEXES.items():
        op.execute(f"CREATE INDEX {name} ON {columns}")


def downgrade() -> None:
    for name in INDEXES:
        op.execute(f"DROP INDEX {name}")
