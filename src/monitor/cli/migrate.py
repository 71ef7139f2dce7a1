"""``monitor migrate``."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

from monitor.adapters.postgres.engine import describe
from monitor.adapters.postgres.migrate import upgrade
from monitor.bootstrap.retention import retention
from monitor.cli.common import session_setting, session_url
from monitor.cli.doors import ANSWER_S, database_errors
from monitor.cli.pooling import check_sessions
from monitor.settings.schema import Settings


def run(args: argparse.Namespace, settings: Settings) -> int:
    dsn = session_url(settings)
    print(f"migrating {describe(dsn)} …", file=sys.stderr)
    with database_errors(dsn, session_setting(settings)):
        before, after = asyncio.run(_migrate(dsn, settings))
    if args.json:
        print(json.dumps({"before": before, "after": after}))
    else:
        print(f"schema {after}" + ("" if before != after else " (nothing to do)"))
    return 0


async def _migrate(dsn: str, settings: Settings) -> tuple[str | None, str]:
    await check_sessions(dsn, timeout_s=ANSWER_S)
    return await upgrade(dsn, retention=retention(settings))
