"""
PagerDuty's Events API v2: one incident for each alert, by ``dedup_key``.

Sources: PagerDuty "Events API v2", "Send an alert event" (``event_action``, ``dedup_key`` of at most 255 characters,
``summary`` of at most 1,024, ``links`` of ``href`` and ``text``). Acknowledging or resolving what is not open changes
nothing there.
"""

from __future__ import annotations

from typing import Any

import msgspec

from monitor.domain.delivery.alert_event import ACKNOWLEDGED, AlertEvent, cut, read_alert, rfc3339
from monitor.domain.delivery.rendered import RenderedBody

ROUTING_KEY = "X-Routing-Key"
"""Header of the webhook that holds the integration key: PagerDuty reads it from the body, so it moves there."""

SUMMARY_MAX = 1_024
VALUE_MAX = 1_024


def pagerduty(event_type: str, payload: bytes) -> RenderedBody:
    """Return the event without its routing key. Any other event resolves what was never open, so that it opens
    nothing. Total."""
    event = read_alert(event_type, payload)
    if event is None:
        return _body({"event_action": "resolve", "dedup_key": cut(event_type, 255)})
    if event.is_over:
        return _body({"event_action": "resolve", "dedup_key": event.key})
    if event.verb == ACKNOWLEDGED:
        return _body({"event_action": "acknowledge", "dedup_key": event.key})
    return _body({"event_action": "trigger", "dedup_key": event.key, **_incident(event)})


def with_routing_key(body: bytes, key: str) -> bytes:
    """Return *body*, made by :func:`pagerduty`, with the routing key as its first member."""
    return b'{"routing_key":' + msgspec.json.encode(key) + b"," + body[1:]


def _incident(event: AlertEvent) -> dict[str, Any]:
    alert, link = event.alert, event.alert_link
    return {
        "payload": {
            "summary": cut(event.sentence, SUMMARY_MAX),
            "source": cut(event.facts().get("Webhook", "all webhooks"), VALUE_MAX),
            "severity": alert.severity,
            **({} if event.at is None else {"timestamp": rfc3339(event.at)}),
            "class": cut(alert.kind, VALUE_MAX),
            "custom_details": {label: cut(value, VALUE_MAX) for label, value in event.facts().items()},
        },
        "links": [{"href": url, "text": text} for text, url in event.links],
        "client": "Monitor",
        **({} if link is None else {"client_url": link}),
    }


def _body(members: dict[str, Any]) -> RenderedBody:
    return RenderedBody(msgspec.json.encode(members))
