"""``monitor migrate``."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

from monitor.adapters.postgres.engine import describe
from monitor.adapters.postgres.migrate import upgrade
from monitor.bootstrap.retention import retention
from monitor.cli.common import database_url
from monitor.cli.doors import database_errors
from monitor.settings.schema import Settings


def run(args: argparse.Namespace, settings: Settings) -> int:
    dsn = database_url(settings)
    print(f"migrating {describe(dsn)} …", file=sys.stderr)
    with database_errors(dsn):
        before, after = asyncio.run(upgrade(dsn, retention=retention(settings)))
    if args.json:
        print(json.dumps({"before": before, "after": after}))
    else:
        print(f"schema {after}" + ("" if before != after else " (nothing to do)"))
    return 0
