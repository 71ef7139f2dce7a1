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


OWNER_LABEL = "monitor.managed_by"
"""Label of a webhook that names the configuration file it is managed by; no condition on events."""

OK_LABEL = "ok"
"""The outcome label of an attempt that succeeded; every other label names a failure."""

SMTP_LABEL = "smtp_"
"""Begins the outcome label of an attempt that a mail server refused; its reply code follows."""

THROTTLED_LABELS = frozenset({"429", "smtp_421", "smtp_450"})
"""The outcome labels of attempts that were refused for their rate alone: RFC 6585 section 4, and what mail servers
reply to those that send too much or for the first time (RFC 5321 section 4.2.3, RFC 6647 section 5)."""


def short_label(label: str) -> str:
    """Return *label* as sentences show it: ``smtp_550`` is ``SMTP 550``."""
    return f"SMTP {label.removeprefix(SMTP_LABEL)}" if label.startswith(SMTP_LABEL) else label


LOGIN_REFUSED = frozenset({"smtp_530", "smtp_534", "smtp_535", "smtp_538"})
"""The outcome labels of a mail server that wants another login, or one at all (RFC 4954 section 6)."""


REFUSALS = {
    "401": "the receiver refuses the credentials",
    "403": "the receiver forbids the requests",
    "404": "the receiver has nothing at this URL",
    **dict.fromkeys(sorted(LOGIN_REFUSED), "the mail server refuses the login of MONITOR_SMTP__USERNAME"),
}
"""Outcome labels of a receiver and a configuration that do not fit, so that every delivery would fail
(RFC 9110 sections 15.5.2, 15.5.4 and 15.5.5), each with its meaning."""


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
"""Errors as worded in a sentence; the page uses the same words."""

EXPIRED = "expired"
"""The error of a delivery that failed without an attempt, since its event had reached retention."""

REPLACED = "replaced"
"""The error of a delivery that was cancelled, since a newer message about its alert waits or was sent."""

DELIVERY_ERRORS = (*ErrorKind, EXPIRED, REPLACED)
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
    """Format of the request body: the event's payload unchanged, a message about it, or an incident of a pager."""

    STANDARD = "standard"
    SLACK = "slack"
    DISCORD = "discord"
    TEAMS = "teams"
    GOOGLECHAT = "googlechat"
    PAGERDUTY = "pagerduty"
    OPSGENIE = "opsgenie"
    NTFY = "ntfy"
    ALERTMANAGER = "alertmanager"
    EMAIL = "email"


PAGERS = frozenset({BodyFormat.PAGERDUTY, BodyFormat.OPSGENIE, BodyFormat.ALERTMANAGER})
"""Formats that are about alerts alone: each alert is one incident there."""


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
    """Cause of a change: the token's subject, or ``system``. ``client`` is the IP address of the request."""

    subject: str
    role: Role | None = None
    request_id: str | None = None
    client: str | None = None


SYSTEM = Actor("system")
"""Monitor itself, as the actor of what it changes unasked."""


class Page(msgspec.Struct, Generic[T], frozen=True):
    """One keyset page, newest first; ``next_cursor`` is null on the last page."""

    items: list[T]
    next_cursor: str | None = None
