"""
Lists of deliveries, events and audit rows by filters.

A page is read from a bounded number of rows of each table. If too few of these match, it is shorter, and the next one
goes on where the look ended.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

import asyncpg
import msgspec

from monitor.adapters.postgres.codec import from_row
from monitor.adapters.postgres.queries.pages import list_rows
from monitor.adapters.postgres.queries.rows import AUDIT_COLUMNS, audit_view, delivery_view
from monitor.adapters.postgres.replica import Reads
from monitor.adapters.postgres.selection import (
    EVENTS_LOOKED_AT,
    LOOKED_AT,
    Side,
    event_conditions,
    finished_sides,
    is_costly,
    pending_side,
)
from monitor.adapters.postgres.sql import Where
from monitor.domain.delivery.selection import FINISHED, DeliveryFilter
from monitor.domain.paging import Look
from monitor.domain.ports.queries.resources import AuditFilter, EventFilter
from monitor.domain.views.audit import AuditView
from monitor.domain.views.deliveries import COUNTED_MAX, DeliveryCounts, DeliveryView, EventView
from monitor.domain.vocab import DeliveryState, FanOutState

T = TypeVar("T", DeliveryView, EventView, AuditView)

_PENDING = """
SELECT d.id, d.event_id, d.webhook_id, 'pending' AS state, d.attempts, d.due_at, d.last_status_code, d.last_error,
       d.leased_by IS NOT NULL AND d.due_at > now() AS in_flight, NULL::timestamptz AS finished_at, d.order_key, d.aside
FROM {rows} d {where}
"""

_FINISHED = """
SELECT d.id, d.event_id, d.webhook_id, d.state, d.attempts, NULL::timestamptz AS due_at, d.last_status_code,
       d.last_error, false AS in_flight, d.finished_at, d.order_key, false AS aside
FROM {rows} d {where}
"""

_EVENTS = """
SELECT d.id, d.type, d.labels, d.occurred_at, d.created_at, d.order_key FROM {rows} d {where}
"""

_AUDIT = f"SELECT {AUDIT_COLUMNS} FROM {{rows}} d {{where}}"

# The ends of all looks, and beside these each row that was found.
_LISTED = """
SELECT looks.ends, listed.* FROM (SELECT ARRAY[{ends}]::uuid[] AS ends) AS looks
LEFT JOIN (SELECT * FROM ({parts}) AS united ORDER BY id DESC LIMIT {limit}) AS listed ON true
ORDER BY listed.id DESC
"""


# The states of the first deliveries of each event of a page.
_OUTCOMES = f"""
SELECT e.id AS event_id, o.state, count(*) AS n
FROM unnest($1::uuid[]) AS e(id) CROSS JOIN LATERAL (
    (SELECT '{DeliveryState.PENDING}' AS state FROM deliveries d WHERE d.event_id = e.id LIMIT {COUNTED_MAX})
    UNION ALL
    (SELECT d.state FROM deliveries_finished d WHERE d.event_id = e.id AND d.id >= e.id LIMIT {COUNTED_MAX})
) AS o GROUP BY e.id, o.state
"""


# Events of a page whose fan-out is unfinished. A fan-out has the id of the first event of its request: of the event
# itself, or of one just before it, among requests of the same moment.
_RUNNING = """
SELECT e.id FROM unnest($1::uuid[]) AS e(id) WHERE EXISTS (
    SELECT FROM (SELECT event_ids FROM fan_outs WHERE id <= e.id ORDER BY id DESC LIMIT 20) AS f
    WHERE e.id = ANY(f.event_ids)
)
"""


def both_tables(pending: str, finished: str) -> str:
    """Compose the SELECT of deliveries of both tables, with one WHERE clause for each."""
    return (
        f"({_PENDING.format(rows='deliveries', where=pending)})"
        f" UNION ALL ({_FINISHED.format(rows='deliveries_finished', where=finished)})"
    )


async def list_deliveries(
    database: Reads, chosen: DeliveryFilter, after: UUID | None, limit: int
) -> Look[DeliveryView]:
    """Return up to *limit* deliveries, without event types, names of webhooks and what holds each."""

    def parts(base: Where) -> list[tuple[str, str, Side]]:
        sides = []
        if chosen.state in (None, DeliveryState.PENDING):
            sides.append((_PENDING, "deliveries", pending_side(base, chosen, base)))
        if chosen.state is not DeliveryState.PENDING:
            states = FINISHED if chosen.state is None else (chosen.state,)
            sides += [(_FINISHED, "deliveries_finished", one) for one in finished_sides(base, chosen, states, base)]
        for _, _, side in sides:
            side.first.add_range("d.id", after, chosen.from_at, chosen.to_at)
        return sides

    return await _list(database, parts, lambda row: delivery_view(row, {}), "deliveries_finished", limit, LOOKED_AT)


async def list_events(database: Reads, where: EventFilter, after: UUID | None, limit: int) -> Look[EventView]:
    """Return up to *limit* events with their fan-outs and the states of their deliveries, without their payloads."""

    def parts(base: Where) -> list[tuple[str, str, Side]]:
        side = event_conditions(base, where)
        side.first.add_range("d.id", after, where.from_at, where.to_at)
        return [(_EVENTS, "events", side)]

    looked_at = EVENTS_LOOKED_AT if is_costly(where) else LOOKED_AT
    look = await _list(database, parts, lambda row: from_row(row, EventView, "labels"), "events", limit, looked_at)
    return Look(await _with_outcomes(database, look.rows), look.last) if look.rows else look


async def _with_outcomes(database: Reads, events: list[EventView]) -> list[EventView]:
    by_state: dict[UUID, dict[str, int]] = {view.id: {} for view in events}
    # Before the counts: these are complete for an event with a finished fan-out.
    running = {row["id"] for row in await database.fetch(_RUNNING, list(by_state))}
    for row in await database.fetch(_OUTCOMES, list(by_state)):
        by_state[row["event_id"]][row["state"]] = row["n"]
    return [
        msgspec.structs.replace(
            view,
            deliveries=_counts(by_state[view.id]),
            fan_out=FanOutState.RUNNING if view.id in running else FanOutState.DONE,
        )
        for view in events
    ]


def _counts(found: dict[str, int]) -> DeliveryCounts:
    pending = found.get(DeliveryState.PENDING, 0)
    # A state that a newer version added is counted by that version.
    known = {state: n for state, n in found.items() if state in set(DeliveryState)}
    return DeliveryCounts(**known, complete=max(pending, sum(found.values()) - pending) < COUNTED_MAX)


async def list_audit(database: Reads, where: AuditFilter, after: UUID | None, limit: int) -> Look[AuditView]:
    """Return up to *limit* rows of the audit log."""

    def parts(base: Where) -> list[tuple[str, str, Side]]:
        side = Side(base.beside(), base.beside())
        side.first.add_range("d.id", after, where.from_at, where.to_at)
        side.rest.add("d.subject = {}", where.subject)
        side.rest.add("d.target = {}", where.target)
        prefix = where.action[:-1] if where.action is not None and where.action.endswith(".*") else None
        side.rest.add("starts_with(d.action, {})", prefix)
        side.rest.add("d.action = {}", where.action if prefix is None else None)
        return [(_AUDIT, "audit_log", side)]

    return await _list(database, parts, audit_view, "audit_log", limit, LOOKED_AT)


async def _list(
    database: Reads,
    parts_of: Callable[[Where], list[tuple[str, str, Side]]],
    read: Callable[[asyncpg.Record], T],
    table: str,
    limit: int,
    looked_at: int,
) -> Look[T]:
    ends: list[UUID] = []

    async def fetch(base: Where) -> list[asyncpg.Record]:
        parts = parts_of(base)
        for _, _, side in parts:
            side.first.also(base)
        sql = _LISTED.format(
            ends=", ".join(_end(table, side, looked_at) for _, table, side in parts),
            parts=" UNION ALL ".join(_part(select, table, side, limit, looked_at) for select, table, side in parts),
            limit=limit,
        )
        rows = await database.fetch(sql, *base.args)
        ends[:] = [end for end in rows[0]["ends"] if end is not None]
        # Below the end of one look, the rows of its table were not read, while those of the other may have been.
        return [row for row in rows if row["id"] is not None and (not ends or row["id"] >= max(ends))]

    found = await list_rows(database, Where(), fetch, read, table, limit, id_column="d.id")
    return Look(found, max(ends, default=None))


def _part(select: str, table: str, side: Side, limit: int, looked_at: int) -> str:
    """Return the SELECT of the newest *limit* matching rows among those of one look."""
    if side.rest.is_empty:
        return f"({select.format(rows=table, where=side.first)} ORDER BY d.id DESC LIMIT {limit})"
    look = f"(SELECT * FROM {table} d {side.first} ORDER BY d.id DESC LIMIT {looked_at})"
    return f"({select.format(rows=look, where=side.rest)} ORDER BY d.id DESC LIMIT {limit})"


def _end(table: str, side: Side, looked_at: int) -> str:
    """Return the expression of the last row of a look, null if the look is not bounded, or has all rows."""
    if side.rest.is_empty:
        return "NULL"
    return f"(SELECT d.id FROM {table} d {side.first} ORDER BY d.id DESC OFFSET {looked_at - 1} LIMIT 1)"
