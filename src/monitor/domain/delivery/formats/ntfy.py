"""
Messages to ntfy: a plain text, with title, priority and links in the query of the topic's URL.

Source: ntfy "Publishing" (each header may be a query parameter: ``title``, ``priority`` 1 to 5, ``tags``, ``click``,
``actions`` as JSON, ``sequence-id`` by which a later message replaces an earlier one, from 2.16 on; a body of more than
4,096 bytes would become an attachment). Text is shown as it is, unless Markdown is requested.
"""

from __future__ import annotations

from urllib.parse import urlencode

import msgspec

from monitor.domain.delivery.alert_event import cut, read_alert
from monitor.domain.delivery.chat_formats import message_of
from monitor.domain.delivery.rendered import TEXT, RenderedBody
from monitor.domain.vocab import Severity

MESSAGE_BYTES = 4_096
QUERY_MAX = 1_400
"""Characters: a URL has at most 2,048, and that of a topic at most 512."""

ACTIONS_MAX = 3

_LABELS = ("Webhook", "Time", "Acknowledged by", "Note")
_LOOKS = {
    Severity.INFO: ("3", "information_source"),
    Severity.WARNING: ("4", "warning"),
    Severity.CRITICAL: ("5", "rotating_light"),
}
_RESOLVED = ("3", "white_check_mark")


def ntfy(event_type: str, payload: bytes) -> RenderedBody:
    """Return the message about an event. Total."""
    message, event = message_of(event_type, payload), read_alert(event_type, payload)
    if event is None:
        return _message(message.text, {"title": cut(message.title, 200)})
    priority, tag = _RESOLVED if event.is_over else _LOOKS[event.alert.severity]
    lines = [message.text, *(f"{label}: {value}" for label, value in message.facts if label in _LABELS)]
    parameters = {"title": message.title, "priority": priority, "tags": tag, "sequence-id": event.key}
    if event.alert_link is not None:
        parameters["click"] = event.alert_link
        actions = [{"action": "view", "label": text, "url": url} for text, url in event.links[:ACTIONS_MAX]]
        parameters["actions"] = msgspec.json.encode(actions).decode()
    return _message("\n".join(lines), parameters)


def _message(text: str, parameters: dict[str, str]) -> RenderedBody:
    """Return *text* with as many of *parameters*, in their order, as the URL holds."""
    query = ""
    for pair in parameters.items():
        longer = "&".join(filter(None, (query, urlencode([pair]))))
        query = longer if len(longer) <= QUERY_MAX else query
    body = text.encode()[:MESSAGE_BYTES].decode(errors="ignore").encode()
    return RenderedBody(body or b"-", query=query, content_type=TEXT)
