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


async def database_incarnation(database: Database) -> str:
    """
    Return what changes whenever the database may have been set back, under the same identity: when its server started,
    and the oid of a table, which changes when a dump is restored in place.

    A restart of the server changes it, too, and so does a failover, which may lose the last commits.

    Raises:
        Unavailable: the database cannot be reached.
    """
    # Of the primary, as all that is read on the reserved connections.
    row = await database.fetchrow(
        "SELECT extract(epoch FROM pg_postmaster_start_time()) AS started_at,"
        " coalesce(to_regclass('alembic_version')::oid::bigint, 0) AS oid",
        reserved=True,
    )
    assert row is not None
    return f"{row['started_at']:f}-{row['oid']:x}"
