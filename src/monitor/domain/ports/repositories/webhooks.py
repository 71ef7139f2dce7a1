"""Configuration of webhooks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol
from uuid import UUID

from monitor.domain.webhooks.webhook import Webhook


class WebhookRepository(Protocol):
    """Webhooks with their secrets, which are stored encrypted."""

    async def add(self, webhook: Webhook, headers: Mapping[str, str], secret: bytes) -> None:
        """Insert *webhook* with its lane; the values of *headers* and *secret* are encrypted."""
        ...

    async def get(self, webhook_id: UUID) -> Webhook:
        """Lock and return a webhook. Raises ``NotFound``."""
        ...

    async def read(self, webhook_id: UUID) -> Webhook:
        """Return a webhook without locking it. Raises ``NotFound``."""
        ...

    async def save(self, webhook: Webhook, headers: Mapping[str, str | None] | None) -> None:
        """Update the configuration. *headers* of ``None`` keeps all header values, a value of ``None`` that one."""
        ...

    async def remove(self, webhook_id: UUID) -> None:
        """Mark a webhook as deleted; delete its secrets and headers. Raises ``NotFound``."""
        ...

    async def rotate_secret(self, webhook_id: UUID, secret: bytes, *, overlap_s: float) -> datetime | None:
        """Make *secret* the current one; return until when the previous one signs too, ``None`` if it does not."""
        ...

    async def count_secrets(self, webhook_id: UUID) -> int:
        """Return how many secrets of a webhook sign now."""
        ...

    async def disable(self, webhook_id: UUID, reason: str) -> bool:
        """Disable a webhook automatically, with its first probe if chosen; the first *reason* stays. Return whether it
        was enabled until now: safe to repeat, and unknown ids are ignored."""
        ...

    async def due_probes(self, limit: int) -> dict[UUID, int]:
        """Lock up to *limit* webhooks that Monitor disabled, with a probe due, skipping those that others have
        locked; return how many probes were sent before."""
        ...

    async def schedule_probe(self, webhook_id: UUID, at: datetime, probes: int) -> None:
        """Set when the next probe is due, after *probes* earlier ones. The version stays. Raises ``NotFound``."""
        ...

    async def set_paused(self, webhook_id: UUID, paused: bool) -> None:
        """Pause or resume a webhook."""
        ...
