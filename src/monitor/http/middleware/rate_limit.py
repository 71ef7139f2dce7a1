"""How much a caller may send, and how often."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from monitor.domain.errors import TooManyRequests

API_BODY_BYTES = 256 * 1024
"""Largest body, set as Litestar's ``request_max_body_size``: checked against Content-Length and while reading."""

BATCH_BODY_BYTES = 5 * 1024 * 1024
"""The same for event batches, as ``request_max_body_size`` of their routes."""


class RateLimiter(Protocol):
    """Admits requests per subject. Never raises: a limiter that loses its store falls back to a local one."""

    def check(self, subject: str) -> float | None:
        """Count one request of *subject*; return ``None`` to admit it, or the seconds until the next may come."""


class LocalRateLimiter:
    """
    One token bucket per subject, in this process alone.

    Args:
        per_s: requests a second in the long run; more than 0.
        burst: requests at once; at least 1.
        ticks_s: a monotonic clock in seconds.
        max_subjects: buckets kept; beyond, the one longest unused is dropped, which can only admit more.
    """

    def __init__(self, *, per_s: float, burst: int, ticks_s: Callable[[], float], max_subjects: int = 10_000) -> None:
        self._per_s = per_s
        self._burst = float(burst)
        self._ticks_s = ticks_s
        self._max_subjects = max_subjects
        self._buckets: dict[str, tuple[float, float]] = {}

    def check(self, subject: str) -> float | None:
        now_s = self._ticks_s()
        tokens, since_s = self._buckets.pop(subject, (self._burst, now_s))
        tokens = min(self._burst, tokens + (now_s - since_s) * self._per_s)
        admitted = tokens >= 1
        if len(self._buckets) >= self._max_subjects:
            del self._buckets[next(iter(self._buckets))]
        # Popped and put back: the dict's order is the order of last use.
        self._buckets[subject] = (tokens - 1 if admitted else tokens, now_s)
        return None if admitted else (1 - tokens) / self._per_s


class LimitRate:
    """Checks every authenticated HTTP request against the limiter. Stands behind ``Authenticate``."""

    def __init__(self, app: ASGIApp, limiter: RateLimiter) -> None:
        self.app = app
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        user = scope.get("user")
        if user is not None and scope["type"] == ScopeType.HTTP:
            wait_s = self._limiter.check(user.subject)
            if wait_s is not None:
                raise TooManyRequests(f"Wait {math.ceil(wait_s)} s before the next request.", retry_after_s=wait_s)
        await self.app(scope, receive, send)
