"""
Chat messages about events, in the formats of Slack, Discord and Teams.

Sources: Slack "Incoming webhooks" (``text`` and ``attachments``, with link buttons), Discord "Execute Webhook"
(``embeds``, colours as integers; 256 characters of title, 4,096 of description, 1,024 of a field, none blank),
Microsoft "Adaptive Cards for incoming webhooks" (an ``attachments`` list with one card of at most 28 KB).

The text of a message is untrusted: it is escaped so that it can neither mention users nor hide a link's target.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from monitor.domain.delivery.alert_event import AlertEvent, cut, read_alert
from monitor.domain.text import escaped_json
from monitor.domain.vocab import BodyFormat, Severity

TEXT_MAX = 1_500
"""Characters of a payload that a message shows; every service takes at least 2,000 in all."""

FIELD_MAX = 1_024
"""Characters of a field of Discord."""

TITLE_MAX = 256
"""Characters of a title and of a fact."""

_COLOURS = {Severity.INFO: 0x2B6CB0, Severity.WARNING: 0xB7791F, Severity.CRITICAL: 0xC53030}
_RESOLVED = 0x2F855A
_PLAIN = 0x4A5568
_DISCORD_MARKUP = re.compile(r"[\\`*_~|<>\[\]]")
_ESCAPES = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.", re.DOTALL)
_TEAMS = {Severity.INFO: "accent", Severity.WARNING: "warning", Severity.CRITICAL: "attention"}


class ChatMessage(msgspec.Struct, frozen=True):
    """One chat message before a service shapes it. ``facts`` are pairs of label and value, neither blank; ``links`` of
    text and URL."""

    title: str
    text: str
    facts: tuple[tuple[str, str], ...] = ()
    colour: int = _PLAIN
    teams_colour: str = "default"
    links: tuple[tuple[str, str], ...] = ()


def render(body_format: BodyFormat, event_type: str, payload: bytes) -> bytes:
    """Return the body to send: *payload* byte for byte for ``STANDARD``, else a message about it. Total."""
    if body_format is BodyFormat.STANDARD:
        return payload
    message = message_of(event_type, payload)
    shapes = {BodyFormat.SLACK: _slack, BodyFormat.DISCORD: _discord, BodyFormat.TEAMS: _teams}
    return msgspec.json.encode(shapes[body_format](message))


def message_of(event_type: str, payload: bytes) -> ChatMessage:
    """Return an alert's sentence as the message of an event about it, of any other event its type and payload."""
    event = read_alert(event_type, payload)
    return _plain(event_type, payload) if event is None else _alert_message(event)


def _alert_message(event: AlertEvent) -> ChatMessage:
    severity = event.alert.severity
    return ChatMessage(
        title=cut(event.heading, TITLE_MAX),
        text=cut(event.sentence, TEXT_MAX),
        facts=tuple((label, cut(value, TITLE_MAX)) for label, value in event.facts().items()),
        links=event.links,
        colour=_RESOLVED if event.is_over else _COLOURS[severity],
        teams_colour="good" if event.is_over else _TEAMS[severity],
    )


def _plain(event_type: str, payload: bytes) -> ChatMessage:
    # Cut first: a shown character takes at most twelve bytes, as an escape.
    text = payload[: 12 * (TEXT_MAX + 1)].decode(errors="replace")
    return ChatMessage(cut(event_type, TITLE_MAX), cut(_readable(escaped_json(text)), TEXT_MAX))


def _readable(text: str) -> str:
    """Return JSON *text* with the escapes of visible characters replaced by the characters; it stays valid JSON."""
    return _ESCAPES.sub(_character, text)


def _character(escape: re.Match[str]) -> str:
    if len(escape[0]) < len(r"\u00fc"):
        return escape[0]
    character: str = json.loads(f'"{escape[0]}"')
    return character if character.isprintable() and character not in '"\\' else escape[0]


def _slack(message: ChatMessage) -> dict[str, Any]:
    fields = [
        {"title": _slack_text(label), "value": _slack_text(value), "short": True} for label, value in message.facts
    ]
    attachment = {
        "color": f"#{message.colour:06x}",
        "text": _slack_text(message.text),
        "fields": fields,
        "mrkdwn_in": [],
        "actions": [{"type": "button", "text": text, "url": url} for text, url in message.links],
    }
    return {"text": _slack_text(message.title), "attachments": [attachment]}


def _slack_text(text: str) -> str:
    """Escape mentions and links."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _discord(message: ChatMessage) -> dict[str, Any]:
    fields = [{"name": label, "value": _discord_text(value), "inline": True} for label, value in message.facts]
    if message.links:
        links = [f"[{text}]({url})" for text, url in message.links]
        while len(" · ".join(links)) > FIELD_MAX:
            links.pop()
        fields.append({"name": "Links", "value": " · ".join(links) or "–", "inline": False})
    text = _discord_text(message.text)
    embed = {"title": message.title, "description": text, "color": message.colour, "fields": fields}
    return {"embeds": [embed], "allowed_mentions": {"parse": []}}


def _discord_text(text: str) -> str:
    """Escape mentions, links and markup."""
    return _DISCORD_MARKUP.sub(r"\\\g<0>", text)


def _teams(message: ChatMessage) -> dict[str, Any]:
    title = {"text": message.title, "weight": "bolder", "color": message.teams_colour}
    facts = [{"title": label, "value": _teams_text(value)} for label, value in message.facts]
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [
            {"type": "TextBlock", "wrap": True, **title},
            {"type": "TextBlock", "wrap": True, "text": _teams_text(message.text)},
            *([{"type": "FactSet", "facts": facts}] if facts else []),
        ],
        "actions": [{"type": "Action.OpenUrl", "title": text, "url": url} for text, url in message.links],
    }
    return {
        "type": "message",
        "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "content": card}],
    }


def _teams_text(text: str) -> str:
    """
    Prevent links with a text of their own.

    Some clients ignore backslash escapes; an invisible character between text and address works in all.
    """
    return text.replace("](", "]\u200b(")
