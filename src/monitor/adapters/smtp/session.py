"""A connection to the SMTP server: opened, encrypted and logged in, step by step."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from enum import StrEnum
from ipaddress import ip_address
from types import TracebackType
from typing import Literal, Self

import msgspec
from aiosmtplib import SMTP, SMTPException

from monitor.adapters.egress.dial import connect_first

Tls = Literal["starttls", "tls", "none"]

QUIT_S = 2.0
"""How long the end of a session may take; whatever comes then changes nothing."""


class SmtpServer(msgspec.Struct, frozen=True, kw_only=True):
    """
    The server that takes the mail, and the sender.

    ``from_`` is an address, or a name with one in ``<>``. With ``tls`` as ``none`` only a server on loopback is
    spoken to.
    """

    host: str
    from_: str
    port: int = 587
    username: str | None = None
    password: str | None = None
    tls: Tls = "starttls"

    def __repr__(self) -> str:
        return f"SmtpServer({self.host!r}, …)"


class Step(StrEnum):
    """What was under way when a session failed."""

    NAME = "while its name was looked up"
    CONNECT = "while it was connected to"
    GREETING = "before it had greeted"
    TLS = "while TLS was begun"
    LOGIN = "during the login"
    MAIL = "before it had taken the mail"


class Unsafe(Exception):
    """The server would be spoken to without TLS, and is not on loopback."""


class NoAddress(Exception):
    """The name of the server has no address. ``temporary``: the name server did not answer."""

    def __init__(self, *, temporary: bool) -> None:
        super().__init__()
        self.temporary = temporary


class SmtpSession:
    """
    One connection, which is closed whatever happens. Times are in seconds of *clock*, null until a step is reached.

    Attributes:
        client: what speaks SMTP, once there is a connection.
        dns, connected, secured: begin and end of the look-up, of the connection, and of TLS.
        written_at: when the mail was written.
        step: what is being done.
    """

    def __init__(self, server: SmtpServer, tls: ssl.SSLContext, clock: Callable[[], float]) -> None:
        self._server = server
        self._tls = tls
        self.clock = clock
        self.client: SMTP | None = None
        self.step = Step.NAME
        self.dns: tuple[float, float] | None = None
        self.connected: tuple[float, float] | None = None
        self.secured: tuple[float, float] | None = None
        self.written_at: float | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        client = self.client
        if client is None:
            return
        if client.transport is not None and isinstance(client.transport, asyncio.WriteTransport):
            # Closing would wait for a server that does not read.
            client.transport.abort()
        client.close()

    async def open(self) -> SMTP:
        """
        Connect, encrypt and log in.

        Raises:
            NoAddress, Unsafe, OSError, ssl.SSLError: there is no connection.
            SMTPException: the server refuses, or does not speak SMTP.
        """
        server = self._server
        started = self.clock()
        addresses = await self._addresses()
        self.dns = (started, self.clock())
        self.step = Step.CONNECT
        sock = await connect_first(addresses, server.port, self._admit)
        self.connected = (self.dns[1], self.clock())
        ip = sock.getsockname()[0]
        self.step = Step.GREETING
        client = self.client = SMTP(
            hostname=server.host,
            sock=sock,
            use_tls=server.tls == "tls",
            start_tls=False,
            tls_context=self._tls,
            timeout=None,
            # An address literal is always right (RFC 5321 section 4.1.3); looking the host's name up may take long.
            local_hostname=f"[IPv6:{ip}]" if ":" in ip else f"[{ip}]",
        )
        await client.connect()
        if server.tls == "tls":
            self.secured = (self.connected[1], self.clock())
        await client.ehlo()
        if server.tls == "starttls":
            self.step = Step.TLS
            started = self.clock()
            await client.starttls()
            self.secured = (started, self.clock())
            await client.ehlo()
        if server.username is not None:
            self.step = Step.LOGIN
            await client.login(server.username, server.password or "")
        self.step = Step.MAIL
        return client

    async def quit(self) -> None:
        """Send QUIT, as RFC 5321 requires. Never raises."""
        try:
            async with asyncio.timeout(QUIT_S):
                if self.client is not None:
                    await self.client.quit()
        except (OSError, SMTPException):
            pass

    async def _addresses(self) -> list[str]:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(self._server.host, None, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise NoAddress(temporary=error.errno == socket.EAI_AGAIN) from None
        return list(dict.fromkeys(str(address[0]) for *_, address in found))

    def _admit(self, ip: str) -> None:
        if self._server.tls == "none" and not ip_address(ip).is_loopback:
            raise Unsafe
