"""The time of one claim in a small queue and in one with a million waiting and a million finished deliveries."""

from __future__ import annotations

import time
from uuid import UUID

import asyncpg

from benchmarks.support import Figure, Figures, database, median, register, scratch, settings_of
from monitor.adapters.key_factory import sign_v1a
from monitor.bootstrap.container import Container
from monitor.domain.services.deliver import Deliverer
from monitor.domain.services.leases import DeliverConfig

SCALES = (100, 1000)
MILLION = 1_000_000
DUE = 2_000
CLAIM = 100
CLAIMS = 15
ROUNDS = 3

# Ids of version 7, spread over the last day, as the product makes them.
ID = (
    "(lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint - {i} % 86400000), 12, '0')"
    " || '7' || substr(md5('{salt}' || {i}), 1, 19))::uuid"
)

_WAITING = f"""
INSERT INTO deliveries (id, event_id, webhook_id, due_at)
SELECT {ID.format(i="i", salt="w")}, {ID.format(i="i", salt="e")}, ($1::uuid[])[1 + i % array_length($1, 1)],
       now() + interval '1 hour' + i * interval '10 ms'
FROM generate_series(1, $2) AS i
"""

FINISHED = f"""
INSERT INTO deliveries_finished (id, event_id, webhook_id, state, attempts, fencing_token, finished_at)
SELECT {ID.format(i="i", salt="f")}, {ID.format(i="i", salt="e")}, ($1::uuid[])[1 + i % array_length($1, 1)],
       'delivered', 1, 1, now()
FROM generate_series(1, $2) AS i
"""

_EVENT = """
INSERT INTO events (id, type, payload, labels, occurred_at, created_at) VALUES ($1, 'bench.0', '{}', '{}', now(), now())
"""

_DUE = f"""
INSERT INTO deliveries (id, event_id, webhook_id, due_at)
SELECT {ID.format(i="i", salt="d")}, $2, ($1::uuid[])[1 + i % array_length($1, 1)], now()
FROM generate_series(1, $3) AS i
"""


async def run() -> list[Figure]:
    figures = Figures("claim")
    for webhooks in SCALES:
        with scratch() as directory:
            async with database(directory) as env, Container(settings_of(env)) as parts:
                await _compare(figures, parts, webhooks)
    return figures.all


async def _compare(figures: Figures, parts: Container, webhooks: int) -> None:
    ids = await register(parts, [f"http://127.0.0.1:9/{i}" for i in range(webhooks)])
    connection = await parts.database.connect()
    try:
        empty_ms = await _claim_ms(parts, connection, ids)
        await connection.execute(_WAITING, ids, MILLION)
        await connection.execute(FINISHED, ids, MILLION)
        for table in ("deliveries", "deliveries_finished"):
            await connection.execute(f"VACUUM ANALYZE {table}")
        full_ms = await _claim_ms(parts, connection, ids)
    finally:
        await connection.close()
    figures.note(f"claim of {CLAIM}, {webhooks} webhooks, queue else empty", empty_ms, "ms")
    figures.note(f"claim of {CLAIM}, {webhooks} webhooks, 1 M waiting and 1 M finished", full_ms, "ms")
    figures.at_most(1.2, f"full to empty, {webhooks} webhooks", full_ms / empty_ms, "×")


async def _claim_ms(parts: Container, connection: asyncpg.Connection, ids: list[UUID]) -> float:
    """Return the median time of a claim over fresh due deliveries, and leave none of them behind."""
    event = parts.clock.new_id()
    await connection.execute(_EVENT, event)
    deliverer = Deliverer(
        parts.unit_of_work, parts.queries, parts.sender, parts.clock, sign_v1a, DeliverConfig(worker="benchmark")
    )
    samples = []
    for _ in range(ROUNDS):
        await connection.execute(_DUE, ids, event, DUE)
        for _ in range(CLAIMS):
            started = time.perf_counter()
            claim = await deliverer.claim(None, CLAIM)
            samples.append((time.perf_counter() - started) * 1000)
            if not claim.deliveries:
                raise RuntimeError("nothing was claimed")
            # Without this the webhooks' own limits would end the claims early.
            await connection.execute("DELETE FROM deliveries WHERE id = ANY($1)", [d.id for d in claim.deliveries])
        await connection.execute("DELETE FROM deliveries WHERE event_id = $1", event)
        await connection.execute("VACUUM deliveries")
    return median(samples)
