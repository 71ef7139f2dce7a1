"""Close codes of the live feed's sockets."""

from __future__ import annotations

from enum import IntEnum

from monitor.domain.errors import Forbidden, Invalid, Malformed, MonitorError, TooManyRequests, Unauthenticated
from monitor.domain.live import UnknownFrame


class CloseCode(IntEnum):
    """Why a socket was closed: RFC 6455 section 7.4 and IANA below 4000, beyond 4000 plus the HTTP status."""

    INTERNAL = 1011
    RESTART = 1012
    TOO_SLOW = 1013
    MALFORMED = 4400
    UNAUTHENTICATED = 4401
    FORBIDDEN = 4403
    FLOOD = 4429


_CODES: tuple[tuple[type[MonitorError], CloseCode | None], ...] = (
    (UnknownFrame, None),
    (Malformed, CloseCode.MALFORMED),
    (Invalid, CloseCode.MALFORMED),
    (Unauthenticated, CloseCode.UNAUTHENTICATED),
    (Forbidden, CloseCode.FORBIDDEN),
    (TooManyRequests, CloseCode.FLOOD),
)


def close_code_of(error: MonitorError) -> CloseCode | None:
    """Return how the socket is closed upon *error*; ``None`` leaves it open."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), CloseCode.INTERNAL)
