"""Make partitions ahead and delete what is past retention, as the owner of the tables.

For a daily job where `serve` and `work` run as a role that owns nothing. Safe to repeat, and beside running workers.
"""

from __future__ import annotations

import argparse
import asyncio

from monitor.adapters.postgres.engine import Database, DatabaseConfig, describe
from monitor.adapters.postgres.maintenance.housekeeping import PostgresHousekeeping
from monitor.adapters.secret_box import SecretBox
from monitor.bootstrap.container import retention
from monitor.cli.common import CommandError, database_url, environment
from monitor.domain.errors import Unavailable
from monitor.settings.schema import Settings

EXAMPLE = "MONITOR_DATABASE_URL=postgresql://monitor_owner:secret@db/monitor monitor maintain"


def arguments(sub: argparse.ArgumentParser) -> None:
    """There are none."""


def run(_args: argparse.Namespace) -> int:
    settings = environment()
    dsn = database_url(settings)
    try:
        owns = asyncio.run(_maintain(dsn, settings))
    except Unavailable as error:
        raise CommandError(f"{describe(dsn)}: {error.detail}") from None
    if not owns:
        raise CommandError(
            f"{describe(dsn)}: this user does not own the tables; use the one that ran `monitor migrate`."
        )
    print("partitions are made, and what is past retention is deleted")
    return 0


async def _maintain(dsn: str, settings: Settings) -> bool:
    days = settings.retention
    async with Database(DatabaseConfig(dsn=dsn, read_pool=1, write_pool=1)) as database:
        # Nothing is decrypted here, so that the job needs no key.
        box = SecretBox([("-", bytes(32))])
        keeper = PostgresHousekeeping(database, box, retention(settings), audit_d=days.audit_d, alerts_d=days.alerts_d)
        owns = await keeper.maintain_partitions()
        if owns:
            await keeper.purge_audit_log()
        return owns
