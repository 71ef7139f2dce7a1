"""What the commands that start a process share: the container, and a look at the servers that it needs."""

from __future__ import annotations

import msgspec
import structlog

from monitor.adapters.redis.ping import RedisRefused, ping
from monitor.bootstrap.container import Container
from monitor.cli.common import CommandError
from monitor.cli.doors import ANSWER_S, check_database
from monitor.domain.errors import Unavailable
from monitor.log import LogStream
from monitor.settings.schema import Settings

log = structlog.get_logger(__name__)


def build_container(settings: Settings, stream: LogStream, command: str, *, serves: bool = True) -> Container:
    """Return what the process owns. Raises :class:`CommandError` if a key or an address in *settings* is invalid."""
    try:
        return Container(settings, command=command, serves=serves, stream=stream)
    except (ValueError, OSError, msgspec.MsgspecError) as error:
        raise CommandError(f"cannot start: {error}") from None


async def check_servers(settings: Settings) -> None:
    """
    Look once at the database and at Redis, before anything else is started.

    Raises:
        CommandError: the database does not answer, refuses, or belongs to a newer Monitor; or Redis refuses.
    """
    if settings.database_url is not None:
        await check_database(settings.database_url, settings.db.direct_url)
    if settings.redis_url is not None:
        await check_redis(settings.redis_url)


async def check_redis(url: str) -> None:
    """
    Warn if Redis does not answer: everything works without it, and it may come back.

    Raises:
        CommandError: it refuses the login, the database number or a command.
    """
    try:
        await ping(url, within_s=ANSWER_S)
    except RedisRefused as error:
        raise CommandError(str(error)) from None
    except Unavailable as error:
        log.warning("redis_unavailable", detail=error.detail)
