"""Time, randomness and new ids."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID


class Clock(Protocol):
    """Time and randomness. Never fails."""

    def now(self) -> datetime:
        """
        Return the time of this machine, aware UTC, corrected when it differs from the database's. Decisions about
        deliveries use the time of the database itself.
        """
        ...

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start; never back, and on while the machine is suspended."""
        ...

    def new_id(self, at: datetime | None = None) -> UUID:
        """Return a version 7 UUID with the time *at* or now; without *at*, ids ascend within a process."""
        ...

    def new_ids(self, millis: Sequence[int]) -> list[UUID]:
        """Return a version 7 UUID for each of *millis*, its Unix milliseconds."""
        ...

    def jitter(self) -> float:
        """Return a fraction in [0, 1)."""
        ...

    def token_bytes(self, size: int) -> bytes:
        """Return *size* cryptographically random bytes."""
        ...
