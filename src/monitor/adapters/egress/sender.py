"""Sends webhooks through aiohttp and turns whatever happens into an :class:`Outcome`."""

from __future__ import annotations

import asyncio
import io
import os
import re
import ssl
import time
from collections.abc import Callable
from functools import lru_cache
from types import TracebackType
from typing import Self

import aiohttp
import structlog
from yarl import URL

from monitor import __version__
from monitor.adapters.egress.connector import (
    CURRENT,
    CheckedResolver,
    Exchange,
    GuardedRequest,
    dial_socket,
    tls_context,
)
from monitor.adapters.egress.guard import EgressPolicy, Target, parse_target
from monitor.adapters.egress.resolver import Lookup, Resolver
from monitor.domain.delivery.outcome import Outcome, Phases
from monitor.domain.delivery.request import OutboundRequest
from monitor.domain.errors import UrlRefused
from monitor.domain.vocab import ErrorKind

READ_LIMIT_BYTES = 16_384
KEPT_BYTES = 4_096
HEADER_LINE_LIMIT_BYTES = 8_190
HEADER_COUNT_LIMIT = 100
RETRY_AFTER_LIMIT_CHARS = 64
DETAIL_LIMIT_CHARS = 200
KEEPALIVE_S = 15.0
LARGE_BODY_BYTES = 1_048_576
USER_AGENT = f"Monitor/{__version__}"
URL_CACHE_SIZE = 16_384
"""More than the 10,000 webhooks that one installation is built for."""

_NOT_IN_HEADER_NAME = re.compile(r"[^A-Za-z0-9!#$%&'*+.^_`|~-]")
_NOT_IN_HEADER_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

_log = structlog.get_logger(__name__)


class AiohttpSender:
    """The :class:`~monitor.domain.ports.sender.WebhookSender` of production.

    Connections are pooled per scheme, host and port, without limits of its own: the caller caps what is under way per
    webhook, and a shared limit would let one slow receiver starve the others. A name is looked up once for each new
    connection and never remembered longer than that connection.

    A pooled connection that turns out to be closed before any byte of an answer is given up and the request sent once
    more on the same deadline: servers close idle connections just when a request sets out, and receivers are
    deduplicating by ``webhook-id`` anyway (RFC 9112 section 9.3.1; delivery is at least once).
    """

    def __init__(
        self,
        policy: EgressPolicy,
        *,
        lookup: Lookup | None = None,
        clock: Callable[[], float] = time.perf_counter,
        tls: ssl.SSLContext | None = None,
        keepalive_s: float = KEEPALIVE_S,
    ) -> None:
        self._policy = policy
        self._lookup = lookup
        self._clock = clock
        self._tls = tls
        self._keepalive_s = keepalive_s
        self._parse = lru_cache(maxsize=URL_CACHE_SIZE)(self._parse_uncached)
        self._session: aiohttp.ClientSession | None = None
        self._resolver: CheckedResolver | None = None

    async def open(self) -> None:
        """Make the connection pool. Needs the running loop that will send."""
        self._resolver = CheckedResolver(Resolver(self._policy, lookup=self._lookup))
        connector = aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=self._keepalive_s,
            resolver=self._resolver,
            socket_factory=dial_socket,
            ssl=self._tls or tls_context(),
            use_dns_cache=False,
        )
        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
            max_field_size=HEADER_LINE_LIMIT_BYTES,
            max_headers=HEADER_COUNT_LIMIT,
            max_line_size=HEADER_LINE_LIMIT_BYTES,
            read_bufsize=READ_LIMIT_BYTES,
            request_class=GuardedRequest,
            # aiohttp rounds timeouts above 5 s up to whole seconds; the deadline is kept by `send`.
            timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
            trust_env=False,
        )

    async def aclose(self) -> None:
        """Close every connection. Safe to repeat."""
        if self._session is not None:
            await self._session.close()
        if self._resolver is not None:
            await self._resolver.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()

    async def send(self, request: OutboundRequest) -> Outcome:
        """POST *request* and tell how it went; see the port for what never happens.

        At most 16 KiB of the answer's body are read and 4 KiB kept; if more was coming, the connection is closed.
        """
        started = self._clock()
        try:
            target, url = self._parse(request.url)
        except UrlRefused as refused:
            return self._failed(started, None, ErrorKind.BLOCKED, refused.detail)
        if not _headers_are_clean(request.headers):
            return self._failed(started, None, ErrorKind.BLOCKED, "a header holds characters that HTTP forbids")
        exchange = Exchange(target, self._policy, self._clock)
        try:
            async with asyncio.timeout(request.timeout_s) as deadline:
                try:
                    return await self._exchange(request, url, exchange, started)
                except aiohttp.ClientConnectionError:
                    if not exchange.reused or exchange.first_byte_at is not None:
                        raise
                exchange.abort()
                exchange = Exchange(target, self._policy, self._clock)
                return await self._exchange(request, url, exchange, started)
        except asyncio.CancelledError:
            exchange.abort()
            raise
        except Exception as error:  # noqa: BLE001 - the port promises an outcome, whatever a receiver provokes
            exchange.abort()
            if deadline.expired():
                detail = f"no complete answer within {request.timeout_s:g} s"
                return self._failed(started, exchange, ErrorKind.TIMEOUT, detail)
            return self._failed(started, exchange, *_explain(error, exchange))

    def _parse_uncached(self, url: str) -> tuple[Target, URL]:
        target = parse_target(url, self._policy)
        return target, URL(target.url, encoded=True)

    async def _exchange(self, request: OutboundRequest, url: URL, exchange: Exchange, started: float) -> Outcome:
        if self._session is None:
            raise RuntimeError("the sender is not open")
        token = CURRENT.set(exchange)
        try:
            response = await self._session.post(
                url, data=_data(request), headers=request.headers, allow_redirects=False
            )
        finally:
            CURRENT.reset(token)
        exchange.first_byte_at = self._clock()
        try:
            body = await _read_some(response.content)
            if not response.content.at_eof() or exchange.unsent_bytes():
                # Either more is coming, or the receiver answered without taking the whole request.
                exchange.abort()
        finally:
            response.close()
        return Outcome(
            latency_ms=(self._clock() - started) * 1000,
            status_code=response.status,
            error=None if 200 <= response.status < 300 else ErrorKind.STATUS,
            error_detail=_explain_status(response.status),
            phases=exchange.phases(),
            response_body=body,
            retry_after=_retry_after(response),
        )

    def _failed(self, started: float, exchange: Exchange | None, kind: ErrorKind, detail: str) -> Outcome:
        return Outcome(
            latency_ms=(self._clock() - started) * 1000,
            error=kind,
            error_detail=detail[:DETAIL_LIMIT_CHARS],
            phases=Phases() if exchange is None else exchange.phases(),
        )


def _headers_are_clean(headers: tuple[tuple[str, str], ...]) -> bool:
    # Both rules forbid single characters, so all names and all values can be searched at one go.
    names = [name for name, _ in headers]
    values = "".join([value for _, value in headers])
    return all(names) and not _NOT_IN_HEADER_NAME.search("".join(names)) and not _NOT_IN_HEADER_VALUE.search(values)


def _data(request: OutboundRequest) -> bytes | io.BytesIO:
    """Return the body so that aiohttp writes a large one piece by piece instead of in one copy."""
    return request.body if len(request.body) < LARGE_BODY_BYTES else io.BytesIO(request.body)


async def _read_some(content: aiohttp.StreamReader) -> bytes:
    """Read up to 16 KiB and return the first 4 KiB."""
    kept = b""
    left = READ_LIMIT_BYTES
    while left and not content.at_eof():
        chunk = await content.read(left)
        left -= len(chunk)
        kept += chunk[: KEPT_BYTES - len(kept)]
    return kept


def _retry_after(response: aiohttp.ClientResponse) -> str | None:
    value = response.headers.get("Retry-After")
    # The header may hold bytes that are no text; a Retry-After that can be read is ASCII (RFC 9110 section 10.2.3).
    return None if value is None else value[:RETRY_AFTER_LIMIT_CHARS].encode("ascii", "replace").decode()


def _explain_status(status: int) -> str | None:
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return f"answered {status}; redirects are not followed"
    return f"answered {status}"


def _explain(error: Exception, exchange: Exchange) -> tuple[ErrorKind, str]:  # noqa: C901, PLR0911 - a table of cases
    """Name what went wrong in words of our own: aiohttp's texts repeat URLs and what the receiver sent."""
    match error:
        case UrlRefused(reason="dns_failure"):
            return ErrorKind.DNS, error.detail
        case UrlRefused():
            return ErrorKind.BLOCKED, error.detail
        case aiohttp.ClientConnectorCertificateError():
            return ErrorKind.TLS, f"the certificate was refused: {_certificate_problem(error)}"
        case aiohttp.ClientConnectorSSLError():
            return ErrorKind.TLS, "the TLS handshake failed"
        case aiohttp.ClientConnectorError() if exchange.tls_at is not None:
            return ErrorKind.TLS, f"the connection broke during the TLS handshake: {_system_reason(error)}"
        case aiohttp.ClientConnectorError():
            return ErrorKind.CONNECT, f"could not connect: {_system_reason(error)}"
        case aiohttp.ServerDisconnectedError():
            return ErrorKind.RESET, "the receiver closed the connection before it answered"
        case aiohttp.ClientConnectionError():
            return ErrorKind.RESET, f"the connection broke: {_system_reason(error)}"
        case aiohttp.ClientPayloadError():
            return ErrorKind.PROTOCOL, "the answer ended before it was complete"
        case aiohttp.ClientError():
            return ErrorKind.PROTOCOL, "the answer is not valid HTTP, or its header is too large"
    _log.error("outbound_exchange_failed_unexpectedly", exc_info=error)
    return ErrorKind.OTHER, f"unexpected {type(error).__name__}"


def _system_reason(error: Exception) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number).lower() if number else "closed by the receiver"


def _certificate_problem(error: aiohttp.ClientConnectorCertificateError) -> str:
    return str(getattr(error.certificate_error, "verify_message", "")) or "not valid for this host"
