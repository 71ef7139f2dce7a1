"""
One-use links that acknowledge an alert or silence it, for people who read a message and are not signed in.

A token names the alert, the destination and the action, and when it expires: a day after the event. It is signed, not
stored, so every retry of a delivery sends the same bytes::

    version, action | expiry, Unix seconds | alert | destination | HMAC-SHA256 of these, its first 16 bytes
          2 bytes                  4 bytes      16             16                                  16 bytes
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

from monitor.domain.alerts.notification import FLAPPING, RAISED
from monitor.domain.delivery.reminders import REMINDER
from monitor.domain.ids import id_time

PATH = "act"
"""First segment of the path of a link, below the page."""

LIFETIME_S = 86_400

_VERSION = 1
_MAC_BYTES = 16
_BODY = struct.Struct(">BBI16s16s")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{72}")
"""Of 54 bytes, so that no other text has the same ones."""

_IN_BODY = re.compile(rb"(/%b/)[A-Za-z0-9_-]{72}" % PATH.encode())


class LinkAction(StrEnum):
    """What a link does; also its name among the links of a payload."""

    ACKNOWLEDGE = "acknowledge"
    SILENCE_HOUR = "silence_1h"
    SILENCE_DAY = "silence_1d"


_CODES = dict(enumerate(LinkAction, 1))

SILENCE_S = {LinkAction.SILENCE_HOUR: 3_600, LinkAction.SILENCE_DAY: 86_400}

OFFERED = frozenset({RAISED, REMINDER, FLAPPING})
"""Types of the events that carry links: those about an alert that needs attention."""


class ActionLink(msgspec.Struct, frozen=True):
    """Content of a token. ``expires_at`` is aware UTC, in whole seconds."""

    action: LinkAction
    alert_id: UUID
    destination_id: UUID
    expires_at: datetime


class ActionLinks(msgspec.Struct, frozen=True):
    """
    Makes links and reads their tokens.

    Attributes:
        page: URL of the page, below which links lie.
        keys: at least one; the first signs, all verify.
    """

    page: str
    keys: tuple[bytes, ...]

    def __repr__(self) -> str:
        return "ActionLinks(…)"

    def token(self, link: ActionLink, key: bytes | None = None) -> str:
        """Return the token of *link*, signed with *key*, by default the first one."""
        code = next(code for code, action in _CODES.items() if action is link.action)
        expires = int(link.expires_at.timestamp())
        body = _BODY.pack(_VERSION, code, expires, link.alert_id.bytes, link.destination_id.bytes)
        return base64.urlsafe_b64encode(body + _mac(key or self.keys[0], body)).decode()

    def read(self, token: str) -> ActionLink | None:
        """Return the content of *token*, expired or not; ``None`` if it was not signed here."""
        if _TOKEN.fullmatch(token) is None:
            return None
        signed = base64.urlsafe_b64decode(token)
        body, mac = signed[: _BODY.size], signed[_BODY.size :]
        if not any(hmac.compare_digest(_mac(key, body), mac) for key in self.keys):
            return None
        version, code, expires, alert, destination = _BODY.unpack(body)
        if version != _VERSION or code not in _CODES:
            return None
        at = datetime.fromtimestamp(expires, UTC)
        return ActionLink(_CODES[code], UUID(bytes=alert), UUID(bytes=destination), at)

    def added_to(self, payload: bytes, event_type: str, event_id: UUID, destination_id: UUID) -> bytes:
        """Return the *payload* to send to a destination: with links, if the event is one of :data:`OFFERED`. Total."""
        return next(self.variants(payload, event_type, event_id, destination_id))

    def variants(self, payload: bytes, event_type: str, event_id: UUID, destination_id: UUID) -> Iterator[bytes]:
        """Yield what :meth:`added_to` returns, by each of the keys."""
        members = _members_of(payload) if event_type in OFFERED else None
        if members is None:
            yield payload
            return
        alert_id, others, links = members
        expires_at = id_time(event_id).replace(microsecond=0) + timedelta(seconds=LIFETIME_S)
        for key in self.keys:
            made = {
                action.value: self._url(self.token(ActionLink(action, alert_id, destination_id, expires_at), key))
                for action in LinkAction
            }
            yield msgspec.json.encode({**others, "links": {**links, **made}})

    def _url(self, token: str) -> str:
        return f"{self.page.rstrip('/')}/{PATH}/{token}"


def link_digest(token: str) -> bytes:
    """Return what is stored of a token that was used: its SHA-256."""
    return hashlib.sha256(token.encode()).digest()


def without_tokens(body: bytes) -> bytes:
    """Return *body* with ``***`` in place of tokens, as users may see it."""
    return _IN_BODY.sub(rb"\1***", body)


def _mac(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, body, "sha256")[:_MAC_BYTES]


def _members_of(payload: bytes) -> tuple[UUID, dict[str, Any], dict[str, Any]] | None:
    """Return the alert of *payload*, its members, and its links; ``None`` if it is about no alert, or none pending."""
    try:
        members = msgspec.json.decode(payload, type=dict[str, msgspec.Raw])
        alert = msgspec.json.decode(members["data"], type=_Data).alert
        links = msgspec.json.decode(members.get("links", msgspec.Raw(b"{}")), type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
        return None
    return (alert.id, members, links) if alert.state == "pending" else None


class _Alert(msgspec.Struct, frozen=True):
    id: UUID
    state: str


class _Data(msgspec.Struct, frozen=True):
    alert: _Alert
