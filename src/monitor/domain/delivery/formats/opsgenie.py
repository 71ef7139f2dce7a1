"""
Opsgenie's Alert API, also that of Jira Service Management: one alert there for each of ours, by ``alias``.

Source: Opsgenie "Alert API" (``message`` of at most 130 characters, ``alias`` 512, ``description`` 15,000, ``entity``
512, ``user`` and ``source`` 100, ``note`` 25,000; create, acknowledge and close are requests to different paths). While
an alert is open, creating it again counts it up; acknowledging or closing one that does not exist is accepted and
changes nothing.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec

from monitor.domain.delivery.alert_event import ACKNOWLEDGED, AlertEvent, cut, read_alert
from monitor.domain.delivery.rendered import RenderedBody
from monitor.domain.vocab import Severity

SOURCE = "Monitor"
_PRIORITIES = {Severity.CRITICAL: "P1", Severity.WARNING: "P3", Severity.INFO: "P5"}


def opsgenie(event_type: str, payload: bytes) -> RenderedBody:
    """Return the request for the path of its action. Any other event closes what was never open, so that it opens
    nothing. Total."""
    event = read_alert(event_type, payload)
    if event is None:
        return _action(event_type, "close", {})
    if event.is_over:
        return _action(event.key, "close", _by(event.alert.resolved_by, event.sentence))
    if event.verb == ACKNOWLEDGED:
        return _action(event.key, "acknowledge", _by(event.alert.acknowledged_by, event.alert.note))
    return RenderedBody(msgspec.json.encode(_created(event)))


def _created(event: AlertEvent) -> dict[str, Any]:
    lines = [event.sentence, *(f"{text}: {url}" for text, url in event.links)]
    return {
        "message": cut(event.sentence, 130),
        "alias": event.key,
        "description": cut("\n".join(lines), 15_000),
        "details": {label: cut(value, 1_000) for label, value in event.facts().items()},
        "entity": cut(event.facts().get("Webhook", "all webhooks"), 512),
        "source": SOURCE,
        "priority": _PRIORITIES[event.alert.severity],
    }


def _action(alias: str, action: str, members: dict[str, str]) -> RenderedBody:
    path = f"/{quote(cut(alias, 200), safe='')}/{action}"
    return RenderedBody(msgspec.json.encode({"source": SOURCE, **members}), path, "identifierType=alias")


def _by(user: str | None, note: str | None) -> dict[str, str]:
    texts = {"user": cut(user or "", 100), "note": cut(note or "", 25_000)}
    return {name: text for name, text in texts.items() if text}
