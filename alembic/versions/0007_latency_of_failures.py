"""Latency of failed attempts apart from that of successful ones."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLES = ("rollups_minute", "rollups_hour", "rollups_day")


def upgrade() -> None:
    # A constant default rewrites no row. What was counted before stays in the sum of all.
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} ADD COLUMN failed_latency_sum_ms double precision NOT NULL DEFAULT 0")


def downgrade() -> None:
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} DROP COLUMN failed_latency_sum_ms")
