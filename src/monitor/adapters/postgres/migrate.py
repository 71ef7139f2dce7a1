"""Brings a database to the newest schema. Any number of processes may try at once; one does it."""

from __future__ import annotations

from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from monitor.adapters.postgres.engine import raw_dsn, sqlalchemy_url
from monitor.adapters.postgres.maintenance.partitions import Retention, maintain
from monitor.adapters.postgres.outages import translating

ADVISORY_LOCK = 0x6D6F6E02
LOCK_TIMEOUT_S = 5


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
    """
    engine = create_async_engine(sqlalchemy_url(dsn), poolclass=NullPool)
    with translating():
        try:
            async with engine.connect() as connection:
                before = await connection.run_sync(_current)
                await connection.rollback()
                await connection.run_sync(_upgrade, revision)
                after = await connection.run_sync(_current)
        finally:
            await engine.dispose()
        raw = await asyncpg.connect(raw_dsn(dsn))
        try:
            await maintain(raw, retention or Retention(), wait=True)
        finally:
            await raw.close()
    return before, after or ""


def newest_revision() -> str:
    """Return the revision this code needs."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


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
        command.upgrade(config, revision)
        connection.commit()
    finally:
        connection.execute(text("SELECT pg_advisory_unlock(:id)"), {"id": ADVISORY_LOCK})
        connection.commit()
