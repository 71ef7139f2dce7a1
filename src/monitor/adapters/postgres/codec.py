"""Values between PostgreSQL and the domain's structs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, TypeVar

import asyncpg
import msgspec
import structlog

from monitor.domain.errors import UnreadableRow
from monitor.domain.monitoring.metrics import Histogram, Rollup
from monitor.domain.vocab import HealthStatus

T = TypeVar("T")
Row = TypeVar("Row")

ROUNDS = 50
"""Queries after which a page of rows stays shorter than requested, because so many cannot be read."""

REPORTED_MAX = 10_000
"""Rows whose keys are kept, so that each is logged and counted once and not at every poll."""

UNREADABLE = (
    "Another version of Monitor wrote it, or it is damaged; it is left as it is."
    " Repeat the call when all processes run the newest version."
)

log = structlog.get_logger(__name__)

_decode = msgspec.json.Decoder().decode


def jsonb(value: Any) -> str:
    """Encode for a parameter of type jsonb or json."""
    return msgspec.json.encode(value).decode()


def from_jsonb(value: Any, type_: type[T]) -> T:
    """Read a column of type jsonb or json: text from asyncpg, plain objects from SQLAlchemy."""
    return msgspec.convert(_plain(value), type_, strict=False)


def from_row(row: asyncpg.Record, type_: type[T], *jsonb_columns: str, **members: Any) -> T:
    """
    Read a row into the struct that names its members like the columns.

    Args:
        jsonb_columns: columns to decode.
        members: take precedence over columns; ``UNSET`` leaves a member at its default.
    """
    values = dict(row.items()) | {name: _plain(row[name]) for name in jsonb_columns}
    values |= {name: value for name, value in members.items() if value is not msgspec.UNSET}
    return msgspec.convert(values, type_)


def health_of(row: asyncpg.Record, type_: Callable[[HealthStatus, str, float, datetime | None], T]) -> T:
    """Read the health columns of a lane as a ``Health`` or ``HealthView``."""
    status = HealthStatus(row["health_status"])
    return type_(status, row["health_reason"], row["failure_probability"], row["health_changed_at"])


def histogram_of(row: asyncpg.Record) -> Histogram:
    """Read the sparse arrays of a row; null is empty."""
    return Histogram(tuple(row["indexes"] or ()), tuple(row["counts"] or ()))


def rollup_of(row: asyncpg.Record) -> Rollup:
    """Read a rollup with its histogram."""
    return Rollup(
        attempts=row["attempts"],
        failures=row["failures"],
        errors=from_jsonb(row["errors"], dict[str, int]),
        histogram=histogram_of(row),
        latency_sum_ms=row["latency_sum_ms"],
        failed_latency_sum_ms=row["failed_latency_sum_ms"],
    )


class RowReader:
    """
    Reads rows one by one, so that one that this version cannot read (of a newer version, or damaged) holds nothing
    else up. It is set aside and stays stored as it is: logged once as ``row_unreadable``, counted once in
    ``unreadable``, by table.
    """

    def __init__(self) -> None:
        self.unreadable: Counter[str] = Counter()
        self._reported: set[tuple[str, Hashable]] = set()

    def one(
        self,
        row: Row,
        read: Callable[[Row], T],
        table: str,
        key: Callable[[Any], Any] = itemgetter("id"),
        *,
        detail: str = UNREADABLE,
    ) -> T:
        """Return what *read* makes of a row that was requested by itself. Raises ``UnreadableRow`` with *detail*."""
        for found in self.readable([row], read, table, key).values():
            return found
        raise UnreadableRow(detail)

    def readable(
        self,
        rows: Iterable[Row],
        read: Callable[[Row], T],
        table: str,
        key: Callable[[Any], Any] = itemgetter("id"),
    ) -> dict[Any, T]:
        """Return what *read* makes of each row, by its *key* and in their order, without those for which it fails."""
        found: dict[Any, T] = {}
        for row in rows:
            try:
                found[key(row)] = read(row)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with a row, its neighbours are read
                self._set_aside(table, key(row), error)
        return found

    async def page(
        self,
        fetch: Callable[[list[Any]], Awaitable[Sequence[Row]]],
        read: Callable[[Row], T],
        table: str,
        limit: int,
        key: Callable[[Any], Any] = itemgetter("id"),
    ) -> dict[Any, T]:
        """
        Return up to *limit* rows as :meth:`readable` does. Those set aside take no place of others.

        Args:
            fetch: returns up to *limit* rows, without those with the given keys.
        """
        skipped: dict[Any, None] = {}
        for _ in range(ROUNDS):
            rows = await fetch(list(skipped))
            found = self.readable(rows, read, table, key)
            if len(found) == len(rows) or len(rows) < limit:
                break
            skipped |= dict.fromkeys(id_ for id_ in map(key, rows) if id_ not in found)
        return found

    def _set_aside(self, table: str, key: Hashable, error: Exception) -> None:
        if (table, key) in self._reported:
            return
        if len(self._reported) >= REPORTED_MAX:
            self._reported.clear()
        self._reported.add((table, key))
        self.unreadable[table] += 1
        # Without a traceback, which may hold what the row holds.
        log.error("row_unreadable", table=table, row=str(key), error=f"{type(error).__name__}: {error}"[:300])


def _plain(value: Any) -> Any:
    return _decode(value) if isinstance(value, str) else value
