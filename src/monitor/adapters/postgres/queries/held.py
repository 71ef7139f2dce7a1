"""What holds pending deliveries, and webhooks, as their lanes are now."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

import asyncpg

from monitor.adapters.postgres.codec import from_jsonb
from monitor.adapters.postgres.engine import Database
from monitor.adapters.postgres.lanes import LANE_COLUMNS, lane_of
from monitor.domain.delivery.circuit_breaker import Breaker, BreakerState
from monitor.domain.delivery.held import Held, held_delivery, held_webhook
from monitor.domain.delivery.lane import Lane
from monitor.domain.delivery.rate_limit import RateLimit

HELD_COLUMNS = "l.breaker_state, l.breaker_until, l.tokens, l.tokens_at, now() AS read_at"
"""Columns of a webhook's lane that :func:`held_of` reads, beside those of the webhook."""

_LANES = f"""
SELECT {LANE_COLUMNS}, w.enabled, w.paused_at, now() AS read_at, head.id AS head_id, head.due_at AS head_due_at,
    (SELECT count(*) FROM deliveries d
     WHERE d.webhook_id = l.webhook_id AND d.leased_by IS NOT NULL AND d.due_at > now()) AS in_flight
FROM webhook_lanes l JOIN webhooks w ON w.id = l.webhook_id LEFT JOIN LATERAL (
    SELECT d.id, d.due_at FROM deliveries d WHERE d.webhook_id = l.webhook_id ORDER BY d.id LIMIT 1
) AS head ON w.ordered
WHERE l.webhook_id = ANY($1)
"""


async def held_deliveries(database: Database, rows: Iterable[asyncpg.Record]) -> dict[UUID, Held]:
    """Return what holds those of *rows* that are pending and not in flight, by delivery; the others are left out."""
    waiting = [row for row in rows if row["state"] == "pending" and not row["in_flight"]]
    if not waiting:
        return {}
    found = await database.fetch(_LANES, list({row["webhook_id"] for row in waiting}))
    lanes = {lane["webhook_id"]: lane for lane in found}
    held = {}
    for row in waiting:
        if (lane := lanes.get(row["webhook_id"])) is None:
            continue
        one = held_delivery(
            lane_of(lane),
            enabled=lane["enabled"],
            paused=lane["paused_at"] is not None,
            delivery_id=row["id"],
            due_at=row["due_at"],
            head=None if lane["head_id"] is None else (lane["head_id"], lane["head_due_at"]),
            now=lane["read_at"],
        )
        if one is not None:
            held[row["id"]] = one
    return held


def held_of(row: asyncpg.Record) -> Held | None:
    """Return what holds the webhook of *row*, with its ``HELD_COLUMNS``."""
    lane = Lane(
        webhook_id=row["id"],
        breaker=Breaker(BreakerState(row["breaker_state"]), row["breaker_until"]),
        tokens=row["tokens"],
        tokens_at=row["tokens_at"],
        rate_limit=from_jsonb(row["rate_limit"], RateLimit) if row["rate_limit"] else None,
    )
    return held_webhook(lane, enabled=row["enabled"], paused=row["paused_at"] is not None, now=row["read_at"])
