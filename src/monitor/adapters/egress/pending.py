"""An exchange under way, and the outcome it ends in."""

from __future__ import annotations

import asyncio
import errno
import os
import ssl
from collections.abc import Callable
from typing import NamedTuple, Protocol

import structlog

from monitor.adapters.egress.answer import AnswerReader
from monitor.adapters.egress.destination import Destination
from monitor.domain.delivery.exchange import Exchange
from monitor.domain.delivery.outcome import Outcome, Phases
from monitor.domain.delivery.request import OutboundRequest
from monitor.domain.errors import UrlRefused
from monitor.domain.vocab import ErrorKind

DETAIL_LIMIT_CHARS = 200

LOCAL_ERRNOS = frozenset({errno.EADDRNOTAVAIL, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""What this machine lacks: ports, descriptors, memory."""

_log = structlog.get_logger(__name__)


class Carrier(Protocol):
    """The connection that carries an exchange."""

    reader: AnswerReader

    def drop(self) -> None: ...

    def has_verdict(self) -> bool: ...

    def look_again(self) -> None: ...


class PendingExchange:
    """
    One request under way, and when it reached each step, in seconds of the sender's clock.

    Attributes:
        connection: carries it, once there is one.
        dialling: the task that opens a connection for it, until then.
        done: its outcome was given, or no caller waits for it any more.
        head: the bytes in front of the body.
        written_at: when the request was written; null while no byte of it was.
    """

    __slots__ = (
        "connection", "deadline", "destination", "dial_at", "dialling", "dns_from", "dns_to", "done", "first_byte_at",
        "head", "may_write", "on_outcome", "opened_at", "request", "started", "tls_at", "written_at",
    )  # fmt: skip

    def __init__(
        self,
        request: OutboundRequest,
        on_outcome: Callable[[Outcome], object],
        started: float,
        may_write: Callable[[], bool] | None = None,
    ) -> None:
        self.request = request
        self.on_outcome = on_outcome
        self.may_write = may_write
        self.started = started
        self.deadline = started + request.timeout_s
        self.head = b""
        self.destination: Destination | None = None
        self.connection: Carrier | None = None
        self.dialling: asyncio.Task[None] | None = None
        self.done = False
        self.forget_times()

    def forget_times(self) -> None:
        """Begin over on another connection."""
        self.dns_from: float | None = None
        self.dns_to: float | None = None
        self.dial_at: float | None = None
        self.tls_at: float | None = None
        self.opened_at: float | None = None
        self.written_at: float | None = None
        self.first_byte_at: float | None = None

    def stop(self) -> None:
        """End the dialling or the connection that carries it."""
        if self.dialling is not None:
            self.dialling.cancel()
        if self.connection is not None:
            self.connection.drop()

    def abandon(self) -> None:
        """Wait for no outcome any more: end the connection, and do not call back."""
        if not self.done:
            self.done = True
            self.stop()

    def answered(self, reader: AnswerReader, now: float) -> Outcome:
        """Return what the answer in *reader* means."""
        head = reader.head
        if head is None:
            return self.failed(now, Failure(ErrorKind.PROTOCOL, reader.problem or ""))
        good = 200 <= head.status < 300
        return Outcome(
            latency_ms=(now - self.started) * 1000,
            status_code=head.status,
            error=None if good else ErrorKind.STATUS,
            error_detail=None if good else _explain_status(head.status),
            phases=self._phases(),
            response_body=reader.body,
            retry_after=head.retry_after,
            exchange=self._exchange(head.fields, reader.note, head.version),
        )

    def failed(self, now: float, failure: Failure) -> Outcome:
        return Outcome(
            latency_ms=(now - self.started) * 1000,
            error=failure.kind,
            error_detail=failure.detail[:DETAIL_LIMIT_CHARS],
            phases=self._phases(),
            exchange=None if self.written_at is None else self._exchange((), None),
            local=failure.local,
        )

    def _exchange(
        self, response_headers: tuple[tuple[str, str], ...], note: str | None, http_version: str | None = None
    ) -> Exchange | None:
        if self.destination is None:
            return None
        return Exchange(self.request, self.destination.fixed_headers, response_headers, note, http_version=http_version)

    def _phases(self) -> Phases:
        first_byte_ms = _between_ms(self.written_at, self.first_byte_at)
        if self.dns_from is None and self.dial_at is None:
            return Phases(first_byte_ms=first_byte_ms)
        return Phases(
            dns_ms=_between_ms(self.dns_from, self.dns_to),
            connect_ms=_between_ms(self.dial_at, self.tls_at or self.opened_at),
            tls_ms=_between_ms(self.tls_at, self.opened_at),
            first_byte_ms=first_byte_ms,
        )


class Failure(NamedTuple):
    """Why there was no answer; ``local`` as in :class:`Outcome`."""

    kind: ErrorKind
    detail: str
    local: bool = False


def dial_failure(error: Exception, exchange: PendingExchange) -> Failure:
    """Name in plain words why there is no connection: the texts of errors repeat what others wrote."""
    reason = _system_reason(error)
    match error:
        case UrlRefused(reason="dns_failure" | "dns_unavailable"):
            return Failure(ErrorKind.DNS, error.detail, error.reason == "dns_unavailable")
        case UrlRefused():
            return Failure(ErrorKind.BLOCKED, error.detail)
        case ssl.SSLCertVerificationError():
            return Failure(ErrorKind.TLS, f"the certificate was refused: {error.verify_message}")
        case ssl.SSLError():
            return Failure(ErrorKind.TLS, "the TLS handshake failed")
        case OSError() if exchange.tls_at is not None:
            return Failure(ErrorKind.TLS, f"the connection broke during the TLS handshake: {reason}")
        case OSError():
            return Failure(ErrorKind.CONNECT, f"could not connect: {reason}", error.errno in LOCAL_ERRNOS)
    _log.error("outbound_exchange_failed_unexpectedly", exc_info=error)
    return Failure(ErrorKind.OTHER, f"unexpected {type(error).__name__}")


def reset_failure(error: Exception | None) -> Failure:
    """Name in plain words why a connection ended before the first byte of an answer."""
    if error is None:
        return Failure(ErrorKind.RESET, "the receiver closed the connection before it answered")
    return Failure(ErrorKind.RESET, f"the connection broke: {_system_reason(error)}")


def timeout_failure(exchange: PendingExchange) -> Failure:
    return Failure(ErrorKind.TIMEOUT, f"no complete answer within {exchange.request.timeout_s:g} s")


def _between_ms(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else (end - start) * 1000


def _system_reason(error: Exception) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number).lower() if number else "closed by the receiver"


def _explain_status(status: int) -> str:
    redirects = "; redirects are not followed" if 300 <= status < 400 else ""
    return f"answered {status}{redirects}"
