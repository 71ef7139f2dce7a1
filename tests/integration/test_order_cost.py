"""What a claim reads beside a stuck key with a large backlog."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from monitor.adapters.postgres.claims import ADVANCE_LINES, LEASE_BY_KEY, LEASE_HEADS, WALKS
from monitor.adapters.postgres.lanes import LOCK_READY_LANES
from monitor.adapters.postgres.queries.held import HELD_COLUMNS, HELD_FROM
from monitor.adapters.postgres.queue import LEFT_BEHIND, RELEASED
from monitor.bootstrap.container import Container
from monitor.domain.ports.queue import Postpone
from tests import samples
from tests.integration.fan_out_support import SUBSCRIBE
from tests.integration.plans import plan_of
from tests.integration.support import sql

BACKLOG = 50_000
KEYS = 1_000
IDLE = 5_000
READ_MAX = 3_000
"""Rows that one statement may read: a few for each that it walks or leases, and far below the backlog."""

FILL = """
INSERT INTO deliveries (id, event_id, webhook_id, due_at, order_key, replayed)
SELECT uuidv7.id, $6, $1, now() - interval '1 minute' + n * interval '1 microsecond',
    CASE WHEN n <= $2::int THEN 'stuck' ELSE 'key ' || n % $4::int END, $5
FROM generate_series(1, $2::int + $3::int) AS n, LATERAL (
    SELECT (lpad(to_hex(1700000000000 + n), 12, '0') || '70008000000000000000')::uuid AS id) AS uuidv7
"""


def read_by(plan: dict[str, Any]) -> int:
    """Return how many rows the nodes of a plan read from tables and indexes."""
    kinds = ("Rows Removed by Filter", "Rows Removed by Index Recheck", "Actual Rows")
    own = sum(plan.get(kind, 0) for kind in kinds) * plan["Actual Loops"] if "Relation Name" in plan else 0
    return own + sum(map(read_by, plan.get("Plans", [])))


async def an_event(parts: Container) -> UUID:
    event = samples.event(parts.clock)
    async with parts.unit_of_work() as uow:
        await uow.events.add([event], [])
        await uow.commit()
    return event.id


async def rows_read(connection: asyncpg.Connection, statement: str, *args: object) -> int:
    """Run *statement*, take it back, and return how many rows it read."""
    return round(read_by(await plan_of(connection, statement, *args)))


async def test_a_claim_beside_a_stuck_key_reads_a_bounded_number_of_rows(parts: Container) -> None:
    made = await samples.add_webhook(parts.unit_of_work, parts.clock, ordered="key", max_concurrency=100)
    lease: tuple[object, ...] = ([made.id], [10], timedelta(seconds=30), "worker-1", [])
    async with sql(parts) as connection:
        await connection.execute(FILL, made.id, BACKLOG, KEYS, KEYS, False, await an_event(parts))
        # As autovacuum does within a minute.
        await connection.execute("ANALYZE deliveries")
        head = await connection.fetchval("SELECT id FROM deliveries WHERE order_key = 'stuck' ORDER BY id LIMIT 1")
        async with parts.unit_of_work() as uow:
            await uow.queue.postpone([Postpone(head, uow.now + timedelta(hours=1), 503, "status")])
            await uow.commit()
        # The first claims walk the backlog, each a part of it, and no later one does.
        for _ in range(BACKLOG // sum(WALKS) + 1):
            read = await rows_read(connection, LEASE_BY_KEY, *lease, WALKS[0])
            assert read < READ_MAX
            await samples.take(parts.unit_of_work, made.id, ordered="key")
        marked = await connection.fetchval("SELECT count(*) FROM deliveries WHERE behind")
        assert marked == BACKLOG - 1, marked
        webhook = f"SELECT {HELD_COLUMNS} FROM {HELD_FROM} WHERE w.id = $1"
        reads = {
            "lease": await rows_read(connection, LEASE_BY_KEY, *lease, WALKS[0]),
            "ready": await rows_read(connection, LOCK_READY_LANES, None, 200, []),
            "advance": await rows_read(connection, ADVANCE_LINES, [made.id], ["stuck"], [False]),
            "held": await rows_read(connection, webhook, made.id),
        }
        assert max(reads.values()) < READ_MAX, reads
        assert len(await samples.take(parts.unit_of_work, made.id, 50, ordered="key")) == 50


async def test_one_claim_finds_another_key_behind_batches_of_one(parts: Container) -> None:
    made = await samples.add_webhook(parts.unit_of_work, parts.clock, ordered="key", max_concurrency=100)
    for _ in range(5):
        await samples.add_deliveries(parts.unit_of_work, parts.clock, made.id, 1_000, key="busy")
    other = await samples.add_deliveries(parts.unit_of_work, parts.clock, made.id, key="other")
    lease: tuple[object, ...] = ([made.id], [10], timedelta(seconds=30), "worker-1", [], WALKS[0])
    async with sql(parts) as connection:
        assert await connection.fetchval("SELECT count(*) FROM deliveries WHERE NOT behind") == 6
        assert await rows_read(connection, LEASE_BY_KEY, *lease) < 100
    taken = await samples.take(parts.unit_of_work, made.id, 10, ordered="key")
    assert other[0] in {one.id for one in taken}
    assert len(taken) == 2


async def test_a_claim_beside_many_idle_webhooks_does_not_read_the_backlog_of_one(parts: Container) -> None:
    made, idle = [await samples.add_webhook(parts.unit_of_work, parts.clock) for _ in range(2)]
    async with sql(parts) as connection:
        await connection.execute(SUBSCRIBE, idle.id, IDLE, "order.paid")
        await connection.execute("UPDATE webhooks SET paused_at = NULL")
        await connection.execute(FILL, made.id, BACKLOG, 0, 1, False, await an_event(parts))
        await connection.execute("ANALYZE deliveries, webhooks, webhook_lanes")
        # Each webhook and its lane, and the first delivery of each.
        assert await rows_read(connection, LOCK_READY_LANES, None, 200, []) < 4 * IDLE < BACKLOG
        assert await rows_read(connection, LEFT_BEHIND, 100) < 4 * IDLE
        lanes = await connection.fetch("SELECT webhook_id FROM webhook_lanes")
        ids = [lane["webhook_id"] for lane in lanes]
        assert await rows_read(connection, RELEASED, ids, [parts.clock.now()] * len(ids)) < 4 * IDLE


@pytest.mark.parametrize("analyzed", [False, True])
async def test_a_claim_in_front_of_a_large_replay_reads_a_bounded_number_of_rows(
    parts: Container, analyzed: bool
) -> None:
    made = await samples.add_webhook(parts.unit_of_work, parts.clock, ordered=True)
    async with sql(parts) as connection:
        await connection.execute(FILL, made.id, BACKLOG, 0, 1, True, await an_event(parts))
        [new] = await samples.add_deliveries(parts.unit_of_work, parts.clock, made.id)
        if analyzed:
            await connection.execute("ANALYZE deliveries")
        lease: tuple[object, ...] = ([made.id], [1], timedelta(seconds=30), "worker-1", [])
        reads = {
            "lease": await rows_read(connection, LEASE_HEADS, *lease),
            "ready": await rows_read(connection, LOCK_READY_LANES, None, 200, []),
        }
        assert max(reads.values()) < READ_MAX, reads
    [taken] = await samples.take(parts.unit_of_work, made.id, ordered=True)
    assert taken.id == new
