"""``monitor maintain``."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

from monitor.adapters.postgres.engine import Database, DatabaseConfig, describe
from monitor.adapters.postgres.maintenance.housekeeping import PostgresHousekeeping
from monitor.adapters.postgres.migrate import schema_problem
from monitor.adapters.postgres.schema import stored_schema
from monitor.adapters.secret_box import SecretBox
from monitor.bootstrap.retention import retention
from monitor.cli.common import CommandError, session_setting, session_url
from monitor.cli.doors import ANSWER_S, database_errors
from monitor.cli.pooling import check_sessions
from monitor.settings.schema import Settings


def run(args: argparse.Namespace, settings: Settings) -> int:
    dsn = session_url(settings)
    with database_errors(dsn, session_setting(settings)):
        owns = asyncio.run(_maintain(dsn, settings))
    if not owns:
        raise CommandError(
            f"{describe(dsn)}: this user does not own the tables; use the one that ran `monitor migrate`."
        )
    done = "partitions are made, and what is past retention is deleted"
    print(json.dumps({"partitions": "made", "past_retention": "deleted"}) if args.json else done)
    return 0


async def _maintain(dsn: str, settings: Settings) -> bool:
    await check_sessions(dsn, timeout_s=ANSWER_S)
    days = settings.retention
    async with Database(DatabaseConfig(dsn=dsn, read_pool=1, write_pool=1)) as database:
        if problem := schema_problem(await stored_schema(database)):
            raise CommandError(f"{describe(dsn)}: {problem}")
        print(f"maintaining {describe(dsn)} …", file=sys.stderr)
        # Nothing is decrypted here, so that the job needs no key.
        box = SecretBox([("-", bytes(32))])
        keeper = PostgresHousekeeping(database, box, retention(settings), audit_d=days.audit_d, alerts_d=days.alerts_d)
        owns = await keeper.maintain_partitions()
        if owns:
            await keeper.purge_audit_log()
        return owns
