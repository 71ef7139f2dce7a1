"""Rollups of hours and days, how far they are folded, and what has to be folded again."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

LEVEL = """
CREATE TABLE rollups_{level} (
    webhook_id uuid NOT NULL,
    bucket_at timestamptz NOT NULL,
    attempts integer NOT NULL,
    failures integer NOT NULL,
    latency_sum_ms double precision NOT NULL,
    errors jsonb NOT NULL,
    CONSTRAINT pk_rollups_{level} PRIMARY KEY (webhook_id, bucket_at)
) PARTITION BY RANGE (bucket_at);
CREATE TABLE rollups_{level}_default PARTITION OF rollups_{level} DEFAULT;

CREATE TABLE histograms_{level} (
    webhook_id uuid NOT NULL,
    bucket_at timestamptz NOT NULL,
    indexes smallint[] NOT NULL,
    counts integer[] NOT NULL,
    CONSTRAINT pk_histograms_{level} PRIMARY KEY (webhook_id, bucket_at)
) PARTITION BY RANGE (bucket_at);
CREATE TABLE histograms_{level}_default PARTITION OF histograms_{level} DEFAULT;
"""

FOLDING = """
CREATE TABLE rollup_progress (
    level text CONSTRAINT pk_rollup_progress PRIMARY KEY,
    folded_until timestamptz NOT NULL
);

CREATE TABLE rollups_stale (
    level text NOT NULL,
    webhook_id uuid NOT NULL,
    bucket_at timestamptz NOT NULL,
    CONSTRAINT pk_rollups_stale PRIMARY KEY (level, webhook_id, bucket_at)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
"""


def upgrade() -> None:
    for statement in (LEVEL.format(level="hour") + LEVEL.format(level="day") + FOLDING).split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE rollups_stale, rollup_progress, histograms_day, rollups_day, histograms_hour, rollups_hour")
