"""The messages about one alert, by which the newest replaces the others.

Writers of deliveries wait while the index is built: one look at what is queued, of which nothing is in the index yet.
"""

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE INDEX ix_deliveries_alert ON deliveries (webhook_id, order_key, event_id, id)"
        " WHERE starts_with(order_key, 'monitor.alert.')"
    )


def downgrade() -> None:
    op.execute("DROP INDEX ix_deliveries_alert")
