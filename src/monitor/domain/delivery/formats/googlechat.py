"""
Messages to Google Chat: a card in one thread for each alert.

Sources: Google Chat "Build an app as a webhook" and "Cards v2" (``header``, ``textParagraph`` with a few HTML tags,
``decoratedText``, ``buttonList`` with ``openLink``; ``thread.threadKey`` with ``messageReplyOption``). The text of a
message is untrusted: it is escaped as HTML, and a header is plain text.
"""

from __future__ import annotations

from typing import Any

import msgspec

from monitor.domain.delivery.alert_event import read_alert
from monitor.domain.delivery.chat_formats import message_of
from monitor.domain.delivery.rendered import RenderedBody

REPLY = "messageReplyOption=REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD"


def googlechat(event_type: str, payload: bytes) -> RenderedBody:
    """Return the card of an event. Total."""
    message, event = message_of(event_type, payload), read_alert(event_type, payload)
    widgets: list[dict[str, Any]] = [{"textParagraph": {"text": _escaped(message.text)}}]
    widgets += [{"decoratedText": {"topLabel": label, "text": _escaped(value)}} for label, value in message.facts]
    if message.links:
        buttons = [{"text": text, "onClick": {"openLink": {"url": url}}} for text, url in message.links]
        widgets.append({"buttonList": {"buttons": buttons}})
    card = {"header": {"title": message.title}, "sections": [{"widgets": widgets}]}
    body: dict[str, Any] = {"cardsV2": [{"cardId": "monitor", "card": card}]}
    if event is None:
        return RenderedBody(msgspec.json.encode(body))
    return RenderedBody(msgspec.json.encode(body | {"thread": {"threadKey": event.key}}), query=REPLY)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
