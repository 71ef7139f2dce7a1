"""``FakeUsedLinkStore``."""

from __future__ import annotations

from monitor.domain.ports.repositories.used_links import UsedLink
from monitor.domain.ports.unit_of_work import DataRejected
from tests.fakes.postgres.database import Tables


class FakeUsedLinkStore:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def get(self, digest: bytes) -> UsedLink | None:
        return self._tables.used_links.get(digest)

    async def add(self, link: UsedLink) -> None:
        if link.digest in self._tables.used_links:
            raise DataRejected("The link was used.")
        self._tables.used_links[link.digest] = link
