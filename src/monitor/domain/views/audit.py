"""Read model of the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from monitor.domain.vocab import BodyFormat
from monitor.domain.webhooks.chat_url import shown_url


class AuditView(msgspec.Struct, frozen=True):
    """One changing call. ``before`` and ``after`` hold the changed members, never a secret.

    ``client`` is the IP address of the request, as in the access log: null for what Monitor or a command changed, for a
    request over a Unix socket, and in rows of versions that did not store it.
    """

    id: UUID
    at: datetime
    subject: str
    role: str | None
    request_id: str | None
    client: str | None
    action: str
    target: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


def without_secret_urls(view: AuditView) -> AuditView:
    """Return *view* without the URL of a chat service, which older versions stored whole."""
    return msgspec.structs.replace(view, before=_masked(view.before), after=_masked(view.after))


def _masked(members: dict[str, Any] | None) -> dict[str, Any] | None:
    if members is None or not isinstance(url := members.get("url"), str):
        return members
    return {**members, "url": shown_url(url, members.get("body_format", BodyFormat.STANDARD))}
