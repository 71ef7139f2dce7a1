"""The e-mail of one message, as a request."""

from __future__ import annotations

from datetime import datetime
from email.utils import format_datetime
from hashlib import sha256
from uuid import UUID

from monitor.domain.delivery.mail import email, mail_about
from monitor.domain.delivery.request import OutboundRequest
from monitor.domain.webhooks.destination import Destination

ID_FIELDS = ("Message-ID", "In-Reply-To", "References")
"""Fields that hold an id. Its domain is that of the sender's address, which only the adapter has."""


def mail_request(
    destination: Destination, *, webhook_id: UUID, message_id: str, event_type: str, payload: bytes, at: datetime
) -> OutboundRequest:
    """
    Return the e-mail about an event, for the recipients of the URL of *destination*.

    The header fields lack From and To, which are the SMTP server's and the URL's, and the domain of the ``ID_FIELDS``.
    The Message-ID is the same for every attempt, so that a repeat can be recognised, and all mails about an alert refer
    to one id, so that mail clients show them as one thread (RFC 5322 section 3.6.4).

    Args:
        message_id: of the event, or of the test message.
        at: start of this attempt.
    """
    mail = mail_about(event_type, payload)
    thread = f"alert-{_short(f'{mail.alert_id} {webhook_id}')}" if mail.alert_id else None
    return OutboundRequest(
        url=destination.url,
        headers=(
            ("Subject", mail.subject),
            ("Date", format_datetime(at)),
            ("Message-ID", _short(f"{message_id} {webhook_id}")),
            *((("In-Reply-To", thread), ("References", thread)) if thread else ()),
            ("Auto-Submitted", "auto-generated"),
            ("X-Monitor-Event-Type", event_type),
            *((("X-Monitor-Alert-Id", str(mail.alert_id)),) if mail.alert_id else ()),
        ),
        body=email(event_type, payload).body,
        timeout_s=destination.timeout_s,
    )


def _short(name: str) -> str:
    """Return 32 hexadecimal digits for *name*: the same for the same, and fit for a line of any mail program."""
    return sha256(name.encode()).hexdigest()[:32]
