"""Attempts and their rollups."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from monitor.domain.delivery.exchange import StoredExchange
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.delivery.reported import AttemptColumns
from monitor.domain.monitoring.metrics import Rollup


class AttemptRecord(msgspec.Struct, frozen=True, kw_only=True):
    """
    One attempt to store; its id carries its start time.

    ``outcome`` and ``exchange`` hold no secrets, and the response body is UTF-8 text.
    """

    id: UUID
    webhook_id: UUID
    outcome: Outcome
    kind: str = "delivery"
    delivery_id: UUID | None = None
    event_id: UUID | None = None
    event_type: str | None = None
    number: int = 1
    exchange: StoredExchange | None = None


class MinuteRollup(msgspec.Struct, frozen=True):
    """Rollup of the attempts of one webhook in one minute."""

    webhook_id: UUID
    at: datetime
    rollup: Rollup


class AttemptLog(Protocol):
    """Attempts, and their rollups by minute."""

    async def add(self, attempts: Sequence[AttemptRecord]) -> None:
        """Append *attempts*; none may be stored yet."""
        ...

    async def add_reported(self, webhook_id: UUID, ids: Sequence[UUID], attempts: AttemptColumns) -> None:
        """Append *attempts* of one webhook under *ids*, as :meth:`add` would with the kind ``reported``."""
        ...

    async def stored(self, attempts: Sequence[tuple[UUID, UUID]]) -> set[UUID]:
        """Return the ids of those *attempts*, given as webhook and id, that are stored."""
        ...

    async def add_minutes(self, minutes: Sequence[MinuteRollup]) -> None:
        """Merge *minutes* into the stored ones of their webhooks and of the whole system."""
        ...

    async def add_silenced(self, minutes: Sequence[MinuteRollup]) -> None:
        """Add *minutes*, which are stored beside, to what uptime leaves out: they are inside silences."""
        ...
