"""The access log: one line per answered request."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from monitor.http.middleware.edge import WriteLine
from monitor.log import LineLog, masked


class RequestLine(msgspec.Struct):
    """One line. ``ms`` is the time to respond, ``client`` the address."""

    method: str
    route: str | None
    status: int
    ms: float
    request_id: str
    subject: str | None
    client: str | None
    timestamp: datetime
    event: str = "http_request"
    level: str = "info"


def access_log(lines: LineLog, now: Callable[[], float]) -> WriteLine:
    """
    Return a function that writes the line of a request. Needs a running event loop.

    Args:
        now: Unix seconds.
    """
    # Few subjects make most requests.
    masked_subject = lru_cache(maxsize=1024)(masked)

    def write(
        method: str,
        route: str | None,
        status: int,
        elapsed_s: float,
        request_id: str,
        subject: str | None,
        client: str | None,
    ) -> None:
        shown = None if subject is None else masked_subject(subject)
        at = datetime.fromtimestamp(now(), UTC)
        # The request id is generated here, or was validated when it came in.
        lines.write([RequestLine(method, route, status, round(elapsed_s * 1000, 3), request_id, shown, client, at)])

    return write
