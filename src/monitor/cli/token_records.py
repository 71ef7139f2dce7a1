"""What `monitor token` writes to the database. Apart from `token`, which needs none to make a token."""

from __future__ import annotations

import asyncio
import os
import pwd
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from monitor.adapters.clock import SystemClock
from monitor.adapters.postgres.engine import Database, DatabaseConfig
from monitor.adapters.postgres.unit_of_work import PostgresUnitOfWork
from monitor.adapters.secret_box import SecretBox
from monitor.auth.tokens import Principal, TokenPolicy
from monitor.cli.doors import database_errors
from monitor.domain.services.tokens import TokenCommands
from monitor.domain.vocab import Actor


def revoke(dsn: str, jti: str, policy: TokenPolicy) -> None:
    """Have all processes refuse *jti*. Safe to repeat. Raises :class:`CommandError` as ``database_errors`` does."""
    _run(dsn, policy, lambda commands: commands.revoke(jti, command_line()))


def record_issue(dsn: str, issued: Principal, policy: TokenPolicy) -> None:
    """Write the audit row of a new token. Raises :class:`CommandError` if the database refuses or is away."""
    _run(dsn, policy, lambda commands: write_issue(commands, issued, command_line()))


async def write_issue(commands: TokenCommands, issued: Principal, actor: Actor) -> None:
    """Write the audit row of a new token. Raises ``Unavailable``."""
    expires_at = datetime.fromtimestamp(issued.expires_at, UTC)
    await commands.record_issue(
        issued.jti, subject=issued.subject, role=issued.role, expires_at=expires_at, actor=actor
    )


def command_line() -> Actor:
    """Return the actor of a command: the user of the operating system that runs it."""
    uid = os.geteuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    return Actor(f"command line ({name})")


def _run(dsn: str, policy: TokenPolicy, call: Callable[[TokenCommands], Awaitable[object]]) -> None:
    with database_errors(dsn):
        asyncio.run(_call(dsn, policy, call))


async def _call(dsn: str, policy: TokenPolicy, call: Callable[[TokenCommands], Awaitable[object]]) -> None:
    # Nothing of a token is sealed, so the keys of the installation are not needed.
    unused = SecretBox([("-", bytes(32))])
    async with Database(DatabaseConfig(dsn=dsn, read_pool=1, write_pool=1)) as database:
        commands = TokenCommands(
            lambda: PostgresUnitOfWork(database, unused, SystemClock()), kept_s=policy.revocation_s
        )
        await call(commands)
