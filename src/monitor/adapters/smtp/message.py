"""Writes an e-mail as it goes over the wire (RFC 5322)."""

from __future__ import annotations

from collections.abc import Sequence
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import parseaddr

from monitor.domain.delivery.request import OutboundRequest
from monitor.domain.webhooks.mail_request import ID_FIELDS

Fields = tuple[tuple[str, str], ...]


def address_of(from_: str) -> str:
    """Return the address of *from_*, which may have a display name."""
    return parseaddr(from_)[1]


def mail_fields(request: OutboundRequest, *, from_: str, to: Sequence[str]) -> Fields:
    """Return all header fields of the mail, its ids with the domain of *from_*."""
    domain = address_of(from_).rpartition("@")[2]
    own = tuple((name, f"<{value}@{domain}>" if name in ID_FIELDS else value) for name, value in request.headers)
    return (("From", from_), ("To", ", ".join(to)), *own)


def mail_bytes(fields: Fields, body: bytes) -> bytes:
    """
    Return the mail with *fields* and the UTF-8 text *body*: in ASCII, with CRLF.

    Raises:
        ValueError: a value would not stay in its field.
    """
    mail = EmailMessage(policy=SMTP)
    for name, value in fields:
        if name not in ID_FIELDS:
            mail[name] = value
    mail.set_content(body.decode(errors="replace"))
    # As they are: the standard library encodes ids that are longer than a line, and mail programs do not read those.
    ids = "".join(f"{name}: {value}\r\n" for name, value in fields if name in ID_FIELDS)
    if ids.count("\r") != ids.count("\n") or ids.count("\n") != sum(name in ID_FIELDS for name, _ in fields):
        raise ValueError("a line break in an id")
    return ids.encode("ascii") + mail.as_bytes()
