"""What PostgreSQL does for a statement."""

from __future__ import annotations

from typing import Any

import asyncpg
import msgspec


async def plan_of(connection: asyncpg.Connection, statement: str, *args: object) -> dict[str, Any]:
    """Run *statement*, take it back, and return the root of its plan with what each node read."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        explained = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", *args)
    finally:
        await transaction.rollback()
    plan: dict[str, Any] = msgspec.json.decode(explained)[0]["Plan"]
    return plan
