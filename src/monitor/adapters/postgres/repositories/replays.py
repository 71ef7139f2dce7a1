"""``ReplayRepository`` on PostgreSQL."""

from __future__ import annotations

from uuid import UUID

import msgspec
import sqlalchemy as sa
from advanced_alchemy.repository import SQLAlchemyAsyncRepository
from sqlalchemy.ext.asyncio import AsyncSession

from monitor.adapters.postgres.tables import ReplayRow
from monitor.domain.delivery.replay import Replay
from monitor.domain.errors import NotFound


class Replays(SQLAlchemyAsyncRepository[ReplayRow]):
    model_type = ReplayRow


class PostgresReplayRepository:
    """See :class:`monitor.domain.ports.repositories.replays.ReplayRepository`."""

    def __init__(self, session: AsyncSession) -> None:
        self._replays = Replays(session=session, wrap_exceptions=False)

    async def add(self, replay: Replay) -> None:
        await self._replays.add(_row(replay))

    async def get(self, replay_id: UUID) -> Replay:
        row = await self._replays.get_one_or_none(id=replay_id)
        if row is None:
            raise NotFound("There is no replay with this id.")
        return _replay(row)

    async def take(self) -> Replay | None:
        oldest = sa.select(ReplayRow).where(ReplayRow.finished_at.is_(None)).order_by(ReplayRow.id).limit(1)
        row = await self._replays.get_one_or_none(
            statement=oldest,  # type: ignore[arg-type]  # annotated for SQLAlchemy 2.0
            with_for_update={"skip_locked": True},
        )
        return None if row is None else _replay(row)

    async def save(self, replay: Replay) -> None:
        await self._replays.update(_row(replay))


def _row(replay: Replay) -> ReplayRow:
    return ReplayRow(**msgspec.structs.asdict(replay))


def _replay(row: ReplayRow) -> Replay:
    return msgspec.convert(row, Replay, from_attributes=True)
