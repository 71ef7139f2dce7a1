"""``EventLog`` on PostgreSQL, and the NOTIFY that wakes workers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from operator import attrgetter
from uuid import UUID

import asyncpg

from monitor.adapters.postgres.codec import RowReader, from_jsonb, jsonb
from monitor.domain.alerts.notification import NO_SELECTION, selection_of
from monitor.domain.delivery.event_types import RESERVED_SEGMENT, is_reserved, patterns_for
from monitor.domain.delivery.fan_out import FanOutEvent, NewDelivery, NewEvent, Subscription, following
from monitor.domain.delivery.reminders import steps_of

CHANNEL = "monitor_due"
WAKE_ALL = "*"
WAKE_IDS_MAX = 200
"""A NOTIFY payload holds 8,000 bytes; beyond this many ids it means every webhook."""


# The payload of Monitor's own events alone: it names the webhooks that get no delivery, and those that do besides.
FAN_OUT_EVENT = (
    f"id, type, labels, order_key, CASE WHEN type LIKE '{RESERVED_SEGMENT}.%' THEN payload END AS own_payload"
)

# Unordered, so that the scan ends with the first too many; then one row without an id stands for all.
_SUBSCRIPTIONS = """
WITH found AS MATERIALIZED (
    SELECT id, event_types, labels, reminders, body_format FROM webhooks
    WHERE event_types && $1 AND enabled AND deleted_at IS NULL LIMIT $2
), counted AS (SELECT count(*) >= $2 AS too_many FROM found)
SELECT found.* FROM found, counted WHERE NOT too_many
UNION ALL SELECT NULL, NULL, NULL, NULL, NULL FROM counted WHERE too_many
"""

_ADD_EVENTS = """
INSERT INTO events (id, type, payload, labels, occurred_at, created_at, order_key, traceparent)
SELECT id, type, payload, labels::jsonb, occurred_at, now(), order_key, traceparent
FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::text[], $5::timestamptz[], $6::text[], $7::text[])
    AS e (id, type, payload, labels, occurred_at, order_key, traceparent)
"""

# One statement, since a producer waits for each round trip. What comes behind another one of its key is marked at once,
# as a claim would: the one before it is committed with it.
_ADD = f"""
WITH events_added AS ({_ADD_EVENTS}), deliveries_added AS (
    INSERT INTO deliveries (id, event_id, webhook_id, due_at, order_key, behind)
    SELECT id, event_id, webhook_id, now(), order_key,
        follows AND EXISTS (SELECT FROM webhooks w WHERE w.id = webhook_id AND w.order_by_key)
    FROM unnest($8::uuid[], $9::uuid[], $10::uuid[], $11::text[], $12::bool[])
        AS d (id, event_id, webhook_id, order_key, follows)
)
SELECT pg_notify('{CHANNEL}', $13)
"""


async def wake(connection: asyncpg.Connection, webhook_ids: Iterable[UUID]) -> None:
    """Wake workers at commit for webhooks with due deliveries. One NOTIFY for any number of ids."""
    ids = {id_.hex for id_ in webhook_ids}
    if ids:
        await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, _payload(ids))


def _payload(ids: Collection[str]) -> str:
    return ",".join(ids) if len(ids) <= WAKE_IDS_MAX else WAKE_ALL


def woken(payload: str) -> list[UUID] | None:
    """Decode the payload of :func:`wake`; ``None`` means every webhook."""
    return None if payload == WAKE_ALL else [UUID(id_) for id_ in payload.split(",")]


class PostgresEventLog:
    """See :class:`monitor.domain.ports.repositories.events.EventLog`."""

    def __init__(self, connection: asyncpg.Connection, now: datetime, rows: RowReader) -> None:
        self._connection = connection
        self._now = now
        self._rows = rows

    async def subscriptions(self, event_types: Collection[str], *, limit: int) -> list[Subscription] | None:
        patterns = {pattern for type_ in event_types for pattern in patterns_for(type_)}
        rows = await self._connection.fetch(_SUBSCRIPTIONS, list(patterns), limit + 1)
        if rows and rows[0]["id"] is None:
            return None
        return sorted(self._rows.readable(rows, subscription_of, "webhooks").values(), key=attrgetter("webhook_id"))

    async def add(self, events: Sequence[NewEvent], deliveries: Sequence[NewDelivery]) -> None:
        columns = (
            [e.id for e in events],
            [e.type for e in events],
            [e.payload for e in events],
            [jsonb(e.labels) for e in events],
            [e.occurred_at for e in events],
            [e.order_key for e in events],
            [e.traceparent for e in events],
        )
        if not deliveries:
            await self._connection.execute(_ADD_EVENTS, *columns)
            return
        await self._connection.execute(
            _ADD,
            *columns,
            [d.id for d in deliveries],
            [d.event_id for d in deliveries],
            [d.webhook_id for d in deliveries],
            [d.order_key for d in deliveries],
            following(deliveries),
            _payload({d.webhook_id.hex for d in deliveries}),
        )


def subscription_of(row: asyncpg.Record) -> Subscription:
    labels = from_jsonb(row["labels"], dict[str, str])
    # A format of a newer version as well: events are accepted for it, and a worker of that version sends them.
    steps = steps_of(row["reminders"], row["body_format"])
    return Subscription(row["id"], frozenset(row["event_types"]), labels, steps)


def fan_out_event(row: asyncpg.Record) -> FanOutEvent:
    """Read a row of :data:`FAN_OUT_EVENT`."""
    own = selection_of(row["own_payload"]) if is_reserved(row["type"]) else NO_SELECTION
    return FanOutEvent(
        id=row["id"],
        type=row["type"],
        labels=from_jsonb(row["labels"], dict[str, str]),
        order_key=row["order_key"],
        except_webhook=own.except_webhook,
        reach=own.reach,
        told=own.told,
    )
