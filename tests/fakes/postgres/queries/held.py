"""What holds a webhook and its deliveries, of the fake tables."""

from __future__ import annotations

from datetime import datetime

from msgspec import structs

from monitor.domain.delivery.held import Head, Held, held_delivery, held_webhook
from monitor.domain.delivery.lane import Lane
from monitor.domain.delivery.order import BY_KEY, QueuedDelivery, head_of
from tests.fakes.postgres.database import StoredDelivery, StoredWebhook, Tables, with_hold


def webhook_held(tables: Tables, row: StoredWebhook, now: datetime) -> Held | None:
    return held_webhook(
        _lane(tables, row, now),
        enabled=row.webhook.enabled,
        paused=row.webhook.paused_at is not None,
        now=now,
        head=_waiting_head(tables, row, now),
    )


def delivery_held(tables: Tables, delivery: StoredDelivery, now: datetime) -> Held | None:
    row = tables.webhooks[delivery.webhook_id]
    if delivery.leased_by is not None and delivery.due_at > now:
        return None
    head = head_of(delivery.queued(now), _queued(tables, row, now), row.webhook.ordered)
    return held_delivery(
        _lane(tables, row, now),
        enabled=row.webhook.enabled,
        paused=row.webhook.paused_at is not None,
        delivery_id=delivery.id,
        due_at=delivery.due_at,
        head=None if head is None else Head(head.id, head.due_at, head.order_key),
        now=now,
    )


def _lane(tables: Tables, row: StoredWebhook, now: datetime) -> Lane:
    webhook = row.webhook
    rows = [d for d in tables.deliveries.values() if d.webhook_id == webhook.id]
    return structs.replace(
        with_hold(tables, tables.lanes[webhook.id], now),
        max_concurrency=webhook.max_concurrency,
        rate_limit=webhook.rate_limit,
        ordered=webhook.ordered,
        in_flight=sum(d.leased_by is not None and d.due_at > now for d in rows),
    )


def _queued(tables: Tables, row: StoredWebhook, now: datetime) -> list[QueuedDelivery]:
    return [d.queued(now) for d in tables.deliveries.values() if d.webhook_id == row.webhook.id]


def _waiting_head(tables: Tables, row: StoredWebhook, now: datetime) -> Head | None:
    """Return the head that holds others the longest, and waits for its next attempt."""
    rows, ordered = _queued(tables, row, now), row.webhook.ordered
    # By key, PostgreSQL knows of those that a claim marked; replayed ones hold nothing else up.
    waiting = [one for one in rows if (one.behind if ordered is BY_KEY else not one.replayed)]
    pairs = [(head, one) for one in waiting if (head := head_of(one, rows, ordered)) is not None]
    heads = [head for head, one in pairs if head != one and head.due_at > now and not head.in_flight]
    longest = max(heads, key=lambda head: head.due_at, default=None)
    return None if longest is None else Head(longest.id, longest.due_at, longest.order_key)
