"""``monitor maintain``."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

from monitor.adapters.postgres.engine import Database, DatabaseConfig, describe
from monitor.adapters.postgres.maintenance.housekeeping import PostgresHousekeeping
from monitor.adapters.secret_box import SecretBox
from monitor.bootstrap.retention import retention
from monitor.cli.common import CommandError, database_url
from monitor.cli.doors import database_errors
from monitor.settings.schema import Settings


def run(args: argparse.Namespace, settings: Settings) -> int:
    dsn = database_url(settings)
    print(f"maintaining {describe(dsn)} …", file=sys.stderr)
    with database_errors(dsn):
        owns = asyncio.run(_maintain(dsn, settings))
    if not owns:
        raise CommandError(
            f"{describe(dsn)}: this user does not own the tables; use the one that ran `monitor migrate`."
        )
    done = "partitions are made, and what is past retention is deleted"
    print(json.dumps({"partitions": "made", "past_retention": "deleted"}) if args.json else done)
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
