"""Indexes by event and webhook: whether a webhook has a delivery of an event.

Writers of deliveries wait while the indexes are built; readers wait for the moment in which the former ones go.
"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

TABLES = ("deliveries", "deliveries_finished")


def upgrade() -> None:
    for table in TABLES:
        op.execute(f"CREATE INDEX ix_{table}_pair ON {table} (event_id, webhook_id)")
    for table in TABLES:
        op.execute(f"DROP INDEX ix_{table}_event")


def downgrade() -> None:
    for table in TABLES:
        op.execute(f"CREATE INDEX ix_{table}_event ON {table} (event_id)")
    for table in TABLES:
        op.execute(f"DROP INDEX ix_{table}_pair")
