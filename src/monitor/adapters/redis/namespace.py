"""The names of one installation in a Redis that others use, too."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError

from monitor.domain.errors import Unavailable

RETRY_S = 0.5

log = structlog.get_logger(__name__)


class RedisNamespace:
    """
    The identity of the database, which every name in Redis holds: installations that share a Redis share nothing else,
    not even its channels, which have no database number.

    Until it has been read, Redis counts as unreachable.

    Args:
        identify: returns the identity. Raises ``Unavailable``.
        incarnate: returns what changes when a database of the same identity may have been set back, as by a restore.
            Raises ``Unavailable``.
    """

    def __init__(self, identify: Callable[[], Awaitable[str]], incarnate: Callable[[], Awaitable[str]]) -> None:
        self._identify = identify
        self._incarnate = incarnate
        self._identity: str | None = None
        self._incarnation = ""

    def prefix(self, template: str) -> Callable[[], str]:
        """Return what puts the identity in place of the ``*`` of *template*, or raises the driver's error."""

        def named() -> str:
            if self._identity is None:
                raise RedisConnectionError("the identity of the database is not known yet")
            return template.replace("*", self._identity)

        return named

    async def learn(self) -> bool:
        """Read the identity from the database unless it has been read; return whether it has now."""
        if self._identity is None:
            try:
                # The incarnation first: nothing in Redis may be read before it can be compared.
                self._incarnation = await self._incarnate()
                self._identity = await self._identify()
            except Unavailable:
                return False
            log.info("redis_namespace", identity=self._identity)
        return True

    async def incarnation(self) -> str:
        """Return the incarnation of the database: the last one read while it cannot be reached."""
        with suppress(Unavailable):
            self._incarnation = await self._incarnate()
        return self._incarnation

    async def learn_loop(self) -> None:
        """Retry until the identity has been read, then wait for ever."""
        while True:
            if await self.learn():
                await asyncio.Event().wait()
            await asyncio.sleep(RETRY_S)
