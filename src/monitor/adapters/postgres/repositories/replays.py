"""``ReplayRepository`` on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from uuid import UUID

import msgspec
import sqlalchemy as sa
from advanced_alchemy.repository import SQLAlchemyAsyncRepository
from sqlalchemy.ext.asyncio import AsyncSession

from monitor.adapters.postgres.codec import RowReader
from monitor.adapters.postgres.tables import ReplayRow
from monitor.domain.delivery.replay import Replay
from monitor.domain.errors import NotFound


class Replays(SQLAlchemyAsyncRepository[ReplayRow]):
    model_type = ReplayRow


class PostgresReplayRepository:
    """See :class:`monitor.domain.ports.repositories.replays.ReplayRepository`."""

    def __init__(self, session: AsyncSession, rows: RowReader) -> None:
        self._session = session
        self._rows = rows
        self._replays = Replays(session=session, wrap_exceptions=False)

    async def add(self, replay: Replay) -> None:
        await self._replays.add(_row(replay))

    async def get(self, replay_id: UUID) -> Replay:
        row = await self._replays.get_one_or_none(id=replay_id)
        if row is None:
            raise NotFound("There is no replay with this id.")
        return self._rows.one(row, _replay, "replays", attrgetter("id"))

    async def take(self) -> Replay | None:
        unfinished = sa.select(ReplayRow).where(ReplayRow.finished_at.is_(None)).order_by(ReplayRow.id).limit(1)

        async def fetch(skipped: list[UUID]) -> Sequence[ReplayRow]:
            oldest = unfinished.where(ReplayRow.id.not_in(skipped)).with_for_update(skip_locked=True)
            return (await self._session.scalars(oldest)).all()

        taken = await self._rows.page(fetch, _replay, "replays", 1, attrgetter("id"))
        return next(iter(taken.values()), None)

    async def save(self, replay: Replay) -> None:
        await self._replays.update(_row(replay))


def _row(replay: Replay) -> ReplayRow:
    return ReplayRow(**msgspec.structs.asdict(replay))


def _replay(row: ReplayRow) -> Replay:
    return msgspec.convert(row, Replay, from_attributes=True)
