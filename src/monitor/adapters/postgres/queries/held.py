"""What holds pending deliveries, and webhooks, as their lanes are now."""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter
from uuid import UUID

import asyncpg

from monitor.adapters.postgres.codec import from_jsonb
from monitor.adapters.postgres.engine import Database
from monitor.adapters.postgres.lanes import LANE_COLUMNS, lane_of
from monitor.domain.delivery.circuit_breaker import Breaker, BreakerState
from monitor.domain.delivery.held import Held, held_delivery, held_webhook
from monitor.domain.delivery.lane import Lane
from monitor.domain.delivery.rate_limit import RateLimit
from monitor.domain.views.deliveries import DeliveryView
from monitor.domain.vocab import DeliveryState

HELD_COLUMNS = """
    l.breaker_state, l.breaker_until, l.breaker_cause, l.breaker_cause_at, l.throttled_until, l.tokens, l.tokens_at,
    now() AS read_at
"""
"""Columns of a webhook's lane that :func:`held_of` reads, beside those of the webhook."""

_LANES = f"""
SELECT {LANE_COLUMNS}, w.enabled, w.paused_at, now() AS read_at, head.id AS head_id, head.due_at AS head_due_at,
    (SELECT count(*) FROM deliveries d
     WHERE d.webhook_id = l.webhook_id AND d.leased_by IS NOT NULL AND d.due_at > now()) AS in_flight,
    -- Of the same moment as the lane: one that set out since its row was read is not held by its own probe.
    ARRAY(SELECT d.id FROM deliveries d WHERE d.id = ANY($2) AND d.webhook_id = l.webhook_id
          AND (d.leased_by IS NULL OR d.due_at <= now())) AS waiting
FROM webhook_lanes l JOIN webhooks w ON w.id = l.webhook_id LEFT JOIN LATERAL (
    SELECT d.id, d.due_at FROM deliveries d WHERE d.webhook_id = l.webhook_id ORDER BY d.id LIMIT 1
) AS head ON w.ordered
WHERE l.webhook_id = ANY($1)
"""


async def held_deliveries(database: Database, deliveries: Iterable[DeliveryView]) -> dict[UUID, Held]:
    """Return what holds those that are pending and not in flight, by delivery; the others are left out."""
    waiting = [one for one in deliveries if one.state is DeliveryState.PENDING and not one.in_flight]
    if not waiting:
        return {}
    rows = await database.fetch(_LANES, list({one.webhook_id for one in waiting}), [one.id for one in waiting])
    lanes = database.rows.readable(rows, lambda row: (lane_of(row), row), "webhook_lanes", itemgetter("webhook_id"))
    held = {}
    for one in waiting:
        if one.webhook_id not in lanes or one.due_at is None:
            continue
        lane, row = lanes[one.webhook_id]
        if one.id not in row["waiting"]:
            continue
        what = held_delivery(
            lane,
            enabled=row["enabled"],
            paused=row["paused_at"] is not None,
            delivery_id=one.id,
            due_at=one.due_at,
            head=None if row["head_id"] is None else (row["head_id"], row["head_due_at"]),
            now=row["read_at"],
        )
        if what is not None:
            held[one.id] = what
    return held


def held_of(row: asyncpg.Record) -> Held | None:
    """Return what holds the webhook of *row*, with its ``HELD_COLUMNS``."""
    lane = Lane(
        webhook_id=row["id"],
        breaker=Breaker(
            BreakerState(row["breaker_state"]),
            row["breaker_until"],
            cause=row["breaker_cause"],
            cause_at=row["breaker_cause_at"],
        ),
        throttled_until=row["throttled_until"],
        tokens=row["tokens"],
        tokens_at=row["tokens_at"],
        rate_limit=from_jsonb(row["rate_limit"], RateLimit) if row["rate_limit"] else None,
    )
    return held_webhook(lane, enabled=row["enabled"], paused=row["paused_at"] is not None, now=row["read_at"])
