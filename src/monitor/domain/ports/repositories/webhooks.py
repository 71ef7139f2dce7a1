"""Webhooks as configured."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Protocol
from uuid import UUID

from monitor.domain.webhooks.webhook import Webhook


class WebhookRepository(Protocol):
    async def add(self, webhook: Webhook, headers: Mapping[str, str], secret: bytes) -> None: ...

    async def get(self, webhook_id: UUID) -> Webhook:
        """Lock and return it. Raises ``NotFound``."""
        ...

    async def save(self, webhook: Webhook, headers: Mapping[str, str | None] | None) -> None:
        """Replace what a person configured. *headers* of ``None`` keeps all values, a value of ``None`` that one."""
        ...

    async def remove(self, webhook_id: UUID) -> int:
        """Delete it, cancel what waits for it, and return how many deliveries that were. Raises ``NotFound``."""
        ...

    async def rotate_secret(self, webhook_id: UUID, secret: bytes, *, overlap_s: float) -> datetime | None:
        """Make *secret* the current one; return until when the one before signs too."""
        ...

    async def disable(self, webhook_ids: Collection[UUID], reason: str) -> None: ...

    async def set_paused(self, webhook_id: UUID, paused: bool) -> None: ...
