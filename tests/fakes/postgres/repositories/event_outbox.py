"""``FakeEventOutbox``: events in memory."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from monitor.domain.errors import Unavailable
from monitor.domain.ids import id_floor
from monitor.domain.ports.repositories.event_outbox import StoredEvent


class FakeEventOutbox:
    """``up`` is whether the database can be reached."""

    def __init__(self, *events: StoredEvent) -> None:
        self.kept = {event.id: event for event in events}
        self.up = True

    def append(self, *events: StoredEvent) -> None:
        """Store what a transaction committed."""
        self.kept |= {event.id: event for event in events}

    async def delete(self, ids: Collection[UUID]) -> None:
        self._require_up()
        for id_ in ids:
            self.kept.pop(id_, None)

    async def undispatched(self, before: datetime, limit: int) -> list[StoredEvent]:
        self._require_up()
        return [self.kept[id_] for id_ in sorted(self.kept) if id_ < id_floor(before)][:limit]

    def _require_up(self) -> None:
        if not self.up:
            raise Unavailable("The database is not reachable.")
