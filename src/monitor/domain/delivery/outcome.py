"""The outcome of one HTTP attempt."""

from __future__ import annotations

from hashlib import sha256

import msgspec

from monitor.domain.delivery.request import OutboundRequest
from monitor.domain.vocab import OK_LABEL, ErrorKind


class Phases(msgspec.Struct, frozen=True):
    """Milliseconds each step of one HTTP exchange took; null when it did not happen or was reused."""

    dns_ms: float | None = None
    connect_ms: float | None = None
    tls_ms: float | None = None
    first_byte_ms: float | None = None


class Exchange(msgspec.Struct, frozen=True):
    """The request as it was written to a connection, and the head of its answer. Header values are not masked.

    ``fixed_headers`` are the sender's own ones. ``response_headers`` hold at most 200 fields and 16 KiB, none without a
    valid answer. ``note`` says what was odd about an answer that counted, null if nothing was.
    """

    request: OutboundRequest
    fixed_headers: tuple[tuple[str, str], ...] = ()
    response_headers: tuple[tuple[str, str], ...] = ()
    note: str | None = None
    method: str = "POST"

    @property
    def request_headers(self) -> tuple[tuple[str, str], ...]:
        return (*self.fixed_headers, *self.request.headers, ("Content-Length", str(len(self.request.body))))

    @property
    def body_sha256(self) -> str:
        """The hash of the body as sent, in hex; computed at each reading, so that what is not stored costs nothing."""
        return sha256(self.request.body).hexdigest()


class Outcome(msgspec.Struct, frozen=True):
    """Result of one HTTP exchange. Exactly one of ``status_code`` and a transport ``error`` is set;
    a status outside 2xx also carries ``error = ErrorKind.STATUS``.

    ``response_body`` holds at most 4 KiB; ``retry_after`` is the raw header. ``exchange`` is null when no byte of the
    request was written. ``local``: this process lacked what it needs (descriptors, ports, memory, a name server), which
    says nothing about the receiver.
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

    @property
    def ok(self) -> bool:
        return self.error is None

    @property
    def label(self) -> str:
        """``ok``, the status code as text, or the error kind: what health and rollups count."""
        if self.error is None:
            return OK_LABEL
        if self.status_code is not None and self.error is ErrorKind.STATUS:
            return str(self.status_code)
        return str(self.error)
