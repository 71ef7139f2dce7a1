"""Domain events stored with the change that caused them, until they are dispatched."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from monitor.domain.events import DomainEvent


class StoredEvent(msgspec.Struct, frozen=True):
    """A domain event that is stored until it was heard. The id carries when it happened."""

    id: UUID
    event: DomainEvent


class EventHandler(Protocol):
    """Told of facts after their commit. Does not raise: what cannot be done now is done when they are told again."""

    async def __call__(self, facts: Sequence[StoredEvent]) -> None: ...


class EventOutbox(Protocol):
    """Facts that nobody has confirmed to have heard. Raises ``Unavailable`` when the database cannot be reached."""

    async def delete(self, ids: Collection[UUID]) -> None: ...

    async def undispatched(self, before: datetime, limit: int) -> list[StoredEvent]:
        """Return the oldest that happened before that time."""
        ...
