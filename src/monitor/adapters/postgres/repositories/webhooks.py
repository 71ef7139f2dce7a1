"""``WebhookRepository`` on PostgreSQL: webhooks and their secrets."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
from advanced_alchemy.repository import SQLAlchemyAsyncRepository
from sqlalchemy.ext.asyncio import AsyncSession

from monitor.adapters.postgres.codec import RowReader
from monitor.adapters.postgres.tables import SecretRow, WebhookRow
from monitor.adapters.secret_box import SecretBox
from monitor.domain.errors import NotFound
from monitor.domain.monitoring.health import UNKNOWN_HEALTH
from monitor.domain.ports.clock import Clock
from monitor.domain.vocab import Reenable
from monitor.domain.webhooks.disabled import probe_after
from monitor.domain.webhooks.webhook import Webhook

NO_WEBHOOK = "There is no webhook with this id."

LOCK: Any = {"key_share": True}
"""FOR NO KEY UPDATE: rows that refer to the webhook can be inserted meanwhile."""

KEPT = ("id", "created_at", "header_names")
"""Columns that saving a webhook leaves alone."""


DUE_PROBES = """
SELECT id, probes FROM webhooks
WHERE probe_at <= now() AND reenable = 'probe' AND NOT enabled AND disabled_reason IS NOT NULL AND deleted_at IS NULL
ORDER BY probe_at LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED
"""


class Webhooks(SQLAlchemyAsyncRepository[WebhookRow]):
    model_type = WebhookRow


class Secrets(SQLAlchemyAsyncRepository[SecretRow]):
    model_type = SecretRow


class PostgresWebhookRepository:
    """See :class:`monitor.domain.ports.repositories.webhooks.WebhookRepository`."""

    def __init__(
        self,
        session: AsyncSession,
        raw: asyncpg.Connection,
        secret_box: SecretBox,
        clock: Clock,
        now: datetime,
        rows: RowReader,
    ) -> None:
        self._webhooks = Webhooks(session=session, wrap_exceptions=False)
        self._secrets = Secrets(session=session, wrap_exceptions=False)
        self._raw = raw
        self._secret_box = secret_box
        self._clock = clock
        self._now = now
        self._rows = rows

    async def add(self, webhook: Webhook, headers: Mapping[str, str], secret: bytes) -> None:
        row = WebhookRow(**_columns(webhook))
        self._seal_headers(row, dict(headers))
        await self._webhooks.add(row)
        await self._add_secret(webhook.id, secret)
        await self._raw.execute(
            "INSERT INTO webhook_lanes (webhook_id, recent, health_status, health_reason, failure_probability,"
            " breaker_state, breaker_trips, breaker_since, evaluate_at)"
            " VALUES ($1, '{}', $2, $3, $4, 'closed', 0, 0, now())",
            webhook.id,
            UNKNOWN_HEALTH.status,
            UNKNOWN_HEALTH.reason,
            UNKNOWN_HEALTH.failure_probability,
        )

    async def get(self, webhook_id: UUID) -> Webhook:
        # The lane first, as everywhere: claims, settles and evaluations refer to the webhook or change it later.
        await self._raw.execute("SELECT 1 FROM webhook_lanes WHERE webhook_id = $1 FOR NO KEY UPDATE", webhook_id)
        return self._rows.one(await self._row(webhook_id), _webhook, "webhooks", attrgetter("id"))

    async def read(self, webhook_id: UUID) -> Webhook:
        row = await self._webhooks.get_one_or_none(WebhookRow.deleted_at.is_(None), id=webhook_id)
        if row is None:
            raise NotFound(NO_WEBHOOK)
        return self._rows.one(row, _webhook, "webhooks", attrgetter("id"))

    async def save(self, webhook: Webhook, headers: Mapping[str, str | None] | None) -> None:
        row = await self._row(webhook.id)
        for name, value in _columns(webhook).items():
            if name not in KEPT:
                setattr(row, name, value)
        if headers is not None:
            stored = self._open_headers(row)
            self._seal_headers(row, {k: stored[k] if v is None else v for k, v in headers.items()})
        await self._webhooks.update(row)

    async def remove(self, webhook_id: UUID) -> None:
        row = await self._row(webhook_id)
        row.deleted_at = self._now
        row.enabled = False
        row.headers_sealed = None
        row.probe_at = None
        await self._webhooks.update(row)
        await self._secrets.delete_where(SecretRow.webhook_id == webhook_id)
        await self._evaluate_soon(webhook_id)

    async def rotate_secret(self, webhook_id: UUID, secret: bytes, *, overlap_s: float) -> datetime | None:
        row = await self._row(webhook_id)
        expires_at = self._now + timedelta(seconds=overlap_s)
        for old in await self._secrets.get_many(SecretRow.webhook_id == webhook_id):
            if old.expires_at is None or old.expires_at > expires_at:
                old.expires_at = expires_at
        await self._add_secret(webhook_id, secret)
        await self._change(row)
        return expires_at if overlap_s else None

    async def count_secrets(self, webhook_id: UUID) -> int:
        found: int = await self._raw.fetchval(
            "SELECT count(*) FROM webhook_secrets WHERE webhook_id = $1 AND (expires_at IS NULL OR expires_at > now())",
            webhook_id,
        )
        return found

    async def disable(self, webhook_id: UUID, reason: str) -> bool:
        await self._evaluate_soon(webhook_id)
        row = await self._webhooks.get_one_or_none(WebhookRow.enabled.is_(True), id=webhook_id, with_for_update=LOCK)
        if row is None:
            return False
        row.enabled = False
        row.disabled_reason = reason
        row.disabled_at = self._now
        row.probe_at = probe_after(row.probes, self._now) if row.reenable == Reenable.PROBE else None
        await self._change(row)
        return True

    async def due_probes(self, limit: int) -> dict[UUID, int]:
        return {row["id"]: row["probes"] for row in await self._raw.fetch(DUE_PROBES, limit)}

    async def schedule_probe(self, webhook_id: UUID, at: datetime, probes: int) -> None:
        row = await self._row(webhook_id)
        row.probe_at, row.probes = at, probes
        await self._webhooks.update(row)

    async def set_paused(self, webhook_id: UUID, paused: bool) -> None:
        row = await self._row(webhook_id)
        if (row.paused_at is not None) != paused:
            row.paused_at = self._now if paused else None
            await self._change(row)

    async def _change(self, row: WebhookRow) -> None:
        row.version += 1
        row.updated_at = self._now
        await self._webhooks.update(row)

    async def _evaluate_soon(self, webhook_id: UUID) -> None:
        """Have the detector see the change at its next tick, not a minute later."""
        await self._raw.execute("UPDATE webhook_lanes SET evaluate_at = now() WHERE webhook_id = $1", webhook_id)

    async def _row(self, webhook_id: UUID) -> WebhookRow:
        row = await self._webhooks.get_one_or_none(WebhookRow.deleted_at.is_(None), id=webhook_id, with_for_update=LOCK)
        if row is None:
            raise NotFound(NO_WEBHOOK)
        return row

    async def _add_secret(self, webhook_id: UUID, secret: bytes) -> None:
        id_ = self._clock.new_id()
        sealed = self._secret_box.seal(secret, context=secret_context(id_, webhook_id))
        await self._secrets.add(
            SecretRow(id=id_, webhook_id=webhook_id, sealed=sealed, created_at=self._now, expires_at=None)
        )

    def _open_headers(self, row: WebhookRow) -> dict[str, str]:
        def read(row: WebhookRow) -> dict[str, str]:
            return open_headers(self._secret_box, row.id, row.headers_sealed)

        return self._rows.one(row, read, "webhooks", attrgetter("id"))

    def _seal_headers(self, row: WebhookRow, headers: dict[str, str]) -> None:
        row.header_names = list(headers)
        row.headers_sealed = (
            self._secret_box.seal(msgspec.json.encode(headers), context=headers_context(row.id)) if headers else None
        )


def secret_context(secret_id: UUID, webhook_id: UUID) -> str:
    """Bind a sealed signing key to its row and webhook."""
    return f"webhook_secret:{webhook_id}:{secret_id}"


def headers_context(webhook_id: UUID) -> str:
    """Bind sealed header values to their webhook."""
    return f"webhook_headers:{webhook_id}"


def open_headers(secret_box: SecretBox, webhook_id: UUID, sealed: bytes | None) -> dict[str, str]:
    """Return the destination headers of a webhook in clear."""
    if sealed is None:
        return {}
    return msgspec.json.decode(secret_box.open(sealed, context=headers_context(webhook_id)), type=dict[str, str])


def _webhook(row: WebhookRow) -> Webhook:
    return msgspec.convert(row, Webhook, from_attributes=True)


def _columns(webhook: Webhook) -> dict[str, Any]:
    columns: dict[str, Any] = msgspec.to_builtins(webhook, builtin_types=(UUID, datetime))
    return columns
