"""The tables of jobs; part of :mod:`monitor.adapters.postgres.tables`."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from advanced_alchemy.base import DefaultBase
from advanced_alchemy.types import DateTimeUTC
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column


class JobRow(DefaultBase):
    """One job with its progress."""

    __tablename__ = "jobs"
    __table_args__ = (
        sa.Index("ix_jobs_running", "stepped_at", "id", postgresql_where=sa.text("finished_at IS NULL")),
        sa.Index("ix_jobs_finished_at", "finished_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(sa.Text)
    parameters: Mapped[dict[str, Any]] = mapped_column(JSONB)
    state: Mapped[str] = mapped_column(sa.Text)
    done: Mapped[int]
    total: Mapped[int | None]
    cursor: Mapped[UUID | None]
    errors: Mapped[int] = mapped_column(server_default="0")
    skipped: Mapped[list[UUID]] = mapped_column(ARRAY(sa.Uuid), server_default="{}")
    error: Mapped[str | None] = mapped_column(sa.Text)
    created_by: Mapped[str] = mapped_column(sa.Text)
    created_at: Mapped[datetime] = mapped_column(DateTimeUTC(timezone=True))
    stepped_at: Mapped[datetime] = mapped_column(DateTimeUTC(timezone=True))
    finished_at: Mapped[datetime | None] = mapped_column(DateTimeUTC(timezone=True))


replays = sa.Table(
    # Jobs took its place; a process of the version before may still write to it.
    "replays",
    DefaultBase.metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("webhook_id", sa.Uuid, nullable=False),
    sa.Column("from_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("to_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("states", ARRAY(sa.Text), nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("total", sa.Integer, nullable=False),
    sa.Column("queued", sa.Integer, nullable=False),
    sa.Column("cursor", sa.Uuid, nullable=True),
    sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
    sa.Index("ix_replays_running", "id", postgresql_where=sa.text("finished_at IS NULL")),
    sa.Index("ix_replays_finished_at", "finished_at"),
)
