"""Revoked tokens."""

from __future__ import annotations

from typing import Protocol

from monitor.domain.views.tokens import Revocation


class RevocationStore(Protocol):
    """Revocations by ``jti``; every process reads those in force within seconds."""

    async def add(self, revocation: Revocation) -> Revocation:
        """
        Store *revocation*, unless its ``jti`` is revoked already.

        Returns:
            What is stored: *revocation*, or the earlier one that is in force.
        """
        ...
