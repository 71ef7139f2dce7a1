"""``monitor migrate``."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

from monitor.adapters.postgres.engine import describe
from monitor.adapters.postgres.grants import GrantRefused, grant_rows
from monitor.adapters.postgres.migrate import upgrade
from monitor.adapters.postgres.refusals import DATABASE_ERRORS, lacks_privilege, migration_remedy, refusal
from monitor.bootstrap.retention import retention
from monitor.cli.common import CommandError, session_setting, session_url
from monitor.cli.doors import ANSWER_S, database_errors
from monitor.cli.pooling import check_sessions
from monitor.settings.schema import Settings


def run(args: argparse.Namespace, settings: Settings) -> int:
    dsn = session_url(settings)
    print(f"migrating {describe(dsn)} …", file=sys.stderr)
    with database_errors(dsn, session_setting(settings)), _privileges(dsn):
        before, after = asyncio.run(_migrate(dsn, settings, args.grant))
    if args.json:
        print(json.dumps({"before": before, "after": after}))
    else:
        print(f"schema {after}" + ("" if before != after else " (nothing to do)"))
    return 0


@contextmanager
def _privileges(dsn: str) -> Iterator[None]:
    """Turn what the role of *dsn* may not do into :class:`CommandError`, with the privilege and how to get it."""
    try:
        yield
    except DATABASE_ERRORS as error:
        words = refusal(error).words
        remedy = migration_remedy(words, unquote(urlsplit(dsn).username or "") or getpass.getuser())
        if not lacks_privilege(error) or remedy is None:
            raise
        raise CommandError(f"{describe(dsn)}: {words}; {remedy}.") from None


async def _migrate(dsn: str, settings: Settings, role: str | None) -> tuple[str | None, str]:
    await check_sessions(dsn, timeout_s=ANSWER_S)
    found = await upgrade(dsn, retention=retention(settings))
    if role is not None:
        try:
            await grant_rows(dsn, role)
        except GrantRefused as error:
            raise CommandError(f"schema {found[1]}, without the grants: {error}") from None
    return found
