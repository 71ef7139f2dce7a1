"""Silences that start later, repeat, and hold deliveries; and what was attempted inside, which uptime leaves out.

Columns without a rewrite; the table of silences is small. A process of the version before takes one that repeats for
active until its end, and holds nothing.
"""

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

COLUMNS = (
    "starts_at timestamptz",
    "duration_s integer",
    "rrule text",
    "timezone text",
    "window_starts timestamptz[]",
    "window_ends timestamptz[]",
    "advance_at timestamptz",
    "hold_deliveries boolean NOT NULL DEFAULT false",
)


def upgrade() -> None:
    op.execute(f"ALTER TABLE silences {', '.join(f'ADD COLUMN {column}' for column in COLUMNS)}")
    op.execute("CREATE INDEX ix_silences_advance_at ON silences (advance_at) WHERE advance_at IS NOT NULL")
    op.execute("CREATE INDEX ix_silences_hold ON silences (ends_at) WHERE hold_deliveries")
    op.execute("ALTER TABLE webhook_lanes ADD COLUMN hold_seen_at timestamptz")
    op.execute(
        "CREATE TABLE silenced_hours (webhook_id uuid NOT NULL, bucket_at timestamptz NOT NULL,"
        " attempts integer NOT NULL, failures integer NOT NULL, PRIMARY KEY (webhook_id, bucket_at))"
    )
    op.execute("CREATE INDEX ix_silenced_hours_bucket_at ON silenced_hours (bucket_at)")


def downgrade() -> None:
    op.execute("DROP TABLE silenced_hours")
    op.execute("ALTER TABLE webhook_lanes DROP COLUMN hold_seen_at")
    op.execute("DROP INDEX ix_silences_hold")
    op.execute("DROP INDEX ix_silences_advance_at")
    op.execute(f"ALTER TABLE silences {', '.join(f'DROP COLUMN {column.split()[0]}' for column in COLUMNS)}")
