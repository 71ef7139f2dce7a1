"""Sends e-mail for ``mailto:`` webhooks."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import msgspec
import structlog
from aiosmtplib import SMTP, SMTPRecipientRefused, SMTPResponseException

from monitor.adapters.egress.pending import DETAIL_LIMIT_CHARS, Failure
from monitor.adapters.smtp.failures import explain, failure_of, reply_of, without_login, worst
from monitor.adapters.smtp.message import Fields, address_of, mail_bytes, mail_fields
from monitor.adapters.smtp.session import SmtpServer, SmtpSession, Step
from monitor.domain.delivery.exchange import Exchange
from monitor.domain.delivery.outcome import RESPONSE_BODY_BYTES, Outcome, Phases
from monitor.domain.delivery.request import OutboundRequest
from monitor.domain.errors import UrlRefused
from monitor.domain.vocab import ErrorKind
from monitor.domain.webhooks.mail_url import recipients

NOT_SET = "this webhook sends e-mail, and MONITOR_SMTP__HOST is not set here"
METHOD = "MAIL"
"""Of exchanges: the command that begins a mail transaction (RFC 5321 section 3.3)."""

SERVICE_CLOSES = 421
"""The reply after which there is no connection any more (RFC 5321 section 3.8)."""

_log = structlog.get_logger(__name__)


class PendingMail:
    """One mail under way."""

    __slots__ = ("_on_outcome", "done", "started", "task")

    def __init__(self, on_outcome: Callable[[Outcome], object], started: float) -> None:
        self._on_outcome = on_outcome
        self.done = False
        self.started = started
        self.task: asyncio.Task[None] | None = None

    def finish(self, outcome: Outcome) -> None:
        if self.done:
            return
        self.done = True
        try:
            self._on_outcome(outcome)
        except Exception:  # noqa: BLE001 - what a caller does with an outcome must not keep the session open
            _log.exception("outcome_callback_failed")

    def abandon(self) -> None:
        self.done = True
        if self.task is not None:
            self.task.cancel()


class SmtpSender:
    """
    The :class:`~monitor.domain.ports.sender.WebhookSender` of ``mailto:`` webhooks.

    One mail is one session: connect, encrypt, log in, hand over. Its deadline is that of the attempt. A mail that the
    server takes for some recipients only has failed, for the reason of the others; if one of these may be taken later,
    all get it again, with the same Message-ID.
    """

    def __init__(
        self,
        server: SmtpServer | None,
        *,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Without *server* every mail fails, with the setting that is missing. *tls* checks its certificate."""
        self._server = server
        self._tls = tls
        self._clock = clock
        self._pending: set[PendingMail] = set()

    async def aclose(self) -> None:
        """End every session; what is under way fails. Safe to repeat."""
        pending = list(self._pending)
        for mail in pending:
            mail.finish(self._failed(mail.started, Failure(ErrorKind.OTHER, "the sender was closed", local=True)))
            mail.abandon()
        await asyncio.gather(*(mail.task for mail in pending if mail.task), return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()

    async def send(self, request: OutboundRequest) -> Outcome:
        """Send *request* once and return how it went."""
        waiting: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def take(outcome: Outcome) -> None:
            if not waiting.done():
                waiting.set_result(outcome)

        pending = self.start(request, take)
        try:
            return await waiting
        except asyncio.CancelledError:
            pending.abandon()
            raise

    def start(
        self,
        request: OutboundRequest,
        on_outcome: Callable[[Outcome], object],
        *,
        may_write: Callable[[], bool] | None = None,
    ) -> PendingMail:
        """Send *request* as an e-mail and call *on_outcome* once, never before this returns. See the port."""
        mail = PendingMail(on_outcome, self._clock())
        mail.task = asyncio.create_task(self._run(mail, request, may_write))
        self._pending.add(mail)
        mail.task.add_done_callback(lambda _: self._pending.discard(mail))
        return mail

    async def _run(self, mail: PendingMail, request: OutboundRequest, may_write: Callable[[], bool] | None) -> None:
        if self._server is None or self._tls is None:
            mail.finish(self._failed(mail.started, Failure(ErrorKind.BLOCKED, NOT_SET)))
            return
        async with SmtpSession(self._server, self._tls, self._clock) as session:
            transaction = Transaction(self._server, session, request)
            try:
                async with asyncio.timeout(request.timeout_s - (self._clock() - mail.started)):
                    outcome = await transaction.run(may_write)
            except TimeoutError:
                late = f"not done within {request.timeout_s:g} s: the time ran out {session.step}"
                outcome = transaction.failed(Failure(ErrorKind.TIMEOUT, late))
            except Exception as error:  # noqa: BLE001 - the port promises an outcome, whatever a server provokes
                outcome = transaction.after(error)
            mail.finish(msgspec.structs.replace(outcome, latency_ms=self._since_ms(mail.started)))
            await session.quit()

    def _failed(self, started: float, failure: Failure) -> Outcome:
        return Outcome(self._since_ms(started), error=failure.kind, error_detail=failure.detail, local=failure.local)

    def _since_ms(self, started: float) -> float:
        return (self._clock() - started) * 1000


class Transaction:
    """One mail transaction in a session, and the outcome it ends in, to which the latency is added later."""

    def __init__(self, server: SmtpServer, session: SmtpSession, request: OutboundRequest) -> None:
        self._server = server
        self._session = session
        self._request = request
        self._fields: Fields = ()

    async def run(self, may_write: Callable[[], bool] | None) -> Outcome:
        """Return the outcome. Raises what a session raises."""
        to = recipients(self._request.url)
        fields = mail_fields(self._request, from_=self._server.from_, to=to)
        try:
            content = mail_bytes(fields, self._request.body)
        except ValueError:
            return self.failed(Failure(ErrorKind.BLOCKED, "a header field holds characters that e-mail forbids"))
        client = await self._session.open()
        if may_write is not None and not may_write():
            return self.failed(Failure(ErrorKind.OTHER, "its time to be written is over", local=True))
        self._fields = fields
        await client.mail(address_of(self._server.from_))
        refused = await _offer(client, to)
        if len(refused) == len(to):
            raise worst(refused)
        self._session.written_at = self._session.clock()
        response = await client.data(content)
        if refused:
            some = f"refused for {len(refused)} of {len(to)} recipients; the others have it"
            return self._answered(worst(refused).code, f"SMTP {worst(refused).code}: {some}", _all_replies(refused))
        return self._answered(response.code, None, f"{response.code} {response.message}")

    def after(self, error: Exception) -> Outcome:
        """Return the outcome of a transaction that *error* ended."""
        if isinstance(error, UrlRefused):
            return self.failed(Failure(ErrorKind.BLOCKED, error.detail))
        if isinstance(error, SMTPResponseException) and 200 <= error.code < 300 and self._session.step is Step.MAIL:
            # The library takes nothing but 250 for success.
            return self._answered(error.code, None, f"{error.code} {error.message}")
        reply = reply_of(error, self._session.step)
        if reply is None:
            return self.failed(failure_of(error, self._session))
        code, text = reply
        return self._answered(code, explain(code), f"{code} {text}")

    def failed(self, failure: Failure) -> Outcome:
        return Outcome(
            0.0,
            error=failure.kind,
            error_detail=failure.detail[:DETAIL_LIMIT_CHARS],
            phases=self._phases(),
            exchange=self._exchange(),
            local=failure.local,
        )

    def _answered(self, code: int, detail: str | None, text: str) -> Outcome:
        shown = without_login(text, self._server).encode(errors="replace")
        return Outcome(
            0.0,
            status_code=code,
            error=None if detail is None else ErrorKind.STATUS,
            error_detail=detail,
            phases=self._phases(answered_at=self._session.clock()),
            response_body=shown[:RESPONSE_BODY_BYTES],
            exchange=self._exchange(),
            smtp=True,
        )

    def _exchange(self) -> Exchange | None:
        if not self._fields:
            return None
        request = msgspec.structs.replace(self._request, headers=self._fields)
        return Exchange(request, method=METHOD)

    def _phases(self, *, answered_at: float | None = None) -> Phases:
        session = self._session
        written_at = session.written_at
        answer = None if written_at is None or answered_at is None else (written_at, answered_at)
        return Phases(
            dns_ms=_ms(session.dns),
            connect_ms=_ms(session.connected),
            tls_ms=_ms(session.secured),
            first_byte_ms=_ms(answer),
        )


async def _offer(client: SMTP, to: tuple[str, ...]) -> list[SMTPRecipientRefused]:
    """Name the recipients and return the refusals."""
    refused = []
    for address in to:
        try:
            await client.rcpt(address)
        except SMTPRecipientRefused as refusal:
            if refusal.code == SERVICE_CLOSES:
                raise
            refused.append(refusal)
    return refused


def _all_replies(refused: list[SMTPRecipientRefused]) -> str:
    return "\n".join(f"{one.recipient}: {one.code} {one.message}" for one in refused)


def _ms(span: tuple[float, float] | None) -> float | None:
    return None if span is None else (span[1] - span[0]) * 1000
