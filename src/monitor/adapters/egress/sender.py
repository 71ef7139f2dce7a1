"""Sends webhooks by HTTP/1.1 and turns whatever happens into an :class:`Outcome`."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from functools import lru_cache, partial
from types import TracebackType
from typing import Self

import structlog

from monitor.adapters.egress.connection import Connection
from monitor.adapters.egress.destination import Destination
from monitor.adapters.egress.dial import connect_first
from monitor.adapters.egress.guard import EgressPolicy, check_address
from monitor.adapters.egress.pending import Failure, PendingExchange, dial_failure, reset_failure, timeout_failure
from monitor.adapters.egress.pool import Pool
from monitor.adapters.egress.resolver import Lookup, Resolver
from monitor.adapters.egress.tls import tls_context
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.delivery.request import OutboundRequest
from monitor.domain.errors import UrlRefused
from monitor.domain.vocab import ErrorKind

IDLE_S = 15.0
MAX_AGE_S = 300.0
TICK_S = 0.1
"""How late a deadline may be noticed."""
SWEEP_S = 1.0
QUIET_S = 0.002
"""How long a new connection must stay silent before its first request: a receiver that speaks first is found out."""
URL_CACHE_SIZE = 16_384
"""More than the 10,000 webhooks that one installation is built for."""

_log = structlog.get_logger(__name__)


class HttpSender:
    """
    The :class:`~monitor.domain.ports.sender.WebhookSender` of production.

    A request on an open connection takes no task, no timer and no context variable: it is written, its answer calls
    back, and one tick for all looks after the deadlines. Only opening a connection takes a task. A name is looked up
    once for each new connection. No proxies, no redirects, no cookies.

    A connection that was used before and ends before any byte of an answer costs no attempt: the request is sent once
    more, on a new one and the same deadline. Servers close idle connections just when a request sets out (RFC 9112
    section 9.3.1), and receivers deduplicate by ``webhook-id`` anyway.
    """

    def __init__(
        self,
        policy: EgressPolicy,
        *,
        lookup: Lookup | None = None,
        clock: Callable[[], float] = time.perf_counter,
        tls: ssl.SSLContext | None = None,
        idle_s: float = IDLE_S,
        max_age_s: float = MAX_AGE_S,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._tls = tls
        self._resolver = Resolver(policy, lookup=lookup)
        self._pool = Pool(idle_s=idle_s, max_age_s=max_age_s)
        self._destination = lru_cache(maxsize=URL_CACHE_SIZE)(partial(Destination, policy=policy))
        self._pending: set[PendingExchange] = set()
        self._running: asyncio.AbstractEventLoop | None = None
        self._sweep_handle: asyncio.TimerHandle | None = None
        self._tick_handle: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Needs the running loop that will send."""
        self._running = asyncio.get_running_loop()
        self._tls = self._tls or tls_context()

    async def aclose(self) -> None:
        """Close every connection; what is under way fails. Safe to repeat."""
        diallings = [exchange.dialling for exchange in self._pending if exchange.dialling is not None]
        for exchange in list(self._pending):
            self._fail(exchange, Failure(ErrorKind.OTHER, "the sender was closed", local=True))
        await asyncio.gather(*diallings, return_exceptions=True)
        self._pool.clear()
        await self._resolver.aclose()
        # Aborted transports let go of their sockets in the turns that follow.
        for _ in range(3):
            await asyncio.sleep(0)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()

    async def send(self, request: OutboundRequest) -> Outcome:
        """POST *request* and return how it went; see the port for what never happens."""
        waiting: asyncio.Future[Outcome] = self._loop.create_future()

        def take(outcome: Outcome) -> None:
            # It may have been cancelled in this turn of the loop.
            if not waiting.done():
                waiting.set_result(outcome)

        exchange = self.start(request, take)
        try:
            return await waiting
        finally:
            exchange.abandon()

    def start(
        self,
        request: OutboundRequest,
        on_outcome: Callable[[Outcome], object],
        *,
        may_write: Callable[[], bool] | None = None,
    ) -> PendingExchange:
        """POST *request* and call *on_outcome* once, never before this returns. See the port for *may_write*."""
        now = self._clock()
        exchange = PendingExchange(request, on_outcome, now, may_write)
        self._pending.add(exchange)
        if self._tick_handle is None:
            self._tick_handle = self._loop.call_later(TICK_S, self._tick)
        try:
            destination = exchange.destination = self._destination(request.url)
            exchange.head = destination.head(request)
        except UrlRefused as refused:
            self._loop.call_soon(self._fail, exchange, Failure(ErrorKind.BLOCKED, refused.detail))
            return exchange
        connection = self._pool.take(destination.key, now)
        if connection is None:
            exchange.dialling = self._loop.create_task(self._dial(exchange, destination))
        else:
            exchange.connection = connection
            connection.begin(exchange)
        return exchange

    async def _dial(self, exchange: PendingExchange, destination: Destination) -> None:
        try:
            connection = await self._connected(exchange, destination)
        except Exception as error:  # noqa: BLE001 - the port promises an outcome, whatever a receiver provokes
            exchange.dialling = None
            self._fail(exchange, dial_failure(error, exchange))
        except asyncio.CancelledError:
            self._pending.discard(exchange)
            raise
        else:
            exchange.dialling = None
            if exchange.may_write is None or exchange.may_write():
                exchange.connection = connection
                connection.begin(exchange)
            else:
                connection.drop()
                self._fail(exchange, Failure(ErrorKind.OTHER, "its time to be written is over", local=True))

    async def _connected(self, exchange: PendingExchange, destination: Destination) -> Connection:
        loop, target, clock = asyncio.get_running_loop(), destination.target, self._clock
        admit = partial(check_address, policy=self._policy, allowed_only=target.allowed_only)
        if target.ip is None:
            exchange.dns_from = clock()
        addresses = await self._resolver.addresses(target)
        exchange.dial_at = clock()
        if target.ip is None:
            exchange.dns_to = exchange.dial_at
        sock = await connect_first(addresses, target.port, admit)
        connection = Connection(destination.key, sock, self, clock)
        try:
            transport, _ = await loop.create_connection(lambda: connection, sock=sock)
            if target.scheme == "https":
                exchange.tls_at = clock()
                assert self._tls is not None
                secured = await loop.start_tls(transport, connection, self._tls, server_hostname=target.host)
                assert secured is not None
                connection.secured(secured)
            exchange.opened_at = clock()
            await connection.quiet(QUIET_S)
        except BaseException:
            connection.drop()
            raise
        return connection

    def answered(self, connection: Connection, exchange: PendingExchange) -> None:
        now = self._clock()
        outcome = exchange.answered(connection.reader, now)
        self._release(connection, now)
        self._finish(exchange, outcome)

    def broken(self, connection: Connection, exchange: PendingExchange, error: Exception | None) -> None:
        exchange.connection = None
        if exchange.done:
            self._pending.discard(exchange)
        elif connection.early:
            self._fail(exchange, Failure(ErrorKind.RESET, "the receiver answered before it had the whole request"))
        elif connection.uses > 1:
            self._dial_again(exchange)
        elif connection.unasked:
            self._fail(exchange, Failure(ErrorKind.PROTOCOL, "the receiver sent bytes before it had a request"))
        else:
            self._fail(exchange, reset_failure(error))

    def ended(self, connection: Connection) -> None:
        self._pool.discard(connection)

    def _release(self, connection: Connection, now: float) -> None:
        if connection.reader.keep_alive:
            connection.reader.reset()
            self._pool.put(connection, now)
            if self._sweep_handle is None:
                self._sweep_handle = self._loop.call_later(SWEEP_S, self._sweep)
        else:
            connection.drop()

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        if self._running is None:
            raise RuntimeError("the sender is not open")
        return self._running

    def _dial_again(self, exchange: PendingExchange) -> None:
        assert exchange.destination is not None
        exchange.forget_times()
        exchange.dialling = self._loop.create_task(self._dial(exchange, exchange.destination))

    def _fail(self, exchange: PendingExchange, failure: Failure) -> None:
        exchange.stop()
        self._finish(exchange, exchange.failed(self._clock(), failure))

    def _finish(self, exchange: PendingExchange, outcome: Outcome) -> None:
        self._pending.discard(exchange)
        if exchange.done:
            return
        exchange.done = True
        try:
            exchange.on_outcome(outcome)
        except Exception:  # noqa: BLE001 - what a caller does with an outcome must not end the connection's next exchange
            _log.exception("outcome_callback_failed")

    def _tick(self) -> None:
        """Look after the deadlines of all exchanges under way."""
        now = self._clock()
        try:
            for exchange in list(self._pending):
                if exchange.deadline <= now:
                    self._expire(exchange, now)
                elif exchange.connection is not None:
                    exchange.connection.look_again()
        finally:
            self._tick_handle = self._loop.call_later(TICK_S, self._tick) if self._pending else None

    def _expire(self, exchange: PendingExchange, now: float) -> None:
        connection = exchange.connection
        if connection is not None and connection.has_verdict():
            connection.reader.cut(f"the answer was not complete within {exchange.request.timeout_s:g} s")
            outcome = exchange.answered(connection.reader, now)
        else:
            outcome = exchange.failed(now, timeout_failure(exchange))
        exchange.stop()
        self._finish(exchange, outcome)

    def _sweep(self) -> None:
        """Look after the age of idle connections."""
        self._pool.sweep(self._clock())
        self._sweep_handle = self._loop.call_later(SWEEP_S, self._sweep) if self._pool else None
