"""Thousands of subscribers, stored by SQL since the API would take minutes."""

from __future__ import annotations

from typing import Any

from monitor.bootstrap.container import Container
from tests.integration.support import Api, eventually, sql

_ID = (
    "(lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint), 12, '0') || '7'"
    " || substr(md5(random()::text), 1, 3) || 'b' || substr(md5(random()::text), 1, 15))::uuid"
)

SUBSCRIBE = f"""
WITH ids AS MATERIALIZED (SELECT {_ID} AS id FROM generate_series(1, $2::int)), copied AS (
    INSERT INTO webhooks SELECT (jsonb_populate_record(w, jsonb_build_object(
        'id', ids.id, 'event_types', ARRAY[$3::text], 'paused_at', now()))).* FROM webhooks w, ids WHERE w.id = $1
)
INSERT INTO webhook_lanes SELECT (jsonb_populate_record(l, jsonb_build_object('webhook_id', ids.id))).*
FROM webhook_lanes l, ids WHERE l.webhook_id = $1
"""

MADE = """
SELECT count(*), count(DISTINCT (event_id, webhook_id)) AS pairs, count(DISTINCT webhook_id) AS webhooks FROM deliveries
"""


async def subscribe(api: Api, parts: Container, count: int, event_type: str) -> None:
    """Store *count* paused webhooks for *event_type*."""
    model = await api.create("http://127.0.0.1:9/hook", event_types=["nothing"])
    async with sql(parts) as connection:
        await connection.execute(SUBSCRIBE, model["id"], count, event_type)


async def made(parts: Container) -> tuple[int, int, int]:
    """Return the numbers of deliveries, of pairs of event and webhook, and of webhooks."""
    async with sql(parts) as connection:
        return tuple(await connection.fetchrow(MADE))


async def fanned_out(api: Api, event_id: str) -> dict[str, Any]:
    """Wait until the event has all its deliveries, and return it."""

    async def done() -> dict[str, Any] | None:
        event: dict[str, Any] = await api.read(f"events/{event_id}")
        return event if event["fan_out"] == "done" else None

    event: dict[str, Any] = await eventually(done)
    return event
