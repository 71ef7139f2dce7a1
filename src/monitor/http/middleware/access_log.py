"""
The access log: one JSON line per request, at a tenth of what a general logger costs.

Lines are gathered for up to :data:`GATHER_S` and written together, since one write costs more than a response from
memory. An orderly shutdown flushes them; a process that is killed loses the last.
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
    """One line. ``ms`` is the time to respond."""

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
        # Few subjects make most requests.
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
                # Ours, or a client's that was checked on arrival.
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
