"""``FakeAttemptLog``."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.domain.ids import SYSTEM_ID
from monitor.domain.monitoring.metrics import Rollup, merge_rollups
from monitor.domain.ports.repositories.attempts import AttemptRecord, MinuteRollup
from tests.fakes.postgres.database import Tables


class FakeAttemptLog:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(self, attempts: Sequence[AttemptRecord]) -> None:
        self._tables.attempts |= {attempt.id: attempt for attempt in attempts}

    async def add_minutes(self, minutes: Sequence[MinuteRollup]) -> None:
        for minute in minutes:
            for webhook_id in (minute.webhook_id, SYSTEM_ID):
                key = (webhook_id, minute.at)
                self._tables.minutes[key] = merge_rollups(self._tables.minutes.get(key, Rollup()), minute.rollup)
