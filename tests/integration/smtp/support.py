"""Mails and senders for the tests of e-mail."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from monitor.adapters.egress.tls import mail_tls_context
from monitor.adapters.smtp.sender import SmtpSender
from monitor.adapters.smtp.session import SmtpServer
from monitor.domain.delivery.request import OutboundRequest
from monitor.domain.vocab import SignatureScheme
from monitor.domain.webhooks.destination import Destination
from monitor.domain.webhooks.mail_request import mail_request
from tests.mail_server import FROM

AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
WEBHOOK = UUID(int=7)


def mail(
    to: str = "mailto:ops@example.org",
    *,
    event_type: str = "order.paid",
    payload: bytes = b'{"a": 1}',
    timeout_s: float = 20.0,
    message_id: str = "msg_1",
) -> OutboundRequest:
    destination = Destination(to, timeout_s, (), SignatureScheme.V1, ())
    return mail_request(
        destination, webhook_id=WEBHOOK, message_id=message_id, event_type=event_type, payload=payload, at=AT
    )


def sender_to(port: int, *, ca_file: str | None = None, **members: Any) -> SmtpSender:
    """Return a sender to the server at *port* of loopback; without TLS unless *members* say otherwise."""
    server = SmtpServer(**{"host": "127.0.0.1", "port": port, "from_": FROM, "tls": "none", **members})
    return SmtpSender(server, tls=mail_tls_context(ca_file=ca_file))
