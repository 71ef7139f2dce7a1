"""Links into the page: where a person who reads a notification looks further."""

from __future__ import annotations

from uuid import UUID

import msgspec


class PageLinks(msgspec.Struct, frozen=True, omit_defaults=True):
    """Links about one alert; those about its webhook are ``None`` of an alert about all webhooks."""

    alert: str
    webhook: str | None = None
    failed_attempts: str | None = None


def links_of(page: str, alert_id: UUID, webhook_id: UUID | None) -> PageLinks:
    """
    Return the links about an alert.

    Args:
        page: absolute URL of the page, as people open it, with or without a slash at its end.
        webhook_id: what the alert is about; ``None`` for all webhooks.
    """
    if webhook_id is None:
        return PageLinks(alert_link(page, alert_id))
    return PageLinks(
        alert_link(page, alert_id), webhook_link(page, webhook_id), f"{webhook_link(page, webhook_id)}?ok=false"
    )


def alert_link(page: str, alert_id: UUID) -> str:
    return f"{page.rstrip('/')}/#/alerts/{alert_id}"


def webhook_link(page: str, webhook_id: UUID) -> str:
    return f"{page.rstrip('/')}/#/webhooks/{webhook_id}"


def with_links(payload: bytes, page: str | None) -> bytes:
    """Return the *payload* of a notification with the member ``links``; as it is without a *page*, or if it is about no
    alert. Total."""
    if page is None:
        return payload
    try:
        members = msgspec.json.decode(payload, type=dict[str, msgspec.Raw])
        alert = msgspec.json.decode(members["data"], type=_Data).alert
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
        return payload
    links = msgspec.Raw(msgspec.json.encode(links_of(page, alert.id, alert.webhook_id)))
    return msgspec.json.encode({**members, "links": links})


class _Alert(msgspec.Struct, frozen=True):
    id: UUID
    webhook_id: UUID | None


class _Data(msgspec.Struct, frozen=True):
    alert: _Alert
