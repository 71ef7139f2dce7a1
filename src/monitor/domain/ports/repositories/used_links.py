"""One-use links that were used."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

import msgspec


class UsedLink(msgspec.Struct, frozen=True):
    """
    Attributes:
        digest: see :func:`monitor.domain.alerts.action_links.link_digest`.
        expires_at: until when it would be valid; it is kept no longer.
    """

    digest: bytes
    used_at: datetime
    used_by: str
    expires_at: datetime


class UsedLinkStore(Protocol):
    """Links that were used, until expiry."""

    async def get(self, digest: bytes) -> UsedLink | None:
        """Return the use of a link, ``None`` if it was not used."""
        ...

    async def add(self, link: UsedLink) -> None:
        """Store that *link* is used. Raises ``DataRejected`` if it was."""
        ...
