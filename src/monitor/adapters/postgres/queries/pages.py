"""Lists of rows as views, where a row that cannot be read takes no place of others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

import asyncpg

from monitor.adapters.postgres.replica import Reads
from monitor.adapters.postgres.sql import Where

T = TypeVar("T")

Fetch = Callable[[Where], Awaitable[list[asyncpg.Record]]]


async def list_rows(
    database: Reads,
    condition: Where,
    fetch: Fetch,
    read: Callable[[asyncpg.Record], T],
    table: str,
    limit: int,
    *,
    id_column: str = "id",
) -> list[T]:
    """
    Return up to *limit* rows of *table*, each as *read* makes it.

    Args:
        fetch: runs the query of the list under a condition: *condition*, and without the rows set aside.
    """

    async def rows(skipped: list[UUID]) -> list[asyncpg.Record]:
        return await fetch(condition.copy().add(f"{id_column} <> ALL({{}}::uuid[])", skipped or None))

    return list((await database.rows.page(rows, read, table, limit)).values())
