"""The sender of a process: HTTP, and e-mail for ``mailto:`` URLs."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from monitor.adapters.egress.guard import EgressPolicy
from monitor.adapters.egress.sender import HttpSender
from monitor.adapters.smtp.sender import SmtpSender
from monitor.bootstrap.mail import mail_server, mail_tls
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.delivery.request import OutboundRequest
from monitor.domain.ports.sender import PendingSend, WebhookSender
from monitor.domain.webhooks.mail_url import is_mail_url
from monitor.settings.schema import Settings


def build_sender(settings: Settings, policy: EgressPolicy, tls: ssl.SSLContext) -> SchemeSender:
    """
    Return the sender of a process.

    Args:
        tls: towards receivers.

    Raises:
        ValueError: the certificates of the mail server cannot be read.
    """
    server = mail_server(settings)
    mail = SmtpSender(server, tls=None if server is None else mail_tls(settings))
    return SchemeSender(HttpSender(policy, tls=tls), mail)


class SchemeSender:
    """A :class:`~monitor.domain.ports.sender.WebhookSender` that gives each request to the sender of its scheme."""

    def __init__(self, http: HttpSender, mail: SmtpSender) -> None:
        self._http = http
        self._mail = mail
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._http)
        await self._stack.enter_async_context(self._mail)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def start(
        self,
        request: OutboundRequest,
        on_outcome: Callable[[Outcome], object],
        *,
        may_write: Callable[[], bool] | None = None,
    ) -> PendingSend:
        return self._of(request).start(request, on_outcome, may_write=may_write)

    async def send(self, request: OutboundRequest) -> Outcome:
        return await self._of(request).send(request)

    def _of(self, request: OutboundRequest) -> WebhookSender:
        return self._mail if is_mail_url(request.url) else self._http
