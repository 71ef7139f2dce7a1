"""
Leases of due deliveries, by the order of their webhooks: the rule of ``domain.delivery.order.next_of``.

All of it runs under the lane's lock, as does everything that takes a delivery out of its line.

A webhook that is ordered by key has many heads, and those that may go must be found without a look at what waits behind
the others. A claim walks what is due and not marked ``behind``, at most ``WALKS`` rows, and marks what it finds behind
another one of its key. So each row is walked once, however long its head is stuck, and once more when it is the head:
whatever takes a head out of its line removes the mark of the next one (:func:`advance_lines`). The rows that a claim
meets again are those that it might have leased.

The statements bound the columns of an index by ranges (``replayed <= false``) and sort by these, where an equality
would do: so no other index has that order, and a plan made before the statistics show a backlog does not filter it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from monitor.adapters.postgres.engine import Database
from monitor.adapters.postgres.lanes import FIRST
from monitor.domain.delivery.order import ALERT_KEYS, BY_KEY, Order

WALKS = (100, 1_000, 1_000, 1_000)
"""Rows that the steps of one claim walk in each webhook that is ordered by key. The first one suffices unless hundreds
of deliveries came in behind others since the last claim."""

_LEASE = """
UPDATE deliveries d
SET due_at = now() + $3, fencing_token = d.fencing_token + 1, leased_by = $4, leased_at = now(),
    crashes = d.crashes + (d.leased_by IS NOT NULL)::int
FROM picked WHERE d.id = picked.id
RETURNING d.id, d.event_id, d.webhook_id, d.fencing_token, d.attempts, d.schedule_from,
    d.crashes, d.order_key
"""

_LANES = "unnest($1::uuid[], $2::int[]) AS lane (webhook_id, capacity)"

LEASE_DUE = f"""
WITH picked AS MATERIALIZED (
    SELECT due.id FROM {_LANES}, LATERAL (
        SELECT d.id FROM deliveries d
        WHERE d.webhook_id = lane.webhook_id AND d.due_at <= now() AND d.id <> ALL($5::uuid[])
        ORDER BY d.due_at LIMIT lane.capacity FOR UPDATE SKIP LOCKED
    ) AS due
) {_LEASE}
"""

# Of a lane whose pause has ended: what fell due since, apart from what the pause held.
LEASE_SINCE = f"""
WITH picked AS MATERIALIZED (
    SELECT due.id
    FROM unnest($1::uuid[], $2::int[], $6::timestamptz[]) AS lane (webhook_id, capacity, resumed_at), LATERAL (
        SELECT d.id FROM deliveries d
        WHERE d.webhook_id = lane.webhook_id AND d.due_at > lane.resumed_at AND d.due_at <= now()
            AND d.id <> ALL($5::uuid[])
        ORDER BY d.due_at LIMIT lane.capacity FOR UPDATE SKIP LOCKED
    ) AS due
) {_LEASE}
"""

_HEAD = """
    SELECT d.id, d.due_at, d.aside, {last} AS last FROM deliveries d
    WHERE d.webhook_id = lane.webhook_id AND {line} LIMIT 1
"""

# The head of a line is waited for, not skipped: skipping it would overtake it.
LEASE_HEADS = f"""
WITH chosen AS MATERIALIZED (
    SELECT first.id FROM {_LANES} JOIN webhooks w ON w.id = lane.webhook_id, LATERAL (
        SELECT one.id FROM (
            ({_HEAD.format(last=0, line="d.replayed <= false AND NOT d.aside ORDER BY d.replayed, d.id")}) UNION ALL
            ({_HEAD.format(last=0, line="d.aside AND d.due_at <= now() AND d.id <> ALL($5::uuid[]) ORDER BY d.due_at")})
            UNION ALL
            ({_HEAD.format(last=1, line="d.replayed >= true AND NOT d.aside ORDER BY d.replayed, d.id")})
        ) AS one
        WHERE one.due_at <= now() AND one.id <> ALL($5::uuid[]) AND (one.aside OR {FIRST.format(delivery_id="one.id")})
        ORDER BY one.last, one.due_at, one.id LIMIT 1
    ) AS first
), picked AS MATERIALIZED (
    SELECT d.id FROM deliveries d JOIN chosen USING (id) WHERE d.due_at <= now() FOR UPDATE OF d
) {_LEASE}
"""

LEASE_BY_KEY = f"""
WITH walked AS MATERIALIZED (
    SELECT lane.capacity, due.*,
        due.aside OR due.order_key IS NULL OR starts_with(due.order_key, '{ALERT_KEYS}') AS is_free
    FROM {_LANES}, LATERAL (
        SELECT d.id, d.webhook_id, d.order_key, d.replayed, d.aside, d.due_at FROM deliveries d
        WHERE d.webhook_id = lane.webhook_id AND d.due_at <= now() AND d.behind <= false AND d.id <> ALL($5::uuid[])
        ORDER BY d.behind, d.due_at LIMIT $6
    ) AS due
), busy AS MATERIALIZED (
    SELECT d.webhook_id, d.order_key FROM deliveries d
    WHERE d.webhook_id = ANY($1) AND d.leased_by IS NOT NULL AND d.due_at > now()
      AND NOT d.aside AND d.order_key IS NOT NULL
), placed AS MATERIALIZED (
    SELECT w.*, NOT w.is_free AND w.id > (
        SELECT d.id FROM deliveries d
        WHERE d.webhook_id = w.webhook_id AND d.order_key BETWEEN w.order_key AND w.order_key
          AND d.replayed >= w.replayed AND NOT d.aside
        ORDER BY d.order_key, d.replayed, d.id LIMIT 1
    ) AS is_behind
    FROM walked w
), open AS MATERIALIZED (
    SELECT p.* FROM placed p JOIN webhooks w ON w.id = p.webhook_id WHERE p.is_free OR (
        NOT p.is_behind AND {FIRST.format(delivery_id="p.id")}
        AND (p.webhook_id, p.order_key) NOT IN (SELECT webhook_id, order_key FROM busy)
        AND NOT (p.replayed AND EXISTS (
            SELECT FROM placed n
            WHERE n.webhook_id = p.webhook_id AND n.order_key = p.order_key AND NOT n.is_free AND NOT n.is_behind
              AND NOT n.replayed)))
), chosen AS MATERIALIZED (
    SELECT o.id FROM (
        SELECT *, row_number() OVER (PARTITION BY webhook_id ORDER BY due_at, id) AS place FROM open
    ) AS o WHERE o.place <= o.capacity
), picked AS MATERIALIZED (
    SELECT d.id FROM deliveries d JOIN chosen USING (id) WHERE d.due_at <= now() FOR UPDATE OF d SKIP LOCKED
), marked AS (
    UPDATE deliveries d SET behind = true FROM placed p WHERE d.id = p.id AND p.is_behind
), leased AS ({_LEASE})
SELECT leased.*, walk.webhook_id AS walked_id, walk.is_cut FROM (
    SELECT webhook_id, count(*) = $6 AS is_cut FROM walked GROUP BY webhook_id
) AS walk LEFT JOIN leased ON leased.webhook_id = walk.webhook_id
"""

_ADVANCE = """
UPDATE deliveries d SET behind = false
WHERE d.id = ANY(ARRAY(
    SELECT head.id FROM {lines} AS line (webhook_id, order_key, replayed), LATERAL (
        SELECT h.id, h.behind FROM deliveries h
        WHERE h.webhook_id = line.webhook_id AND h.order_key BETWEEN line.order_key AND line.order_key
          AND h.replayed >= line.replayed AND NOT h.aside
        ORDER BY h.order_key, h.replayed, h.id LIMIT 1
    ) AS head WHERE head.behind))
"""

ADVANCE_LINES = _ADVANCE.format(lines="unnest($1::uuid[], $2::text[], $3::bool[])")

_MARKED = "SELECT m.webhook_id, m.order_key, m.replayed FROM deliveries m WHERE m.behind"
_LINE = "(m.webhook_id, m.order_key, m.replayed) > ({after}) ORDER BY m.webhook_id, m.order_key, m.replayed LIMIT 1"

# An older version takes deliveries out of their lines and leaves the marks of the next ones. One step in the index for
# each line, however many wait in it.
ADVANCE_NEXT_LINES = f"""
WITH RECURSIVE marked AS (
    (SELECT first.*, 1 AS n FROM ({_MARKED} AND {_LINE.format(after="$1::uuid, $2::text, $3::bool")}) AS first)
    UNION ALL
    SELECT next.*, marked.n + 1 FROM marked, LATERAL (
        {_MARKED} AND {_LINE.format(after="marked.webhook_id, marked.order_key, marked.replayed")}
    ) AS next WHERE marked.n < $4
), advanced AS ({_ADVANCE.format(lines="marked")})
SELECT webhook_id, order_key, replayed, n FROM marked ORDER BY n DESC LIMIT 1
"""


async def lease_rows(
    connection: asyncpg.Connection,
    capacities: Mapping[UUID, int],
    ordered: Mapping[UUID, Order],
    lease: timedelta,
    worker: str,
    held: Collection[UUID],
    since: Mapping[UUID, datetime],
) -> list[asyncpg.Record]:
    """Lease what ``next_of`` chooses; see :class:`monitor.domain.ports.queue.DeliveryQueue`."""
    leased: list[asyncpg.Record] = []
    for sql, order in ((LEASE_DUE, False), (LEASE_HEADS, True)):
        lanes = {id_: free for id_, free in capacities.items() if ordered.get(id_, False) is order}
        if lanes := {id_: free for id_, free in lanes.items() if id_ not in since}:
            leased += await connection.fetch(sql, list(lanes), list(lanes.values()), lease, worker, list(held))
    if resumed := {id_: free for id_, free in capacities.items() if id_ in since}:
        from_at = [since[id_] for id_ in resumed]
        leased += await connection.fetch(
            LEASE_SINCE, list(resumed), list(resumed.values()), lease, worker, list(held), from_at
        )
    by_key = {id_: free for id_, free in capacities.items() if ordered.get(id_) == BY_KEY}
    for rows in WALKS:
        if not by_key:
            break
        found = await connection.fetch(
            LEASE_BY_KEY, list(by_key), list(by_key.values()), lease, worker, list(held), rows
        )
        taken = [row for row in found if row["id"] is not None]
        leased += taken
        for row in taken:
            by_key[row["webhook_id"]] -= 1
        cut = {row["walked_id"] for row in found if row["is_cut"]}
        by_key = {id_: free for id_, free in by_key.items() if free and id_ in cut}
    return leased


async def advance_lines(connection: asyncpg.Connection, lines: Iterable[asyncpg.Record]) -> None:
    """Let claims look at the heads of these lines (webhook, key, replayed), from which a delivery was taken.

    In a statement of its own, since the one that took it sees the line as it was. Safe without the lane's lock: what is
    behind another is marked again.
    """
    if lines := list(lines):
        await connection.execute(
            ADVANCE_LINES,
            [line["webhook_id"] for line in lines],
            [line["order_key"] for line in lines],
            [line["replayed"] for line in lines],
        )


async def advance_all_lines(database: Database, limit: int) -> None:
    """As :func:`advance_lines` for every line with a mark, *limit* of them in each transaction."""
    after: tuple[UUID, str, bool] = (UUID(int=0), "", False)
    while row := await database.fetchrow(ADVANCE_NEXT_LINES, *after, limit):
        after = (row["webhook_id"], row["order_key"], row["replayed"])
        if row["n"] < limit:
            break
