"""The port to time and dice, and the arithmetic of version 7 UUIDs (RFC 9562 section 5.7)."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol
from uuid import UUID


class Clock(Protocol):
    """Time and randomness. Never fails."""

    def now(self) -> datetime:
        """Return this machine's time, aware UTC. What decides about deliveries is the database's instead."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        ...

    def new_id(self, at: datetime | None = None) -> UUID:
        """Return a version 7 UUID that carries *at*, or now; ids of now ascend within a process."""
        ...

    def jitter(self) -> float:
        """Return a fraction in [0, 1)."""
        ...

    def token_bytes(self, size: int) -> bytes:
        """Return *size* bytes fit for a key."""
        ...
