"""The way to the shared server, which a failure shuts for all and the heartbeat opens again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from monitor.cache.server import ServerGone

P = ParamSpec("P")
T = TypeVar("T")


class ConnectionGate:
    """Reads fail fast: while the way is shut nobody waits for a time limit of their own."""

    def __init__(self) -> None:
        self.is_open = True
        self.failures = 0

    async def call(self, operation: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Carry out *operation*. Raises ``ServerGone``, at once while the way is shut."""
        if not self.is_open:
            raise ServerGone("shut until the next heartbeat")
        try:
            return await operation(*args, **kwargs)
        except ServerGone:
            self.close()
            raise

    def close(self) -> None:
        self.is_open = False
        self.failures += 1

    def open(self) -> None:
        self.is_open = True
