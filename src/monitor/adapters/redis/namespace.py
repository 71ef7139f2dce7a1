"""The names of one installation in a Redis that others use, too."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError

from monitor.domain.errors import Unavailable

RETRY_S = 0.5

log = structlog.get_logger(__name__)


class RedisNamespace:
    """
    The identity of the database, which every name in Redis holds: installations that share a Redis share nothing else,
    not even its channels, which have no database number.

    Until it is known, Redis counts as unreachable.

    Args:
        identify: returns the identity. Raises ``Unavailable``.
    """

    def __init__(self, identify: Callable[[], Awaitable[str]]) -> None:
        self._identify = identify
        self._identity: str | None = None

    def prefix(self, template: str) -> Callable[[], str]:
        """Return what puts the identity in place of the ``*`` of *template*, or raises the driver's error."""

        def named() -> str:
            if self._identity is None:
                raise RedisConnectionError("the identity of the database is not known yet")
            return template.replace("*", self._identity)

        return named

    async def learn(self) -> bool:
        """Ask the database unless the identity is known; return whether it is now."""
        if self._identity is None:
            try:
                self._identity = await self._identify()
            except Unavailable:
                return False
            log.info("redis_namespace", identity=self._identity)
        return True

    async def learn_loop(self) -> None:
        """Ask until the identity is known, then wait for ever."""
        while True:
            if await self.learn():
                await asyncio.Event().wait()
            await asyncio.sleep(RETRY_S)
