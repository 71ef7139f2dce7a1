"""The outcome of one attempt."""

from __future__ import annotations

import msgspec

from monitor.domain.delivery.exchange import Exchange
from monitor.domain.vocab import LOGIN_REFUSED, OK_LABEL, SMTP_LABEL, THROTTLED_LABELS, ErrorKind

RESPONSE_BODY_BYTES = 4_096
"""How much of an answer's body is kept."""


class Phases(msgspec.Struct, frozen=True):
    """Milliseconds each step of one HTTP exchange took; null when it did not happen or was reused."""

    dns_ms: float | None = None
    connect_ms: float | None = None
    tls_ms: float | None = None
    first_byte_ms: float | None = None


class Outcome(msgspec.Struct, frozen=True):
    """Result of one HTTP exchange or SMTP transaction. Exactly one of ``status_code`` and a transport ``error`` is set;
    a status outside 2xx also carries ``error = ErrorKind.STATUS``. ``smtp``: the status code is a reply code of SMTP.

    ``response_body`` holds at most ``RESPONSE_BODY_BYTES``; ``retry_after`` is the raw header. ``exchange`` is null
    when no byte of the request was written. ``local``: this process lacked what it needs (descriptors, ports, memory, a
    name server), which is no evidence about the receiver.
    """

    latency_ms: float
    status_code: int | None = None
    error: ErrorKind | None = None
    error_detail: str | None = None
    phases: Phases = Phases()
    response_body: bytes = b""
    retry_after: str | None = None
    exchange: Exchange | None = None
    local: bool = False
    smtp: bool = False

    @property
    def ok(self) -> bool:
        return self.error is None

    @property
    def throttled(self) -> bool:
        """Whether the receiver works and requested a lower rate."""
        return self.error is not None and self.label in THROTTLED_LABELS

    @property
    def refused_for_good(self) -> bool:
        """Whether the mail server will never take this mail: 5yz of RFC 5321 section 4.2.1, except about the login."""
        code = self.status_code
        return self.smtp and code is not None and 500 <= code < 600 and self.label not in LOGIN_REFUSED

    @property
    def label(self) -> str:
        """``ok``, the status code as text, that of SMTP behind ``smtp_``, or the error kind: what health and rollups
        count."""
        if self.error is None:
            return OK_LABEL
        if self.status_code is not None and self.error is ErrorKind.STATUS:
            return f"{SMTP_LABEL}{self.status_code}" if self.smtp else str(self.status_code)
        return str(self.error)
