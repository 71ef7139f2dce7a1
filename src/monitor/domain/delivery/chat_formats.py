"""
Chat messages about events, in the formats of Slack, Discord and Teams.

Sources: Slack "Incoming webhooks" (``text`` and ``attachments``), Discord "Execute Webhook" (``embeds``, colours as
integers; 256 characters of title, 4,096 of description, 1,024 of a field, which may not be blank), Microsoft "Adaptive
Cards for incoming webhooks" (an ``attachments`` list with one card of at most 28 KB).

The text of a message is untrusted: it is escaped so that it can neither mention users nor hide a link's target.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from monitor.domain.text import escaped_json, safe_text
from monitor.domain.vocab import BodyFormat, Severity

ALERTS = "monitor.alert."
"""Prefix of the types of events about alerts."""

TEXT_MAX = 1_500
"""Characters of a payload that a message shows; every service takes at least 2,000 in all."""

TITLE_MAX = 256
"""Characters of a title and of a fact."""

_COLOURS = {Severity.INFO: 0x2B6CB0, Severity.WARNING: 0xB7791F, Severity.CRITICAL: 0xC53030}
_RESOLVED = 0x2F855A
_PLAIN = 0x4A5568
_DISCORD_MARKUP = re.compile(r"[\\`*_~|<>\[\]]")
_ESCAPES = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.", re.DOTALL)
_TEAMS = {Severity.INFO: "accent", Severity.WARNING: "warning", Severity.CRITICAL: "attention"}


class ChatMessage(msgspec.Struct, frozen=True):
    """One chat message before a service shapes it. ``facts`` are pairs of label and value, neither blank."""

    title: str
    text: str
    facts: tuple[tuple[str, str], ...] = ()
    colour: int = _PLAIN
    teams_colour: str = "default"


def render(body_format: BodyFormat, event_type: str, payload: bytes) -> bytes:
    """Return the body to send: *payload* byte for byte for ``STANDARD``, else a message about it. Total."""
    if body_format is BodyFormat.STANDARD:
        return payload
    message = message_of(event_type, payload)
    shapes = {BodyFormat.SLACK: _slack, BodyFormat.DISCORD: _discord, BodyFormat.TEAMS: _teams}
    return msgspec.json.encode(shapes[body_format](message))


def message_of(event_type: str, payload: bytes) -> ChatMessage:
    """Return an alert's sentence as the message of an event about it, of any other event its type and payload."""
    if not event_type.startswith(ALERTS):
        return _plain(event_type, payload)
    try:
        data = msgspec.json.decode(payload, type=_Payload).data
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _plain(event_type, payload)
    return _alert_message(event_type.removeprefix(ALERTS), data)


class _AlertPart(msgspec.Struct):
    title: str
    severity: Severity
    kind: str
    count: int
    acknowledged_by: str | None = None
    note: str | None = None


class _WebhookPart(msgspec.Struct):
    name: str | None = None


class _Data(msgspec.Struct):
    alert: _AlertPart
    webhook: _WebhookPart | None = None


class _Payload(msgspec.Struct):
    data: _Data


def _alert_message(verb: str, data: _Data) -> ChatMessage:
    alert = data.alert
    facts = {
        "Webhook": data.webhook and data.webhook.name,
        "Severity": alert.severity.value,
        "Kind": alert.kind,
        "Times": str(alert.count),
        "Acknowledged by": alert.acknowledged_by,
        "Note": alert.note,
    }
    resolved = verb == "resolved"
    return ChatMessage(
        title=_cut(f"{alert.severity.capitalize()} alert {verb}", TITLE_MAX),
        text=_cut(safe_text(alert.title), TEXT_MAX),
        facts=tuple(
            (label, _cut(safe_text(value), TITLE_MAX)) for label, value in facts.items() if value and value.strip()
        ),
        colour=_RESOLVED if resolved else _COLOURS[alert.severity],
        teams_colour="good" if resolved else _TEAMS[alert.severity],
    )


def _plain(event_type: str, payload: bytes) -> ChatMessage:
    # Cut first: a shown character takes at most twelve bytes, as an escape.
    text = payload[: 12 * (TEXT_MAX + 1)].decode(errors="replace")
    return ChatMessage(_cut(event_type, TITLE_MAX), _cut(_readable(escaped_json(text)), TEXT_MAX))


def _readable(text: str) -> str:
    """Return JSON *text* with the escapes of visible characters replaced by the characters; it stays valid JSON."""
    return _ESCAPES.sub(_character, text)


def _character(escape: re.Match[str]) -> str:
    if len(escape[0]) < len(r"\u00fc"):
        return escape[0]
    character: str = json.loads(f'"{escape[0]}"')
    return character if character.isprintable() and character not in '"\\' else escape[0]


def _cut(text: str, max_length: int) -> str:
    return text if len(text) <= max_length else text[: max_length - 1] + "…"


def _slack(message: ChatMessage) -> dict[str, Any]:
    fields = [
        {"title": _slack_text(label), "value": _slack_text(value), "short": True} for label, value in message.facts
    ]
    return {
        "text": _slack_text(message.title),
        "attachments": [
            {"color": f"#{message.colour:06x}", "text": _slack_text(message.text), "fields": fields, "mrkdwn_in": []}
        ],
    }


def _slack_text(text: str) -> str:
    """Escape mentions and links."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _discord(message: ChatMessage) -> dict[str, Any]:
    fields = [{"name": label, "value": _discord_text(value), "inline": True} for label, value in message.facts]
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
