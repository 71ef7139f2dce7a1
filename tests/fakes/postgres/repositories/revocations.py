"""``FakeRevocationStore``."""

from __future__ import annotations

from monitor.domain.views.tokens import Revocation
from tests.fakes.postgres.database import Tables


class FakeRevocationStore:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(self, revocation: Revocation) -> Revocation:
        stored = self._tables.revocations.get(revocation.jti)
        if stored is not None and stored.expires_at > revocation.revoked_at:
            return stored
        self._tables.revocations[revocation.jti] = revocation
        return revocation
