"""Connections to Redis 6 or later, or a fork of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from monitor.domain.errors import Unavailable

log = structlog.get_logger(__name__)


def connect(url: str, *, connect_s: float, answer_s: float) -> Any:
    """
    Return a client that connects when first used, and again after any failure.

    Its type is ``Any``: the driver's annotations mix text and bytes, and calls with and without ``await``.
    """
    return Redis.from_url(
        url, protocol=2, socket_connect_timeout=connect_s, socket_timeout=answer_s, retry=Retry(NoBackoff(), 0)
    )


@asynccontextmanager
async def translating(redis: Any) -> AsyncIterator[None]:
    """Turn every failure of the block into ``Unavailable``: what cannot be read is an outage, too."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise Unavailable("Redis does not answer.") from error
    except Exception as error:
        log.warning("redis_answer_unreadable", exc_info=True)
        # Replies may be out of step with requests from here on.
        await redis.connection_pool.disconnect(inuse_connections=True)
        raise Unavailable("Redis answers what cannot be read.") from error
