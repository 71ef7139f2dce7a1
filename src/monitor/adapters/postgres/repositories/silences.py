"""``SilenceRepository`` on PostgreSQL."""

from __future__ import annotations

from datetime import datetime
from operator import attrgetter
from uuid import UUID

import msgspec
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
        self._rows = rows
        self._silences = Silences(session=session, wrap_exceptions=False)
        self._now = now

    async def active(self) -> list[Silence]:
        rows = await self._silences.get_many(SilenceRow.ends_at > self._now)
        return list(self._rows.readable(rows, _silence, "silences", attrgetter("id")).values())

    async def add(self, silence: Silence) -> None:
        await self._silences.add(SilenceRow(**msgspec.structs.asdict(silence)))

    async def end(self, silence_id: UUID) -> bool:
        row = await self._silences.get_one_or_none(id=silence_id, with_for_update=True)
        if row is None:
            raise NotFound(NO_SILENCE)
        if row.ends_at <= self._now:
            return False
        row.ends_at = self._now
        await self._silences.update(row)
        return True


def _silence(row: SilenceRow) -> Silence:
    return msgspec.convert(row, Silence, from_attributes=True)
