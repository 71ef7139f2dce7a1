"""Tables of rollups, and of their compaction. Private to this package, like :mod:`monitor.adapters.postgres.tables`."""

from __future__ import annotations

import sqlalchemy as sa
from advanced_alchemy.base import DefaultBase
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = DefaultBase.metadata


def _rollups(resolution: str) -> tuple[sa.Table, sa.Table]:
    """Return counts and histograms of one resolution. Counts are read far more often and stay small (ADR 0003).

    Minutes are partitioned by day, hours and days by calendar month. ``webhook_id`` zero is the whole system.
    """
    return (
        sa.Table(
            f"rollups_{resolution}",
            metadata,
            sa.Column("webhook_id", sa.Uuid, primary_key=True),
            sa.Column("bucket_at", sa.DateTime(timezone=True), primary_key=True),
            sa.Column("attempts", sa.Integer, nullable=False),
            sa.Column("failures", sa.Integer, nullable=False),
            sa.Column("latency_sum_ms", sa.Double, nullable=False),
            sa.Column("failed_latency_sum_ms", sa.Double, nullable=False, server_default="0"),
            sa.Column("errors", JSONB, nullable=False),
            postgresql_partition_by="RANGE (bucket_at)",
        ),
        sa.Table(
            f"histograms_{resolution}",
            metadata,
            sa.Column("webhook_id", sa.Uuid, primary_key=True),
            sa.Column("bucket_at", sa.DateTime(timezone=True), primary_key=True),
            sa.Column("indexes", ARRAY(sa.SmallInteger), nullable=False),
            sa.Column("counts", ARRAY(sa.Integer), nullable=False),
            postgresql_partition_by="RANGE (bucket_at)",
        ),
    )


rollups_minute, histograms_minute = _rollups("minute")
rollups_hour, histograms_hour = _rollups("hour")
rollups_day, histograms_day = _rollups("day")

rollup_progress = sa.Table(
    # Buckets of the resolution (hour, day) that end by compacted_until are valid, except those in rollups_stale.
    "rollup_progress",
    metadata,
    sa.Column("resolution", sa.Text, primary_key=True),
    sa.Column("compacted_until", sa.DateTime(timezone=True), nullable=False),
)

rollups_stale = sa.Table(
    # Buckets that are to be compacted, or compacted again since attempts arrived late: the finer resolution is valid.
    "rollups_stale",
    metadata,
    sa.Column("resolution", sa.Text, primary_key=True),
    sa.Column("webhook_id", sa.Uuid, primary_key=True),
    sa.Column("bucket_at", sa.DateTime(timezone=True), primary_key=True),
)
