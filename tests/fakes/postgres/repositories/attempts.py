"""``FakeAttemptLog``."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from monitor.domain.delivery.reported import AttemptColumns
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.monitoring.metrics import Rollup, merge_rollups
from monitor.domain.monitoring.uptime import Counts
from monitor.domain.ports.repositories.attempts import AttemptRecord, MinuteRollup
from monitor.domain.ports.unit_of_work import DataRejected
from tests.fakes.postgres.database import Tables


class FakeAttemptLog:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(self, attempts: Sequence[AttemptRecord]) -> None:
        added = {attempt.id: attempt for attempt in attempts}
        if len(added) < len(attempts) or added.keys() & self._tables.attempts.keys():
            raise DataRejected("An attempt is stored twice.")
        self._tables.attempts |= added

    async def add_reported(self, webhook_id: UUID, ids: Sequence[UUID], attempts: AttemptColumns) -> None:
        await self.add(
            [
                AttemptRecord(
                    id=id_,
                    webhook_id=webhook_id,
                    outcome=attempts.made(n)[0],
                    kind="reported",
                    event_id=attempts.event_ids[n],
                    event_type=attempts.event_types[n],
                )
                for n, id_ in enumerate(ids)
            ]
        )

    async def stored(self, attempts: Sequence[tuple[UUID, UUID]]) -> set[UUID]:
        found = ((webhook_id, id_, self._tables.attempts.get(id_)) for webhook_id, id_ in attempts)
        return {id_ for webhook_id, id_, one in found if one is not None and one.webhook_id == webhook_id}

    async def add_silenced(self, minutes: Sequence[MinuteRollup]) -> None:
        for minute in minutes:
            key = (minute.webhook_id, minute.at.replace(minute=0))
            before = self._tables.silenced_hours.get(key, Counts())
            self._tables.silenced_hours[key] = Counts(
                before.attempts + minute.rollup.attempts, before.failures + minute.rollup.failures
            )

    async def add_minutes(self, minutes: Sequence[MinuteRollup]) -> None:
        for minute in minutes:
            for webhook_id in (minute.webhook_id, SYSTEM_ID):
                key = (webhook_id, minute.at)
                self._tables.minutes[key] = merge_rollups(self._tables.minutes.get(key, Rollup()), minute.rollup)
