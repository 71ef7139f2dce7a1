"""Mail servers that are not ours: a real one that keeps what it takes, and ones that misbehave."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

USERNAME, PASSWORD = "monitor", "correct horse battery staple"
FROM = "Monitor <monitor@monitor.example.org>"


class MailServer:
    """
    aiosmtpd on loopback.

    Attributes:
        mails: what it took, in order, with the recipients of each envelope.
        replies: to the recipients named; others get 250.
        data_reply: to a mail; it is kept if that is a 250.
        seen: every mail that came, whether it was taken or not.
        logins: how often somebody logged in with success.
    """

    def __init__(self, tls: ssl.SSLContext | None, *, login: bool, implicit: bool) -> None:
        self._tls = tls
        self._login = login
        self.implicit_tls = tls if implicit else None
        self.port = 0
        self.mails: list[tuple[tuple[str, ...], EmailMessage]] = []
        self.raw: list[bytes] = []
        self.replies: dict[str, str] = {}
        self.data_reply = "250 OK queued as 1"
        self.seen: list[EmailMessage] = []
        self.logins = 0

    def protocol(self) -> SMTP:
        starttls = None if self.implicit_tls else self._tls
        return SMTP(
            self,
            hostname="mail.example.org",
            tls_context=starttls,
            require_starttls=starttls is not None,
            auth_required=self._login,
            auth_require_tls=starttls is not None,
            authenticator=self._authenticate,
        )

    def _authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        given = cast("LoginPassword", data)
        right = given == LoginPassword(USERNAME.encode(), PASSWORD.encode())
        self.logins += right
        return AuthResult(success=right, handled=False)

    async def handle_RCPT(  # noqa: N802 - the name is aiosmtpd's
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        reply = self.replies.get(address, "250 OK")
        if reply.startswith("250"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = cast("bytes", envelope.content)
        mail = message_from_bytes(content, policy=default)
        self.seen.append(mail)
        if self.data_reply.startswith("250"):
            self.raw.append(content)
            self.mails.append((tuple(envelope.rcpt_tos), mail))
        return self.data_reply


@asynccontextmanager
async def mail_server(
    tls: ssl.SSLContext | None = None, *, login: bool = False, implicit: bool = False
) -> AsyncIterator[MailServer]:
    """
    Args:
        tls: offered by STARTTLS and required, or spoken from the start if *implicit*.
        login: ``USERNAME`` and ``PASSWORD`` are required.
    """
    server = MailServer(tls, login=login, implicit=implicit)
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(server.protocol, "127.0.0.1", 0, ssl=server.implicit_tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def raw_mail_server(talk: Talk) -> AsyncIterator[int]:
    """Serve each connection by *talk* and close it; yield the port."""
    open_tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_tasks.add(task)
        try:
            with suppress(ConnectionError, asyncio.CancelledError):
                await talk(reader, writer)
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        for task in open_tasks:
            task.cancel()
        await asyncio.gather(*open_tasks, return_exceptions=True)


def script(*steps: tuple[str, bytes]) -> Talk:
    """
    Answer lines that begin so with these replies, in any order; an empty reply hangs, and ``b"!"`` closes.

    The step named ``""`` is the greeting.
    """
    replies = dict(steps)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not await _say(writer, replies.get("", b"220 ready\r\n")):
            return
        while line := await reader.readline():
            verb = line.split()[0].decode().upper() if line.split() else ""
            reply = replies.get(verb, {"DATA": b"354 go on\r\n", ".": b"250 taken\r\n"}.get(verb, b"250 ok\r\n"))
            if verb in KNOWN and not await _say(writer, reply):
                return

    return talk


KNOWN = {"EHLO", "HELO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", ".", "RSET", "QUIT"}


async def _say(writer: asyncio.StreamWriter, reply: bytes) -> bool:
    if reply == b"!":
        return False
    if not reply:
        await asyncio.Event().wait()
    writer.write(reply)
    await writer.drain()
    return True
