"""``SilenceRepository`` on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter
from uuid import UUID

import msgspec
import sqlalchemy as sa
from advanced_alchemy.repository import SQLAlchemyAsyncRepository
from sqlalchemy.ext.asyncio import AsyncSession

from monitor.adapters.postgres.codec import RowReader
from monitor.adapters.postgres.tables import SilenceRow
from monitor.domain.alerts.silences import Silence
from monitor.domain.errors import NotFound

NO_SILENCE = "There is no silence with this id."


class Silences(SQLAlchemyAsyncRepository[SilenceRow]):
    model_type = SilenceRow


class PostgresSilenceRepository:
    """See :class:`monitor.domain.ports.repositories.silences.SilenceRepository`."""

    def __init__(self, session: AsyncSession, now: datetime, rows: RowReader) -> None:
        self._session = session
        self._rows = rows
        self._silences = Silences(session=session, wrap_exceptions=False)
        self._now = now

    async def active(self, since: datetime | None = None) -> list[Silence]:
        rows = await self._silences.get_many(SilenceRow.ends_at > (since or self._now))
        return list(self._rows.readable(rows, _silence, "silences", attrgetter("id")).values())

    async def add(self, silence: Silence) -> None:
        await self._silences.add(SilenceRow(**msgspec.structs.asdict(silence)))

    async def holding(self) -> int:
        return await self._silences.count(SilenceRow.hold_deliveries.is_(True), SilenceRow.ends_at > self._now)

    async def lock(self, silence_id: UUID) -> Silence:
        row = await self._silences.get_one_or_none(id=silence_id, with_for_update=True)
        if row is None:
            raise NotFound(NO_SILENCE)
        return self._rows.one(row, _silence, "silences", attrgetter("id"))

    async def due(self, limit: int) -> list[Silence]:
        due = sa.select(SilenceRow).where(SilenceRow.advance_at <= self._now).order_by(SilenceRow.advance_at)

        async def fetch(skipped: list[UUID]) -> Sequence[SilenceRow]:
            free = due.where(SilenceRow.id.not_in(skipped)).limit(limit).with_for_update(skip_locked=True)
            return (await self._session.scalars(free)).all()

        return [*(await self._rows.page(fetch, _silence, "silences", limit, attrgetter("id"))).values()]

    async def save(self, silence: Silence) -> None:
        await self._silences.update(SilenceRow(**msgspec.structs.asdict(silence)))

    async def end(self, silence_id: UUID) -> bool:
        row = await self._silences.get_one_or_none(id=silence_id, with_for_update=True)
        if row is None:
            raise NotFound(NO_SILENCE)
        if row.ends_at <= self._now:
            return False
        row.ends_at, row.advance_at = self._now, None
        await self._silences.update(row)
        return True


def _silence(row: SilenceRow) -> Silence:
    return msgspec.convert(row, Silence, from_attributes=True)
