"""Brings a database to the newest schema. Any number of processes may try at once; one does it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from monitor import __version__
from monitor.adapters.postgres.engine import raw_dsn
from monitor.adapters.postgres.hosts import Hosts
from monitor.adapters.postgres.maintenance.partitions import Retention, maintain
from monitor.adapters.postgres.outages import driver_error, translating
from monitor.adapters.postgres.schema import StoredSchema

ADVISORY_LOCK = 0x6D6F6E02
LOCK_TIMEOUT_S = 5
CONNECT_S = 10.0
DEADLOCKS = 10
"""How many deadlocks with requests and workers one run gets over."""


class NewerSchema(Exception):
    """A newer version of Monitor migrated the database, and this one cannot work with that, or not migrate it."""


def migrations_path() -> Path:
    """Return where the migrations are: inside an installed package, or at the top of a checkout.

    Raises:
        FileNotFoundError: neither is there; the installation is damaged.
    """
    package = Path(__file__).parents[2]
    for candidate in (package / "migrations", package.parents[1] / "alembic"):
        if (candidate / "versions").is_dir():
            return candidate
    raise FileNotFoundError("the database migrations are missing; install Monitor again")


async def upgrade(dsn: str, *, retention: Retention | None = None, revision: str = "head") -> tuple[str | None, str]:
    """Run what is missing and make the partitions of the coming days. Safe to repeat.

    Returns:
        The revision before and after; the first is ``None`` on an empty database.

    Raises:
        Unavailable: the database cannot be reached, or another transaction holds a table for longer than
            :data:`LOCK_TIMEOUT_S`.
        NewerSchema: a newer version migrated it.
    """

    hosts = Hosts(raw_dsn(dsn))

    async def connect() -> asyncpg.Connection:
        # By the driver itself, since SQLAlchemy does not read the TLS settings of a URL.
        return await hosts.open(timeout=CONNECT_S)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    with translating():
        try:
            async with engine.connect() as connection:
                before = await connection.run_sync(_current)
                await connection.rollback()
                _check_can_migrate(before)
                await connection.run_sync(_upgrade, revision)
                after = await connection.run_sync(_current)
        finally:
            await engine.dispose()
        raw = await connect()
        try:
            await maintain(raw, retention or Retention(), wait=True)
        finally:
            await raw.close()
    return before, after or ""


def newest_revision() -> str:
    """Return the revision this code needs."""
    return _revisions()[0]


def schema_problem(schema: StoredSchema) -> str | None:
    """Return why this version cannot work with *schema* and what to do, ``None`` if it can."""
    try:
        check_not_too_new(schema)
    except NewerSchema as error:
        return str(error)
    newest = newest_revision()
    if schema.revision == newest or is_newer(schema):
        return None
    return f"The database schema is {schema.revision or 'missing'}, this version needs {newest}; run `monitor migrate`."


def is_newer(schema: StoredSchema) -> bool:
    """Whether a newer version migrated the database."""
    return schema.revision is not None and schema.revision not in _revisions()


def check_not_too_new(schema: StoredSchema) -> None:
    """Raise :class:`NewerSchema` if a newer version migrated the database and this one cannot work with that."""
    # Revisions have one order, so one that is among ours is not newer than our newest.
    if is_newer(schema) and schema.compatible_from not in _revisions():
        raise NewerSchema(
            f"The database schema is {schema.revision}, which is newer than this Monitor ({__version__}, schema"
            f" {newest_revision()}) can work with; install the version that migrated it, or a later one."
        )


def _check_can_migrate(revision: str | None) -> None:
    if is_newer(StoredSchema(revision)):
        raise NewerSchema(
            f"The database schema is {revision}, which is newer than this Monitor ({__version__}, schema"
            f" {newest_revision()}), and only the version that migrated it, or a later one, can migrate it; run"
            " `monitor migrate` of that one. There is no way back but the backup."
        )


@cache
def _revisions() -> tuple[str, ...]:
    """Return the revisions of this version, the newest first. Read once, since each is a module to run."""
    return tuple(script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations_path()))
    return config


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _upgrade(connection: Connection, revision: str) -> None:
    # A session lock, since each migration commits on its own.
    connection.execute(text("SELECT pg_advisory_lock(:id)"), {"id": ADVISORY_LOCK})
    # Writers wait for what a migration waits for: rather than queue behind a long reader it gives up, to be repeated.
    connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT_S}s'"))
    connection.commit()
    try:
        config = _config()
        config.attributes["connection"] = connection
        _repeating_deadlocks(connection, lambda: command.upgrade(config, revision))
        connection.commit()
    finally:
        # Or the unlock of a transaction that failed would fail itself, and hide why.
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:id)"), {"id": ADVISORY_LOCK})
        connection.commit()


def _repeating_deadlocks(connection: Connection, run: Callable[[], None]) -> None:
    """Call *run* again after a deadlock: the migration in which it happened was undone, those before it are kept."""
    for left in reversed(range(DEADLOCKS)):
        try:
            run()
        except DBAPIError as error:
            if not left or not isinstance(driver_error(error), asyncpg.DeadlockDetectedError):
                raise
            connection.rollback()
        else:
            break
