"""Ids, enums, units and the generic structs that every layer shares."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Generic, TypeVar
from uuid import UUID

import msgspec

T = TypeVar("T")

Count = Annotated[int, msgspec.Meta(ge=1)]
Ratio = Annotated[float, msgspec.Meta(gt=0, le=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]
"""Positive numbers in policies, checked where settings and requests are decoded."""

ID_TIME_SHIFT = 80
"""Bits below the Unix millisecond in a version 7 UUID (RFC 9562 section 5.7)."""

SYSTEM_ID = UUID(int=0)
"""Stands for "all webhooks together" in rollups."""

OK_LABEL = "ok"
"""The outcome label of an attempt that succeeded; every other label names a failure."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
    """How a webhook does; :data:`WORST_FIRST` orders them."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"
    UNKNOWN = "unknown"


WORST_FIRST = (HealthStatus.UNAVAILABLE, HealthStatus.DEGRADED, HealthStatus.UNKNOWN, HealthStatus.HEALTHY)
"""Every status in the order in which a person should look at them."""


class DeliveryState(StrEnum):
    """Where a delivery stands. All but ``PENDING`` are terminal until a person retries."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    CANCELLED = "cancelled"
    QUARANTINED = "quarantined"


class ErrorKind(StrEnum):
    """Why an attempt failed, as far as the sender can tell."""

    DNS = "dns"
    BLOCKED = "blocked"
    CONNECT = "connect"
    TLS = "tls"
    TIMEOUT = "timeout"
    RESET = "reset"
    PROTOCOL = "protocol"
    STATUS = "status"
    OTHER = "other"


class Severity(StrEnum):
    """How much an anomaly or alert matters, least first."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


SEVERITIES = tuple(Severity)
"""Least first."""


def worst(*severities: Severity) -> Severity:
    """Return the one that matters most; of none ``INFO``."""
    return max(severities, key=SEVERITIES.index, default=Severity.INFO)


class BodyFormat(StrEnum):
    """What a webhook's receiver understands: the event's payload as it is, or a chat message about it."""

    STANDARD = "standard"
    SLACK = "slack"
    DISCORD = "discord"
    TEAMS = "teams"


class SignatureScheme(StrEnum):
    """Standard Webhooks signature versions."""

    V1 = "v1"
    V1A = "v1a"


class Actor(msgspec.Struct, frozen=True):
    """Who caused a change: the token's subject, or ``system``."""

    subject: str
    role: Role | None = None
    request_id: str | None = None


class Page(msgspec.Struct, Generic[T], frozen=True):
    """One keyset page, newest first; ``next_cursor`` is null on the last page."""

    items: list[T]
    next_cursor: str | None = None


def id_floor(at: datetime) -> UUID:
    """Return a lower bound of the version 7 UUIDs of *at*'s millisecond, above all earlier ones.

    ``id >= id_floor(a) and id < id_floor(b)`` selects the half-open time range ``[a, b)``, in whole milliseconds.
    *at* is aware; before 1970 there are no ids, so that floor is the smallest UUID.
    """
    # Whole milliseconds by integer arithmetic: at.timestamp() * 1000 falls into the millisecond before for some times.
    return UUID(int=max((at - _EPOCH) // timedelta(milliseconds=1), 0) << ID_TIME_SHIFT)


def id_millis(id_: UUID) -> int:
    """Return the Unix milliseconds that a version 7 UUID carries."""
    return id_.int >> ID_TIME_SHIFT
