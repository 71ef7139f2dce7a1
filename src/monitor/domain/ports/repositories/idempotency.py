"""Stored responses of calls with an ``Idempotency-Key``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from monitor.domain.errors import IdempotencyMismatch, UnreadableRow


class KeyedCall(msgspec.Struct, frozen=True):
    """A call with an ``Idempotency-Key``, bound to its *body*; the same key in another scope is another key."""

    scope: str
    key: str
    body: bytes


class IdempotencyStore(Protocol):
    """Responses by scope and key, kept for 24 h."""

    async def begin(self, scope: str, key: str, body: bytes) -> bytes | None:
        """Lock *key*, waiting for a concurrent call with it.

        Returns:
            The stored response of a completed call, else ``None``.

        Raises:
            IdempotencyMismatch: the key was used with another body.
            UnreadableRow: the stored response does not open.
        """
        ...

    async def begin_all(self, calls: Sequence[KeyedCall]) -> list[bytes | IdempotencyMismatch | UnreadableRow | None]:
        """Do for each of *calls*, none of which has the key of another, what :meth:`begin` does, and return what it
        would raise. The keys are locked in a fixed order that avoids deadlocks."""
        ...

    async def finish(self, scope: str, key: str, answer: bytes) -> None:
        """Store the response to return for later calls with *key*."""
        ...

    async def finish_all(self, answers: Mapping[tuple[str, str], bytes]) -> None:
        """Store the responses by scope and key."""
        ...
