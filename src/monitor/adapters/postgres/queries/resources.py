"""Reads: SQL straight into view structs, outside any unit of work."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

import asyncpg
import msgspec

from monitor.adapters.postgres.codec import from_jsonb, from_row
from monitor.adapters.postgres.engine import Database
from monitor.adapters.postgres.queries.backlog import BACKLOG_COLUMNS
from monitor.adapters.postgres.queries.filtered import both_tables, list_audit, list_deliveries, list_events
from monitor.adapters.postgres.queries.held import HELD_COLUMNS, HELD_FROM, held_deliveries
from monitor.adapters.postgres.queries.history import read_annotations, read_uptime
from monitor.adapters.postgres.queries.metrics import last_hours, series
from monitor.adapters.postgres.queries.pages import list_rows
from monitor.adapters.postgres.queries.rows import (
    ATTEMPT_COLUMNS,
    OPEN_ALERT,
    attempt_view,
    delivery_view,
    evaluated_webhook_view,
    webhook_view,
)
from monitor.adapters.postgres.queries.webhook_conditions import add_conditions
from monitor.adapters.postgres.queue import NO_DELIVERY
from monitor.adapters.postgres.replica import Reads
from monitor.adapters.postgres.repositories.webhooks import (
    NO_WEBHOOK,
    NOT_OPENED,
    open_headers,
    secret_context,
)
from monitor.adapters.postgres.sql import Where
from monitor.adapters.secret_box import SecretBox, SecretBoxError
from monitor.domain.delivery.exchange import StoredExchange
from monitor.domain.delivery.held import Held, held_by_secrets
from monitor.domain.delivery.retention import EVENTS_KEPT_S
from monitor.domain.delivery.selection import DeliveryFilter
from monitor.domain.errors import NotFound
from monitor.domain.monitoring.health import HealthPolicy
from monitor.domain.paging import Look
from monitor.domain.ports.queries.resources import AttemptFilter, AuditFilter, EventFilter, WebhookFilter
from monitor.domain.views.audit import AuditView
from monitor.domain.views.deliveries import AttemptView, DeliveryCounts, DeliveryView, EventView
from monitor.domain.views.history import AnnotationsView, UptimeView
from monitor.domain.views.metrics import MetricsView
from monitor.domain.views.tokens import Revocation, RevocationPosition
from monitor.domain.views.webhooks import WebhookView
from monitor.domain.vocab import BodyFormat, DeliveryState, ErrorKind, FanOutState
from monitor.domain.webhooks.chat_url import shown_url
from monitor.domain.webhooks.destination import Destination

_WEBHOOK = f"""
SELECT w.*, l.health_status, l.health_reason, l.failure_probability, l.health_changed_at, {HELD_COLUMNS},
    {OPEN_ALERT} AS open_alert
FROM {HELD_FROM}
"""

EVALUATED_WEBHOOK = f"""
SELECT w.*, l.health_status, l.health_reason, l.failure_probability, l.health_changed_at, {HELD_COLUMNS},
    {BACKLOG_COLUMNS}, {OPEN_ALERT} AS open_alert, b.signals, b.normal, secrets.ids AS secret_ids, secrets.sealed
FROM {HELD_FROM} LEFT JOIN webhook_baselines b ON b.webhook_id = w.id LEFT JOIN LATERAL (
    SELECT array_agg(s.id ORDER BY s.id DESC) AS ids, array_agg(s.sealed ORDER BY s.id DESC) AS sealed
    FROM webhook_secrets s WHERE s.webhook_id = w.id AND (s.expires_at IS NULL OR s.expires_at > now())
) AS secrets ON true
WHERE w.id = $1 AND w.deleted_at IS NULL
"""

_DESTINATIONS = """
SELECT w.id, w.version, w.url, w.timeout_s, w.signature, w.body_format, w.headers_sealed,
    array_agg(s.id ORDER BY s.id DESC) AS secret_ids, array_agg(s.sealed ORDER BY s.id DESC) AS sealed
FROM webhooks w JOIN webhook_secrets s ON s.webhook_id = w.id
WHERE w.id = ANY($1) AND w.deleted_at IS NULL AND (s.expires_at IS NULL OR s.expires_at > now())
GROUP BY w.id
"""

_DIGEST = "sha256(convert_to(jti, 'UTF8'))"

NO_ATTEMPT = "There is no attempt with this id at this webhook. Attempts are kept for a limited time."

_HEALTH = HealthPolicy()

_ATTEMPT_LIMIT = 200
"""Attempts in the view of one delivery; the attempt log of its webhook has all."""


class PostgresQueries:
    """See :class:`monitor.domain.ports.queries.resources.Queries`."""

    def __init__(
        self,
        database: Database,
        secret_box: SecretBox,
        reads: Reads | None = None,
        *,
        events_kept_s: float = EVENTS_KEPT_S,
        health: HealthPolicy = _HEALTH,
    ) -> None:
        """
        Args:
            reads: serves what reads many rows; by default *database* does.
            events_kept_s: the retention of events.
            health: when a failing webhook is disabled.
        """
        self._db = database
        self._reads = database if reads is None else reads
        self._health = health
        self._events_kept_s = events_kept_s
        self._secret_box = secret_box

    async def webhook(self, webhook_id: UUID) -> WebhookView:
        row = await self._db.fetchrow(EVALUATED_WEBHOOK, webhook_id)
        if row is None:
            raise NotFound(NO_WEBHOOK)
        read = partial(evaluated_webhook_view, events_kept_s=self._events_kept_s, policy=self._health)
        view = self._db.rows.one(row, read, "webhooks")
        unopened = None if row["secret_ids"] is None else self._why_unopened(row)
        return view if unopened is None else msgspec.structs.replace(view, held=held_by_secrets(view.held, unopened))

    async def webhooks(self, where: WebhookFilter, *, after: UUID | None, limit: int) -> list[WebhookView]:
        condition = Where("w.deleted_at IS NULL")
        condition.add("w.id < {}", after)
        condition.add("l.health_status = {}", where.status)
        condition.add("w.enabled = {}", where.enabled)
        add_conditions(condition, event_type=where.event_type, label=where.label, q=where.q)

        async def fetch(where: Where) -> list[asyncpg.Record]:
            return await self._reads.fetch(f"{_WEBHOOK} {where} ORDER BY w.id DESC LIMIT {limit}", *where.args)

        read = partial(webhook_view, events_kept_s=self._events_kept_s)
        found = await list_rows(self._db, condition, fetch, read, "webhooks", limit, id_column="w.id")
        hours = await last_hours(self._reads, [view.id for view in found])
        return [msgspec.structs.replace(view, last_hour=hours[view.id]) for view in await self._with_secrets(found)]

    async def _with_secrets(self, views: Sequence[WebhookView]) -> list[WebhookView]:
        unopened = await self._unopened([view.id for view in views])
        return [
            msgspec.structs.replace(view, held=held_by_secrets(view.held, unopened[view.id]))
            if view.id in unopened
            else view
            for view in views
        ]

    async def destinations(self, webhook_ids: Collection[UUID]) -> dict[UUID, tuple[int, Destination]]:
        rows = await self._db.fetch(_DESTINATIONS, list(webhook_ids), reserved=True)
        # Also one with secrets that do not open must not stop the deliveries of others.
        return self._db.rows.readable(rows, lambda row: (row["version"], self._destination(row)), "webhooks")

    def _destination(self, row: asyncpg.Record) -> Destination:
        keys = (
            self._secret_box.open(sealed, context=secret_context(id_, row["id"]))
            for id_, sealed in zip(row["secret_ids"], row["sealed"], strict=True)
        )
        headers = open_headers(self._secret_box, row["id"], row["headers_sealed"])
        return from_row(row, Destination, headers=tuple(headers.items()), keys=tuple(keys))

    async def _unopened(self, webhook_ids: Collection[UUID]) -> dict[UUID, str]:
        """Return why the secrets or headers of webhooks do not open here, without those that do."""
        rows = await self._db.fetch(_DESTINATIONS, list(webhook_ids)) if webhook_ids else ()
        return {row["id"]: unopened for row in rows if (unopened := self._why_unopened(row)) is not None}

    def _why_unopened(self, row: asyncpg.Record) -> str | None:
        try:
            self._destination(row)
        except (SecretBoxError, msgspec.MsgspecError) as error:
            cause = error if isinstance(error, SecretBoxError) else "another version of Monitor wrote them"
            return f"{NOT_OPENED}: {cause}."
        return None

    async def event(self, event_id: UUID) -> EventView:
        # Before the counts: these are complete if it was finished.
        row = await self._db.fetchrow(
            "SELECT *, EXISTS (SELECT FROM fan_outs f WHERE f.id <= e.id AND e.id = ANY(f.event_ids)) AS fans_out"
            " FROM events e WHERE id = $1",
            event_id,
        )
        if row is None:
            raise NotFound("There is no event with this id.")
        counts = await self._db.fetch(
            "SELECT 'pending' AS state, count(*) AS n FROM deliveries WHERE event_id = $1 HAVING count(*) > 0"
            " UNION ALL SELECT state, count(*) FROM deliveries_finished WHERE event_id = $1 GROUP BY state",
            event_id,
        )
        # A state that a newer version added is counted by that version.
        known = set(DeliveryState)
        deliveries = DeliveryCounts(**{count["state"]: count["n"] for count in counts if count["state"] in known})
        payload = msgspec.Raw(row["payload"])
        fan_out = FanOutState.RUNNING if row["fans_out"] else FanOutState.DONE
        return self._db.rows.one(
            row,
            lambda row: from_row(row, EventView, "labels", payload=payload, deliveries=deliveries, fan_out=fan_out),
            "events",
        )

    async def payload(self, event_id: UUID) -> bytes | None:
        row = await self._db.fetchrow("SELECT payload FROM events WHERE id = $1", event_id)
        return None if row is None else row["payload"]

    async def events(self, where: EventFilter, *, after: UUID | None, limit: int) -> Look[EventView]:
        return await list_events(self._reads, where, after, limit)

    async def delivery(self, delivery_id: UUID) -> DeliveryView:
        row = await self._db.fetchrow(both_tables("WHERE d.id = $1", "WHERE d.id = $1"), delivery_id)
        if row is None:
            raise NotFound(NO_DELIVERY)
        attempts = await self._db.fetch(
            f"SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE delivery_id = $1 ORDER BY id DESC LIMIT {_ATTEMPT_LIMIT}",
            delivery_id,
        )
        log = self._db.rows.readable(attempts, attempt_view, "attempts")
        types = await self._event_types({row["event_id"]})
        view = self._db.rows.one(row, lambda row: delivery_view(row, types, list(log.values())), "deliveries_finished")
        held, names = await self._held([view]), await self._names({view.webhook_id})
        return msgspec.structs.replace(view, held=held.get(view.id), webhook_name=names.get(view.webhook_id))

    async def deliveries(self, where: DeliveryFilter, *, after: UUID | None, limit: int) -> Look[DeliveryView]:
        look = await list_deliveries(self._reads, where, after, limit)
        types = await self._event_types({view.event_id for view in look.rows})
        names = await self._names({view.webhook_id for view in look.rows})
        held = await self._held(look.rows)
        views = [
            msgspec.structs.replace(
                view,
                event_type=types.get(view.event_id),
                webhook_name=names.get(view.webhook_id),
                held=held.get(view.id),
            )
            for view in look.rows
        ]
        return Look(views, look.last)

    async def _held(self, views: Sequence[DeliveryView]) -> dict[UUID, Held]:
        """Return what holds those that are pending and not in flight, by delivery."""
        held = await held_deliveries(self._db, views)
        waiting = [view for view in views if view.state is DeliveryState.PENDING and not view.in_flight]
        unopened = await self._unopened({view.webhook_id for view in waiting})
        by_secrets = {
            view.id: held_by_secrets(held.get(view.id), unopened[view.webhook_id])
            for view in waiting
            if view.webhook_id in unopened
        }
        return held | by_secrets

    async def _event_types(self, event_ids: Collection[UUID]) -> dict[UUID, str]:
        found = await self._db.fetch("SELECT id, type FROM events WHERE id = ANY($1)", list(event_ids))
        return {row["id"]: row["type"] for row in found}

    async def _names(self, webhook_ids: Collection[UUID]) -> dict[UUID, str]:
        found = await self._db.fetch("SELECT id, name FROM webhooks WHERE id = ANY($1)", list(webhook_ids))
        return {row["id"]: row["name"] for row in found}

    async def attempts(
        self, webhook_id: UUID, where: AttemptFilter, *, after: UUID | None, limit: int
    ) -> list[AttemptView]:
        await self._require_history(webhook_id)
        condition = Where()
        condition.add("webhook_id = {}", webhook_id)
        if where.ok is not None:
            condition.require("error IS NULL" if where.ok else "error IS NOT NULL")
        if where.error is not None and where.error.isdigit():
            condition.add("status_code = {} AND error = {}", int(where.error), ErrorKind.STATUS)
        else:
            condition.add("error = {}", where.error)
        condition.add_range("id", after, where.from_at, where.to_at)

        async def fetch(where: Where) -> list[asyncpg.Record]:
            return await self._reads.fetch(
                f"SELECT {ATTEMPT_COLUMNS} FROM attempts {where} ORDER BY id DESC LIMIT {limit}", *where.args
            )

        return await list_rows(self._db, condition, fetch, attempt_view, "attempts", limit)

    async def attempt(self, webhook_id: UUID, attempt_id: UUID) -> AttemptView:
        row = await self._db.fetchrow(
            f"SELECT {ATTEMPT_COLUMNS}, exchange,"
            "       (SELECT body_format FROM webhooks WHERE id = webhook_id) AS body_format"
            " FROM attempts WHERE webhook_id = $1 AND id = $2",
            webhook_id,
            attempt_id,
        )
        if row is None:
            raise NotFound(NO_ATTEMPT)
        return self._db.rows.one(row, lambda row: attempt_view(row, exchange=_exchange(row)), "attempts")

    async def metrics(self, webhook_id: UUID, from_at: datetime, to_at: datetime, step_s: int) -> MetricsView:
        await self._require_history(webhook_id)
        return await series(self._reads, webhook_id, from_at, to_at, step_s)

    async def uptime(self, webhook_id: UUID) -> UptimeView:
        await self._require_history(webhook_id)
        return await read_uptime(self._reads, webhook_id, await self.now())

    async def annotations(self, webhook_id: UUID, from_at: datetime, to_at: datetime) -> AnnotationsView:
        await self._require_history(webhook_id)
        return await read_annotations(self._reads, webhook_id, from_at, to_at)

    async def _require_history(self, webhook_id: UUID) -> None:
        """Raise ``NotFound`` unless the webhook exists or existed: a deletion leaves its history until retention."""
        if await self._db.fetchrow("SELECT 1 FROM webhooks WHERE id = $1", webhook_id) is None:
            raise NotFound(NO_WEBHOOK)

    async def audit_log(self, where: AuditFilter, *, after: UUID | None, limit: int) -> Look[AuditView]:
        return await list_audit(self._reads, where, after, limit)

    async def revocations(self, *, after: RevocationPosition | None, limit: int) -> list[Revocation]:
        condition = Where("expires_at > now()")
        if after is not None:
            condition.add(f"(revoked_at, {_DIGEST}) < ({{}}, {{}})", after.revoked_at, after.digest)
        rows = await self._db.fetch(
            "SELECT jti, revoked_at, expires_at FROM revoked_tokens"
            f" {condition} ORDER BY revoked_at DESC, {_DIGEST} DESC LIMIT {limit}",
            *condition.args,
        )
        return [from_row(row, Revocation) for row in rows]

    async def revoked(self) -> set[str]:
        """Return the ids of tokens that were revoked and would still be valid."""
        rows = await self._db.fetch("SELECT jti FROM revoked_tokens WHERE expires_at > now()", reserved=True)
        return {row["jti"] for row in rows}

    async def now(self) -> datetime:
        row = await self._db.fetchrow("SELECT clock_timestamp() AS at")
        assert row is not None
        at: datetime = row["at"]
        return at

    async def is_read_only(self) -> bool:
        """Whether the database takes no writes: a standby, or one set so. Raises ``Unavailable``."""
        row = await self._db.fetchrow(
            "SELECT current_setting('transaction_read_only') = 'on' AS read_only", reserved=True
        )
        assert row is not None
        return bool(row["read_only"])


def _exchange(row: asyncpg.Record) -> StoredExchange | None:
    """Return the exchange of an attempt. Older versions stored the whole URL of a chat service."""
    if not row["exchange"]:
        return None
    exchange = from_jsonb(row["exchange"], StoredExchange)
    return msgspec.structs.replace(exchange, url=shown_url(exchange.url, row["body_format"] or BodyFormat.STANDARD))
