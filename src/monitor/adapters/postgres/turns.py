"""
Turns of the messages about one alert: the rule of ``domain.delivery.order.turns``.

All of it runs under the lane's lock. The newest message of an alert is found by one step in an index, and no more than
``REPLACED_MAX`` older ones are replaced at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import timedelta
from uuid import UUID

import asyncpg

from monitor.adapters.postgres.lanes import LOCK_LANES, PRECEDING
from monitor.adapters.postgres.repositories.events import wake
from monitor.domain.delivery.event_types import patterns_for
from monitor.domain.delivery.order import ALERT_KEYS, FAN_OUT_WAIT_S, REPLACED_MAX, is_alert_key
from monitor.domain.ids import ROOM_BITS, derived
from monitor.domain.vocab import REPLACED

_LINES = "unnest($1::uuid[], $2::text[]) AS line (webhook_id, order_key)"

# As the predicate of the index has it. The key as a range, by which no other index has this order.
_OF_LINE = f"""d.webhook_id = {{line}}.webhook_id AND starts_with(d.order_key, '{ALERT_KEYS}')
          AND d.order_key BETWEEN {{line}}.order_key AND {{line}}.order_key"""

_NEWEST = f"""
    SELECT d.id, d.event_id, d.leased_by, d.due_at, d.attempts FROM deliveries d
    WHERE {_OF_LINE.format(line="line")}
    ORDER BY d.order_key DESC, d.event_id DESC, d.id DESC LIMIT 1
"""

REPLACE = f"""
WITH newest AS MATERIALIZED (
    SELECT line.webhook_id, line.order_key, last.event_id, last.id FROM {_LINES}, LATERAL ({_NEWEST}) AS last
), older AS MATERIALIZED (
    SELECT one.id FROM newest n, LATERAL (
        SELECT d.id FROM deliveries d
        WHERE {_OF_LINE.format(line="n")} AND (d.event_id, d.id) < (n.event_id, n.id)
          AND (d.leased_by IS NULL OR d.due_at <= now() OR d.id = ANY($3::uuid[]))
        ORDER BY d.order_key, d.event_id, d.id LIMIT {REPLACED_MAX} FOR UPDATE
    ) AS one
), gone AS (
    DELETE FROM deliveries WHERE id = ANY(ARRAY(SELECT id FROM older)) RETURNING *
), moved AS (
    INSERT INTO deliveries_finished
        (id, event_id, webhook_id, fencing_token, attempts, last_error, order_key, state, finished_at)
    SELECT id, event_id, webhook_id, fencing_token, attempts, '{REPLACED}', order_key, 'cancelled', now() FROM gone
)
SELECT id FROM gone
"""

# Of a line, one is in flight, and more than the limit are there only if not all could be replaced at once.
WAIT = f"""
WITH until AS MATERIALIZED (
    SELECT t.id, CASE
        WHEN others.n > 0 THEN coalesce(others.due_at, now())
        WHEN EXISTS ({PRECEDING.format(delivery_id="t.event_id")} AND f.event_types @> $2::text[])
            THEN now() + $3 END AS due_at
    FROM deliveries t JOIN webhooks w ON w.id = t.webhook_id, LATERAL (
        SELECT count(*) AS n, max(o.due_at) FILTER (WHERE o.in_flight) AS due_at FROM (
            SELECT d.due_at, d.leased_by IS NOT NULL AND d.due_at > now() AND d.id <> ALL($1::uuid[]) AS in_flight
            FROM deliveries d WHERE {_OF_LINE.format(line="t")} AND d.id <> t.id
            ORDER BY d.order_key, d.event_id, d.id LIMIT {REPLACED_MAX}
        ) AS o
    ) AS others
    WHERE t.id = ANY($1)
)
UPDATE deliveries d SET due_at = until.due_at, leased_by = NULL FROM until
WHERE d.id = until.id AND until.due_at IS NOT NULL
RETURNING d.id, d.webhook_id, d.due_at <= now() AS is_due
"""

# A message without an attempt that is not due waits for its turn. One that was replayed waits for the lease to end.
RESUME = f"""
UPDATE deliveries d SET due_at = now() WHERE d.id = ANY(ARRAY(
    SELECT last.id FROM {_LINES}, LATERAL ({_NEWEST}) AS last
    WHERE last.leased_by IS NULL AND last.due_at > now() AND last.attempts = 0))
RETURNING d.webhook_id
"""

MADE = """
SELECT DISTINCT d.webhook_id, d.order_key FROM unnest($1::uuid[], $2::uuid[]) AS e (id, last), LATERAL (
    SELECT webhook_id, order_key FROM deliveries WHERE id BETWEEN e.id AND e.last AND event_id = e.id LIMIT 1000
) AS d WHERE d.order_key IS NOT NULL
"""

_ALERT_PATTERNS = sorted(
    set(patterns_for(f"{ALERT_KEYS}raised")) & set(patterns_for(f"{ALERT_KEYS}resolved")) - set(patterns_for("other"))
)
"""Patterns that a fan-out has if it is one of alerts."""


async def take_turns(connection: asyncpg.Connection, leased: Sequence[asyncpg.Record]) -> list[asyncpg.Record]:
    """Return those of *leased*, just now, that may be sent; end or postpone the others."""
    messages = [row for row in leased if is_alert_key(row["order_key"])]
    if not messages:
        return [*leased]
    ids = [row["id"] for row in messages]
    gone = await _replace(connection, messages, ids)
    rest = [id_ for id_ in ids if id_ not in gone]
    waiting = await connection.fetch(WAIT, rest, _ALERT_PATTERNS, timedelta(seconds=FAN_OUT_WAIT_S))
    # The lane's capacity that the replaced ones took is free.
    woken = {row["webhook_id"] for row in messages if row["id"] in gone}
    await wake(connection, woken | {row["webhook_id"] for row in waiting if row["is_due"]})
    unsent = gone | {row["id"] for row in waiting}
    return [row for row in leased if row["id"] not in unsent]


async def end_turns(connection: asyncpg.Connection, lines: Iterable[asyncpg.Record], *, replace: bool = False) -> None:
    """Let the newest messages of these lines (webhook, key), of which an attempt was settled, go at once. With
    *replace*, these replace the older ones: a failed one is not tried again."""
    messages = [line for line in lines if is_alert_key(line["order_key"])]
    if not messages:
        return
    if replace:
        await _replace(connection, messages, [])
    resumed = await connection.fetch(RESUME, *_columns(messages))
    await wake(connection, {row["webhook_id"] for row in resumed})


async def replace_older(connection: asyncpg.Connection, event_ids: Sequence[UUID]) -> None:
    """As :func:`~monitor.domain.delivery.order.replaced_of` for all messages that the fan-outs of these events made.
    Lanes that another transaction has are left out: whatever is claimed there is looked at."""
    last = [derived(event_id, 2**ROOM_BITS - 1) for event_id in event_ids]
    made = [row for row in await connection.fetch(MADE, event_ids, last) if is_alert_key(row["order_key"])]
    if made:
        rows = await connection.fetch(f"{LOCK_LANES} SKIP LOCKED", list({row["webhook_id"] for row in made}))
        locked = {row["webhook_id"] for row in rows}
        await _replace(connection, [row for row in made if row["webhook_id"] in locked], [])


async def _replace(
    connection: asyncpg.Connection, messages: Iterable[asyncpg.Record], leased: Collection[UUID]
) -> set[UUID]:
    rows = await connection.fetch(REPLACE, *_columns(messages), leased)
    return {row["id"] for row in rows}


def _columns(lines: Iterable[asyncpg.Record]) -> tuple[list[UUID], list[str]]:
    distinct = sorted({(line["webhook_id"], line["order_key"]) for line in lines})
    return [webhook_id for webhook_id, _ in distinct], [key for _, key in distinct]
