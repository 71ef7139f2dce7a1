"""Rights of the role of ``monitor serve`` and ``monitor work``: read and write rows, only add to the audit log."""

from __future__ import annotations

import asyncpg

from monitor.adapters.postgres.engine import raw_dsn
from monitor.adapters.postgres.hosts import Hosts
from monitor.adapters.postgres.migrate import ADVISORY_LOCK, CONNECT_S
from monitor.adapters.postgres.outages import translating

GRANTS = (
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role};",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {role};",
    "REVOKE UPDATE, DELETE ON audit_log FROM {role};",
    "REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM {role};",
)
"""Those of the checklist. The second one covers tables of later migrations, and partitions."""


class GrantRefused(Exception):
    """The role cannot be given the rights; the text says why and what to do."""


async def grant_rows(dsn: str, role: str) -> None:
    """
    Grant *role* what it needs, as the owner of the tables. Safe to repeat, and to run from several machines at once.

    Raises:
        GrantRefused: there is no such role, or it owns the tables.
        Unavailable: the database cannot be reached.
    """
    with translating():
        connection = await Hosts(raw_dsn(dsn)).open(timeout=CONNECT_S)
        try:
            if await connection.fetchval("SELECT current_user = $1", role):
                raise GrantRefused(f"{role} is the owner, which needs no grants; name the user of serve and work.")
            async with connection.transaction():
                # Two GRANTs at once on one table fail.
                await connection.execute("SELECT pg_advisory_xact_lock($1)", ADVISORY_LOCK)
                quoted = await connection.fetchval("SELECT quote_ident($1)", role)
                for statement in GRANTS:
                    await connection.execute(statement.format(role=quoted))
        except asyncpg.UndefinedObjectError as error:
            remedy = "create it first: CREATE ROLE NAME LOGIN PASSWORD '…'"
            raise GrantRefused(f"{error.message}; {remedy}.") from None
        finally:
            await connection.close()
