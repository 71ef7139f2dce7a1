"""The gate in front of the cache server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from monitor.cache.server import ServerGone

P = ParamSpec("P")
T = TypeVar("T")


class ConnectionGate:
    """
    Circuit breaker for the cache server: closed to calls by a failed one, opened again by the next heartbeat.

    Reads fail fast: in an outage one call waits for the timeout, not each call.
    """

    def __init__(self) -> None:
        self.is_open = True

    async def call(self, operation: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call *operation*. Raises ``ServerGone``, at once while the gate is closed."""
        if not self.is_open:
            raise ServerGone("closed until the next heartbeat")
        try:
            return await operation(*args, **kwargs)
        except ServerGone:
            self.close()
            raise

    def close(self) -> None:
        self.is_open = False

    def open(self) -> None:
        self.is_open = True
