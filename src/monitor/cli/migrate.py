"""Migrate the database to the schema of this version.

Safe to repeat and to run from several machines at once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

from monitor.adapters.postgres.engine import describe
from monitor.adapters.postgres.migrate import upgrade
from monitor.bootstrap.container import retention
from monitor.cli.common import CommandError, add_json, database_url, environment
from monitor.domain.errors import Unavailable

EXAMPLE = "MONITOR_DATABASE_URL=postgresql://monitor:secret@db/monitor monitor migrate"


def arguments(sub: argparse.ArgumentParser) -> None:
    add_json(sub)


def run(args: argparse.Namespace) -> int:
    settings = environment()
    dsn = database_url(settings)
    print(f"migrating {describe(dsn)} …", file=sys.stderr)
    try:
        before, after = asyncio.run(upgrade(dsn, retention=retention(settings)))
    except Unavailable as error:
        raise CommandError(f"{describe(dsn)}: {error.detail}") from None
    if args.json:
        print(json.dumps({"before": before, "after": after}))
    else:
        print(f"schema {after}" + ("" if before != after else " (nothing to do)"))
    return 0
