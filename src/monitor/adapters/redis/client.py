"""Connections to Redis 6.2 or later, or a fork of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AskError, ClusterDownError, ReadOnlyError, RedisError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from monitor.adapters.redis.endpoint import endpoint
from monitor.domain.errors import Unavailable

MOVED_AWAY = (ReadOnlyError, AskError, ClusterDownError, TryAgainError)
"""Answers of a server that is not, or not yet, the one for our names: the next connection looks for it again."""

log = structlog.get_logger(__name__)


def connect(url: str, *, connect_s: float, answer_s: float, key: Callable[[], str]) -> Any:
    """
    Return a client that connects when first used, and again after any failure.

    Its type is ``Any``: the driver's annotations mix text and bytes, and calls with and without ``await``.

    Args:
        key: returns a name in the slot whose node is meant, in a cluster.
    """
    at = endpoint(url, key)
    return Redis.from_url(
        at.url,
        protocol=2,
        socket_connect_timeout=connect_s + at.handshake_s,
        socket_timeout=answer_s,
        retry=Retry(NoBackoff(), 0),
        **at.options,
    )


@asynccontextmanager
async def translating(redis: Any) -> AsyncIterator[None]:
    """Turn every failure of the block into ``Unavailable``: what cannot be read is an outage, too."""
    try:
        yield
    except (RedisError, OSError) as error:
        if isinstance(error, (*MOVED_AWAY, RedisConnectionError, RedisTimeoutError, OSError)):
            # What dropped one connection silently dropped those that were idle, too.
            with suppress(RedisError, OSError):
                await redis.connection_pool.disconnect(inuse_connections=False)
        raise Unavailable("Redis does not answer.") from error
    except Exception as error:
        log.warning("redis_answer_unreadable", exc_info=True)
        # Replies may be out of step with requests from here on.
        await redis.connection_pool.disconnect(inuse_connections=True)
        raise Unavailable("Redis answers what cannot be read.") from error
