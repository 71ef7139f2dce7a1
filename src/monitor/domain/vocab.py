"""Enums, units and the generic structs that every layer shares."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Generic, TypeVar

import msgspec

T = TypeVar("T")

Count = Annotated[int, msgspec.Meta(ge=1)]
Ratio = Annotated[float, msgspec.Meta(gt=0, le=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]
"""Positive numbers in policies, validated when settings and requests are decoded."""


OK_LABEL = "ok"
"""The outcome label of an attempt that succeeded; every other label names a failure."""

THROTTLED_LABEL = "429"
"""The outcome label of an attempt that the receiver refused for its rate alone (RFC 6585 section 4)."""


REFUSALS = {
    "401": "the receiver refuses the credentials",
    "403": "the receiver forbids the requests",
    "404": "the receiver has nothing at this URL",
}
"""Outcome labels that say that the receiver and the webhook's configuration do not fit, so that every delivery would
fail (RFC 9110 sections 15.5.2, 15.5.4 and 15.5.5), each with its meaning."""


class Role(StrEnum):
    """What a token may do. ``VIEWER < OPERATOR < ADMIN``; ``PUBLISHER`` may only post events and attempts."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"
    PUBLISHER = "publisher"

    def includes(self, needed: Role) -> bool:
        """Whether a holder of this role may do what *needed* may do. Fails closed."""
        return needed in _INCLUDED[self]


_INCLUDED: dict[Role, frozenset[Role]] = {
    Role.VIEWER: frozenset({Role.VIEWER}),
    Role.OPERATOR: frozenset({Role.VIEWER, Role.OPERATOR}),
    Role.ADMIN: frozenset(Role),
    Role.PUBLISHER: frozenset({Role.PUBLISHER}),
}


class HealthStatus(StrEnum):
    """Status of a webhook's health."""

    HEALTHY = "healthy"
    THROTTLED = "throttled"
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"
    UNKNOWN = "unknown"


class WebhookStatus(StrEnum):
    """What a webhook is in one word, from its configuration, its health and its open alerts; see
    :mod:`monitor.domain.monitoring.status`. The names of :class:`HealthStatus` mean the same."""

    HEALTHY = "healthy"
    THROTTLED = "throttled"
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"
    UNKNOWN = "unknown"
    PAUSED = "paused"
    DISABLED = "disabled"


class DeliveryState(StrEnum):
    """State of a delivery. All but ``PENDING`` are terminal until a user retries."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    CANCELLED = "cancelled"
    QUARANTINED = "quarantined"


class FanOutState(StrEnum):
    """Whether an event has all of its deliveries, or workers are still making them."""

    RUNNING = "running"
    DONE = "done"


class ErrorKind(StrEnum):
    """Why an attempt failed, as classified by the sender."""

    DNS = "dns"
    BLOCKED = "blocked"
    CONNECT = "connect"
    TLS = "tls"
    TIMEOUT = "timeout"
    RESET = "reset"
    PROTOCOL = "protocol"
    STATUS = "status"
    OTHER = "other"


ERRORS_IN_WORDS: dict[str, str] = {
    ErrorKind.DNS: "host name not found",
    ErrorKind.BLOCKED: "address not allowed",
    ErrorKind.CONNECT: "could not connect",
    ErrorKind.TLS: "TLS handshake failed",
    ErrorKind.TIMEOUT: "timed out",
    ErrorKind.RESET: "connection reset",
    ErrorKind.PROTOCOL: "invalid HTTP response",
}
"""What a sentence says of an error; the page says the same."""

EXPIRED = "expired"
"""The error of a delivery that failed without an attempt, since its event had reached retention."""

DELIVERY_ERRORS = (*ErrorKind, EXPIRED)
"""Every error of a delivery: those of attempts, and its own."""


class Severity(StrEnum):
    """Severity of an anomaly or alert, least first."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


SEVERITIES = tuple(Severity)
"""Least first."""


def highest_severity(*severities: Severity) -> Severity:
    """Return the highest of *severities*; ``INFO`` without any."""
    return max(severities, key=SEVERITIES.index, default=Severity.INFO)


def is_worse(severity: Severity, other: Severity) -> bool:
    """Whether *severity* is higher than *other*."""
    return SEVERITIES.index(severity) > SEVERITIES.index(other)


class BodyFormat(StrEnum):
    """Format of the request body: the event's payload unchanged, or a chat message about it."""

    STANDARD = "standard"
    SLACK = "slack"
    DISCORD = "discord"
    TEAMS = "teams"


class Reenable(StrEnum):
    """What follows after Monitor disabled a webhook: nothing, or probes, of which a successful one enables it."""

    NEVER = "never"
    PROBE = "probe"


class SigningSecret(StrEnum):
    """Which secret of a webhook made a signature: the newest, an older one that still signs, or none of them."""

    CURRENT = "current"
    PREVIOUS = "previous"
    NONE = "none"


class SignatureScheme(StrEnum):
    """Standard Webhooks signature versions."""

    V1 = "v1"
    V1A = "v1a"


class Actor(msgspec.Struct, frozen=True):
    """Cause of a change: the token's subject, or ``system``."""

    subject: str
    role: Role | None = None
    request_id: str | None = None


SYSTEM = Actor("system")
"""Monitor itself, as the actor of what it changes unasked."""


class Page(msgspec.Struct, Generic[T], frozen=True):
    """One keyset page, newest first; ``next_cursor`` is null on the last page."""

    items: list[T]
    next_cursor: str | None = None
