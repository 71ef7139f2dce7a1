"""Stored responses of calls with an ``Idempotency-Key``."""

from __future__ import annotations

from typing import Protocol


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

    async def finish(self, scope: str, key: str, answer: bytes) -> None:
        """Store the response to return for later calls with *key*."""
        ...
