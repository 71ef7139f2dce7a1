"""``FakeWebhookRepository``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

from msgspec.structs import replace

from monitor.domain.delivery.lane import Lane
from monitor.domain.errors import NotFound
from monitor.domain.vocab import Reenable
from monitor.domain.webhooks.disabled import is_probed, probe_after
from monitor.domain.webhooks.webhook import Webhook
from tests.fakes.postgres.database import Secret, StoredWebhook, Tables


class FakeWebhookRepository:
    def __init__(self, tables: Tables, now: datetime) -> None:
        self._tables = tables
        self._now = now

    async def add(self, webhook: Webhook, headers: Mapping[str, str], secret: bytes) -> None:
        stored = replace(webhook, header_names=tuple(headers))
        self._tables.webhooks[webhook.id] = StoredWebhook(stored, dict(headers), (Secret(secret),))
        self._tables.lanes[webhook.id] = Lane(webhook_id=webhook.id, evaluate_at=self._now)

    async def get(self, webhook_id: UUID) -> Webhook:
        return self._row(webhook_id).webhook

    async def read(self, webhook_id: UUID) -> Webhook:
        return self._row(webhook_id).webhook

    async def save(self, webhook: Webhook, headers: Mapping[str, str | None] | None) -> None:
        row = self._row(webhook.id)
        merged = (
            row.headers
            if headers is None
            else {name: row.headers[name] if value is None else value for name, value in headers.items()}
        )
        stored = replace(webhook, header_names=tuple(merged), created_at=row.webhook.created_at)
        self._tables.webhooks[webhook.id] = replace(row, webhook=stored, headers=merged)

    async def remove(self, webhook_id: UUID) -> None:
        row = self._row(webhook_id)
        self._tables.webhooks[webhook_id] = replace(
            row,
            webhook=replace(row.webhook, enabled=False, probe_at=None),
            headers={},
            secrets=(),
            deleted_at=self._now,
        )
        self._evaluate_soon(webhook_id)

    async def rotate_secret(self, webhook_id: UUID, secret: bytes, *, overlap_s: float) -> datetime | None:
        row = self._row(webhook_id)
        expires_at = self._now + timedelta(seconds=overlap_s)
        older = tuple(
            replace(old, expires_at=expires_at) if old.expires_at is None or old.expires_at > expires_at else old
            for old in row.secrets
        )
        self._tables.webhooks[webhook_id] = replace(
            row, secrets=(Secret(secret), *older), webhook=self._next_version(row.webhook)
        )
        return expires_at if overlap_s else None

    async def count_secrets(self, webhook_id: UUID) -> int:
        secrets = self._row(webhook_id).secrets
        return sum(secret.expires_at is None or secret.expires_at > self._now for secret in secrets)

    async def disable(self, webhook_id: UUID, reason: str) -> bool:
        row = self._tables.webhooks.get(webhook_id)
        if row is None:
            return False
        if row.webhook.enabled:
            disabled = replace(
                self._next_version(row.webhook),
                enabled=False,
                disabled_reason=reason,
                disabled_at=self._now,
                probe_at=probe_after(row.webhook.probes, self._now) if row.webhook.reenable is Reenable.PROBE else None,
            )
            self._tables.webhooks[webhook_id] = replace(row, webhook=disabled)
        self._evaluate_soon(webhook_id)
        return row.webhook.enabled

    async def due_probes(self, limit: int) -> dict[UUID, int]:
        alive = [row.webhook for row in self._tables.webhooks.values() if row.deleted_at is None]
        due = [(one.probe_at, one) for one in alive if one.probe_at and one.probe_at <= self._now and is_probed(one)]
        return {one.id: one.probes for _, one in sorted(due, key=lambda pair: pair[0])[:limit]}

    async def schedule_probe(self, webhook_id: UUID, at: datetime, probes: int) -> None:
        row = self._row(webhook_id)
        self._tables.webhooks[webhook_id] = replace(row, webhook=replace(row.webhook, probe_at=at, probes=probes))

    async def set_paused(self, webhook_id: UUID, paused: bool) -> None:
        row = self._row(webhook_id)
        if (row.webhook.paused_at is not None) != paused:
            held = replace(self._next_version(row.webhook), paused_at=self._now if paused else None)
            self._tables.webhooks[webhook_id] = replace(row, webhook=held)

    def _evaluate_soon(self, webhook_id: UUID) -> None:
        self._tables.lanes[webhook_id] = replace(self._tables.lanes[webhook_id], evaluate_at=self._now)

    def _row(self, webhook_id: UUID) -> StoredWebhook:
        row = self._tables.webhooks.get(webhook_id)
        if row is None or row.deleted_at is not None:
            raise NotFound("There is no webhook with this id.")
        return row

    def _next_version(self, webhook: Webhook) -> Webhook:
        return replace(webhook, version=webhook.version + 1, updated_at=self._now)
