"""
The request log: one JSON line per answered request, at a tenth of what a general logger costs.

Lines are gathered for up to :data:`GATHER_S` and written at once, since a write per request costs more than answering
it from memory does. Whoever ends in peace flushes them; a process that is killed loses
the last.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import BinaryIO

import msgspec

from monitor.log import masked

GATHER_S = 0.05
GATHER_BYTES = 64 * 1024


class RequestLine(msgspec.Struct):
    """One line. ``ms`` is the time to answer."""

    method: str
    route: str | None
    status: int
    ms: float
    request_id: str
    subject: str | None
    timestamp: datetime
    event: str = "http_request"
    level: str = "info"


class AccessLogWriter:
    """
    Writes request lines to *stream*.

    Args:
        now: Unix seconds.
    """

    def __init__(self, stream: BinaryIO, now: Callable[[], float]) -> None:
        self._stream = stream
        self._now = now
        self._encode = msgspec.json.Encoder().encode
        # Who calls a lot calls again.
        self._masked = lru_cache(maxsize=1024)(masked)
        self._lines: list[bytes] = []
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def __call__(
        self, method: str, route: str | None, status: int, elapsed_s: float, request_id: str, subject: str | None
    ) -> None:
        """Take one line. Only inside a running event loop."""
        line = self._encode(
            RequestLine(
                method,
                route,
                status,
                round(elapsed_s * 1000, 3),
                # Either ours, or a client's that was looked at when it came in.
                request_id,
                subject if subject is None else self._masked(subject),
                datetime.fromtimestamp(self._now(), UTC),
            )
        )
        self._lines.append(line)
        self._bytes += len(line)
        if self._bytes > GATHER_BYTES:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_S, self.flush)

    def flush(self) -> None:
        """Write what was gathered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines, self._bytes = self._lines, [], 0
        if lines and not self._stream.closed:
            self._stream.write(b"\n".join(lines) + b"\n")
            self._stream.flush()
