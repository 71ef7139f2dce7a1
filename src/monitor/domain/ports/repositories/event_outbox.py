"""Domain events, each stored with the change that caused it, until dispatched."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from monitor.domain.events import DomainEvent


class StoredEvent(msgspec.Struct, frozen=True):
    """A domain event as stored. The id carries its time."""

    id: UUID
    event: DomainEvent


EventHandler = Callable[[Sequence[StoredEvent]], Awaitable[None]]
"""Handles events after their commit. Never raises: what fails is repeated from the outbox."""


class EventOutbox(Protocol):
    """Committed events not yet confirmed as dispatched. Raises ``Unavailable`` when the database is away."""

    async def delete(self, ids: Collection[UUID]) -> None:
        """Delete dispatched events. Safe to repeat; unknown ids are ignored."""
        ...

    async def undispatched(self, before: datetime, limit: int) -> list[StoredEvent]:
        """Return up to *limit* events from before that time, aware UTC, the oldest first."""
        ...
