"""Order keys, failing heads that step aside, and replays in a line of their own.

Writers of deliveries wait while the indexes are built.
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_deliveries_line": "deliveries (webhook_id, replayed, id) WHERE NOT aside",
    "ix_deliveries_key": "deliveries (webhook_id, order_key, replayed, id) WHERE order_key IS NOT NULL AND NOT aside",
    "ix_deliveries_walk": "deliveries (webhook_id, behind, due_at)",
    "ix_deliveries_behind": "deliveries (webhook_id, order_key, replayed) WHERE behind",
    "ix_deliveries_aside": "deliveries (webhook_id, due_at) WHERE aside",
}


def upgrade() -> None:
    # Constant defaults: no row is rewritten. An older version reads `ordered` alone: it sends a webhook that is ordered
    # by key one delivery at a time.
    op.execute("ALTER TABLE webhooks ADD COLUMN order_by_key boolean NOT NULL DEFAULT false")
    op.execute("ALTER TABLE webhooks ADD COLUMN skip_after integer")
    op.execute("ALTER TABLE events ADD COLUMN order_key text")
    op.execute("ALTER TABLE deliveries ADD COLUMN order_key text")
    for name in ("replayed", "aside", "behind"):
        op.execute(f"ALTER TABLE deliveries ADD COLUMN {name} boolean NOT NULL DEFAULT false")
    op.execute("ALTER TABLE deliveries_finished ADD COLUMN order_key text")
    for name, columns in INDEXES.items():
        op.execute(f"CREATE INDEX {name} ON {columns}")


def downgrade() -> None:
    for name in INDEXES:
        op.execute(f"DROP INDEX {name}")
    op.execute("ALTER TABLE deliveries_finished DROP COLUMN order_key")
    for name in ("behind", "aside", "replayed", "order_key"):
        op.execute(f"ALTER TABLE deliveries DROP COLUMN {name}")
    op.execute("ALTER TABLE events DROP COLUMN order_key")
    op.execute("ALTER TABLE webhooks DROP COLUMN skip_after")
    op.execute("ALTER TABLE webhooks DROP COLUMN order_by_key")
