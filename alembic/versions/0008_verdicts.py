"""Ends of recent attempts, lanes that a receiver throttles, and schedules that start over."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Constant defaults: no row is rewritten, and an older version that does not write the columns goes on.
    op.execute("ALTER TABLE webhook_lanes ADD COLUMN recent_ends_s float8[] NOT NULL DEFAULT '{}'")
    op.execute("ALTER TABLE webhook_lanes ADD COLUMN throttled_until timestamptz")
    op.execute("ALTER TABLE deliveries ADD COLUMN schedule_from integer NOT NULL DEFAULT 0")


def downgrade() -> None:
    op.execute("ALTER TABLE deliveries DROP COLUMN schedule_from")
    op.execute("ALTER TABLE webhook_lanes DROP COLUMN throttled_until")
    op.execute("ALTER TABLE webhook_lanes DROP COLUMN recent_ends_s")
