"""
The hooks by which one exchange is followed and guarded inside aiohttp.

aiohttp's own tracing builds several objects and URLs per request. These hooks cost next to nothing: the exchange under
way sits in a context variable, and each step that aiohttp takes through a documented extension point marks its time.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import aiohttp
import certifi
from aiohttp.abc import AbstractResolver, ResolveResult

from monitor.adapters.egress.guard import EgressPolicy, Target, check_address
from monitor.adapters.egress.resolver import Resolver
from monitor.domain.delivery.outcome import Phases

CURRENT: ContextVar[Exchange] = ContextVar("exchange")
"""The exchange that the running task makes."""


class Exchange:
    """One try of one request: what it is for, and when it reached each step, in seconds of ``clock``."""

    __slots__ = (
        "clock", "connected_at", "dial_at", "dns_from", "dns_to", "first_byte_at", "policy", "target", "tls_at",
        "transport",
    )  # fmt: skip

    def __init__(self, target: Target, policy: EgressPolicy, clock: Callable[[], float]) -> None:
        self.target = target
        self.policy = policy
        self.clock = clock
        self.dns_from: float | None = None
        self.dns_to: float | None = None
        self.dial_at: float | None = None
        self.tls_at: float | None = None
        self.connected_at: float | None = None
        self.first_byte_at: float | None = None
        self.transport: asyncio.Transport | None = None

    @property
    def reused(self) -> bool:
        """Whether it went out on a pooled connection."""
        return self.connected_at is not None and self.dial_at is None

    def phases(self) -> Phases:
        return Phases(
            dns_ms=_between_ms(self.dns_from, self.dns_to),
            connect_ms=_between_ms(self.dial_at, self.tls_at or self.connected_at),
            tls_ms=_between_ms(self.tls_at, self.connected_at),
            first_byte_ms=_between_ms(self.connected_at, self.first_byte_at),
        )

    def unsent_bytes(self) -> int:
        """How much of the request has not left this process."""
        return 0 if self.transport is None else self.transport.get_write_buffer_size()

    def abort(self) -> None:
        """Drop the connection at once. Closing would wait for a receiver that never reads to take the rest."""
        # A TLS transport of Python 3.11 fails on a second abort.
        transport, self.transport = self.transport, None
        if transport is not None:
            transport.abort()


def _between_ms(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else (end - start) * 1000


class CheckedResolver(AbstractResolver):
    """Gives aiohttp the addresses that the guard admits, and with them nothing else to dial."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        exchange = CURRENT.get()
        exchange.dns_from = exchange.clock()
        addresses = await self._resolver.addresses(exchange.target)
        exchange.dns_to = exchange.clock()
        return [_resolved(host, ip, port) for ip in addresses]

    async def close(self) -> None:
        await self._resolver.aclose()


def _resolved(host: str, ip: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    return {"hostname": host, "host": ip, "port": port, "family": family, "proto": 0, "flags": socket.AI_NUMERICHOST}


def dial_socket(addr_info: tuple[Any, ...]) -> socket.socket:
    """Make the socket for one address (``TCPConnector.socket_factory``) after a last look at that address.

    Raises:
        UrlRefused: the guard does not admit it.
    """
    exchange = CURRENT.get()
    family, type_, proto, _, sockaddr = addr_info
    check_address(sockaddr[0], exchange.policy, allowed_only=exchange.target.allowed_only)
    if exchange.dial_at is None:
        exchange.dial_at = exchange.clock()
    return socket.socket(family=family, type=type_, proto=proto)


class GuardedRequest(aiohttp.ClientRequest):
    """Looks at the peer of the connection, new or pooled, before the first byte of the request goes out."""

    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        exchange = CURRENT.get()
        exchange.transport = conn.transport
        peer = conn.transport.get_extra_info("peername") if conn.transport is not None else None
        if peer is None:
            raise aiohttp.ServerDisconnectedError
        check_address(peer[0], exchange.policy, allowed_only=exchange.target.allowed_only)
        exchange.connected_at = exchange.clock()
        return await super().send(conn)


class TimedTLSContext(ssl.SSLContext):
    """Notes when a handshake begins, which is when the TCP connection stands."""

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        exchange = CURRENT.get(None)
        if exchange is not None:
            exchange.tls_at = exchange.clock()
        return super().wrap_bio(*args, **kwargs)


def tls_context(*, ca_file: str | None = None) -> ssl.SSLContext:
    """
    Return a verifying client context that trusts the system's store and certifi's.

    Args:
        ca_file: PEM file of further authorities.
    """
    context = TimedTLSContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_default_certs()
    # Some Python builds (python.org on macOS) and slim images come without a system store.
    context.load_verify_locations(cafile=certifi.where())
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    return context
