"""What holds pending deliveries, and webhooks, as their lanes are now."""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter
from uuid import UUID

import asyncpg

from monitor.adapters.postgres.codec import from_jsonb
from monitor.adapters.postgres.engine import Database
from monitor.adapters.postgres.lanes import LANE_COLUMNS, lane_of, order_of
from monitor.adapters.postgres.silenced import HELD_UNTIL
from monitor.domain.delivery.circuit_breaker import Breaker, BreakerState
from monitor.domain.delivery.held import Head, Held, held_delivery, held_webhook
from monitor.domain.delivery.lane import Lane
from monitor.domain.delivery.order import ALERT_KEYS
from monitor.domain.delivery.rate_limit import RateLimit
from monitor.domain.views.deliveries import DeliveryView
from monitor.domain.vocab import DeliveryState

HELD_COLUMNS = f"""
    l.breaker_state, l.breaker_until, l.breaker_cause, l.breaker_cause_at, l.throttled_until, l.tokens, l.tokens_at,
    {HELD_UNTIL} AS held_until,
    now() AS read_at, head.id AS head_id, head.due_at AS head_due_at, head.order_key AS head_key
"""
"""Columns of a webhook's lane that :func:`held_of` reads, beside those of the webhook, from ``HELD_FROM``."""

# A head that waits for its next attempt, with another delivery behind it. Of a webhook that is ordered by key, the one
# that holds its key the longest, among the 100 that are due last.
HELD_FROM = """
webhooks w JOIN webhook_lanes l ON l.webhook_id = w.id LEFT JOIN LATERAL (
    SELECT first.id, first.due_at, NULL AS order_key FROM (
        SELECT d.id, d.due_at, d.leased_by, lead(d.id) OVER (ORDER BY d.id) AS next_id FROM (
            SELECT d.id, d.due_at, d.leased_by FROM deliveries d
            WHERE w.ordered AND NOT w.order_by_key AND d.webhook_id = w.id AND d.replayed <= false AND NOT d.aside
            ORDER BY d.replayed, d.id LIMIT 2
        ) AS d ORDER BY d.id LIMIT 1
    ) AS first WHERE first.next_id IS NOT NULL AND first.leased_by IS NULL AND first.due_at > now()
    UNION ALL
    (SELECT h.id, h.due_at, h.order_key FROM (
        SELECT d.id, d.due_at, d.order_key, d.replayed, d.leased_by, d.aside FROM deliveries d
        WHERE w.order_by_key AND d.webhook_id = w.id AND d.behind <= false AND d.due_at > now()
        ORDER BY d.behind DESC, d.due_at DESC LIMIT 100
    ) AS h
    WHERE h.leased_by IS NULL AND NOT h.aside
      AND EXISTS (SELECT FROM deliveries d WHERE d.webhook_id = w.id AND d.order_key = h.order_key
          AND d.replayed = h.replayed AND d.behind)
      AND h.id = (
          SELECT d.id FROM deliveries d
          WHERE d.webhook_id = w.id AND d.order_key BETWEEN h.order_key AND h.order_key
            AND d.replayed >= h.replayed AND NOT d.aside
          ORDER BY d.order_key, d.replayed, d.id LIMIT 1)
    ORDER BY h.due_at DESC LIMIT 1)
) AS head ON true
"""

_HEAD = """
    SELECT h.id, h.due_at, h.order_key FROM deliveries h
    WHERE {gate} AND NOT d.aside AND h.webhook_id = d.webhook_id AND h.replayed >= d.replayed AND NOT h.aside
    ORDER BY {by}h.replayed, h.id LIMIT 1
"""

_SAME_KEY = (
    f"w.order_by_key AND NOT starts_with(d.order_key, '{ALERT_KEYS}')"
    " AND h.order_key BETWEEN d.order_key AND d.order_key"
)

# Of one moment: a delivery that set out since its row was read is not held by its own probe.
_WAITING = f"""
WITH flight AS MATERIALIZED (
    SELECT d.webhook_id, count(*) AS n FROM deliveries d
    WHERE d.webhook_id = ANY($1) AND d.leased_by IS NOT NULL AND d.due_at > now() GROUP BY d.webhook_id
)
SELECT {LANE_COLUMNS}, w.enabled, w.paused_at, now() AS read_at, coalesce(flight.n, 0) AS in_flight,
    d.id AS delivery_id, coalesce(first.id, key.id) AS head_id, coalesce(first.due_at, key.due_at) AS head_due_at,
    key.order_key AS head_key
FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id JOIN webhook_lanes l ON l.webhook_id = w.id
    LEFT JOIN flight ON flight.webhook_id = w.id
    LEFT JOIN LATERAL ({_HEAD.format(gate="w.ordered AND NOT w.order_by_key", by="")}) AS first ON true
    LEFT JOIN LATERAL ({_HEAD.format(gate=_SAME_KEY, by="h.order_key, ")}) AS key ON true
WHERE d.id = ANY($2) AND (d.leased_by IS NULL OR d.due_at <= now())
"""


async def held_deliveries(database: Database, deliveries: Iterable[DeliveryView]) -> dict[UUID, Held]:
    """Return what holds those that are pending and not in flight, by delivery; the others are left out."""
    waiting = [one for one in deliveries if one.state is DeliveryState.PENDING and not one.in_flight]
    if not waiting:
        return {}
    rows = await database.fetch(_WAITING, list({one.webhook_id for one in waiting}), [one.id for one in waiting])
    # Each lane once, as one row of each webhook has it.
    firsts = {row["webhook_id"]: row for row in rows}.values()
    lanes = database.rows.readable(firsts, lane_of, "webhook_lanes", itemgetter("webhook_id"))
    found = {row["delivery_id"]: row for row in rows}
    held = {}
    for one in waiting:
        row = found.get(one.id)
        if row is None or one.webhook_id not in lanes or one.due_at is None:
            continue
        what = held_delivery(
            lanes[one.webhook_id],
            enabled=row["enabled"],
            paused=row["paused_at"] is not None,
            delivery_id=one.id,
            due_at=one.due_at,
            head=_head(row),
            now=row["read_at"],
        )
        if what is not None:
            held[one.id] = what
    return held


def _head(row: asyncpg.Record) -> Head | None:
    return None if row["head_id"] is None else Head(row["head_id"], row["head_due_at"], row["head_key"])


def breaker_of(row: asyncpg.Record) -> Breaker:
    """Return the breaker of the webhook of *row*, with its ``HELD_COLUMNS``, as far as it is shown."""
    return Breaker(
        BreakerState(row["breaker_state"]),
        row["breaker_until"],
        cause=row["breaker_cause"],
        cause_at=row["breaker_cause_at"],
    )


def held_of(row: asyncpg.Record) -> Held | None:
    """Return what holds the webhook of *row*, with its ``HELD_COLUMNS``."""
    lane = Lane(
        webhook_id=row["id"],
        breaker=breaker_of(row),
        throttled_until=row["throttled_until"],
        held_until=row["held_until"],
        tokens=row["tokens"],
        tokens_at=row["tokens_at"],
        ordered=order_of(row),
        rate_limit=from_jsonb(row["rate_limit"], RateLimit) if row["rate_limit"] else None,
    )
    return held_webhook(
        lane, enabled=row["enabled"], paused=row["paused_at"] is not None, now=row["read_at"], head=_head(row)
    )
