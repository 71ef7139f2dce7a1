"""Which database this is: the same name from every process that uses it, another one for every other database."""

from __future__ import annotations

import asyncpg
import structlog

from monitor.adapters.postgres.engine import Database

log = structlog.get_logger(__name__)


async def database_identity(database: Database) -> str:
    """
    Return the identity of the database: that of its cluster, which a failover keeps and a restored dump lacks, and its
    oid.

    Raises:
        Unavailable: the database cannot be reached.
    """
    try:
        row = await database.fetchrow("SELECT system_identifier AS id FROM pg_control_system()")
    except asyncpg.InsufficientPrivilegeError:
        # Every role may call it unless that was revoked.
        log.warning("database_identity_is_partial", missing="EXECUTE on pg_control_system()")
        row = None
    cluster = 0 if row is None else row["id"]
    row = await database.fetchrow("SELECT oid::bigint, datname FROM pg_database WHERE datname = current_database()")
    assert row is not None
    return f"{cluster:x}-{row['oid']:x}" if cluster else f"{row['datname']}-{row['oid']:x}"
