"""Answers of calls that carried an ``Idempotency-Key``."""

from __future__ import annotations

from typing import Protocol


class IdempotencyStore(Protocol):
    async def begin(self, scope: str, key: str, body: bytes) -> bytes | None:
        """Claim *key*, waiting for a call that holds it.

        Returns:
            The stored answer if the call was done before, else ``None``.

        Raises:
            IdempotencyMismatch: it was used with another body in the last 24 h.
        """
        ...

    async def finish(self, scope: str, key: str, answer: bytes) -> None: ...
