"""Events as chat messages: whatever the payload, a service accepts it, and it mentions or misleads no reader."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from monitor.domain.alerts import Alert
from monitor.domain.alerts.links import links_of
from monitor.domain.alerts.notification import FLAPPING, RAISED, RESOLVED, notification_of
from monitor.domain.delivery.alert_event import ALERTS
from monitor.domain.delivery.chat_formats import TEXT_MAX, TITLE_MAX, ChatMessage, message_of, render
from monitor.domain.delivery.lateness import as_sent
from monitor.domain.vocab import BodyFormat, Severity
from tests import strategies as our
from tests.strategies import json_texts
from tests.unit.domain.alerts.alert_stories import NOW, WEBHOOK
from tests.unit.domain.delivery.alert_events import PAGE, alert_payload, linked_payload, payloads, types

CHATS = [BodyFormat.SLACK, BodyFormat.DISCORD, BodyFormat.TEAMS]
MOST_BYTES = 28_000
"""What Teams takes; the others take more."""


def sent(body_format: BodyFormat, event_type: str, payload: bytes) -> Any:
    return msgspec.json.decode(render(body_format, event_type, payload))


def blocks(card: Any) -> list[Any]:
    body: list[Any] = card["attachments"][0]["content"]["body"]
    return body


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        (rb'{"name":"J\u00fcrgen M\u00FCller"}', '{"name":"Jürgen Müller"}'),
        (rb'"\ud83d\ude00"', '"😀"'),
        (rb'"\\u00fc \\\u00fc"', r'"\\u00fc \\ü"'),
        (rb'"\u0022 \u005c \u0000 \u202e \n"', r'"\u0022 \u005c \u0000 \u202e \n"'),
        (rb'"\ud800 \udc00\ud83d"', r'"\ud800 \udc00\ud83d"'),
        (rb'"\u00f', r'"\u00f'),
    ],
)
def test_escapes_of_visible_characters_are_shown_as_the_characters(payload: bytes, shown: str) -> None:
    assert message_of("order.paid", payload).text == shown


@given(json_texts)
def test_a_readable_payload_is_the_same_json(payload: bytes) -> None:
    """Law: what is shown of a payload, uncut, means what the payload means."""
    text = message_of("order.paid", payload).text
    assume(len(text) < TEXT_MAX)
    assert repr(json.loads(text)) == repr(json.loads(payload))


@given(types, st.binary())
def test_the_standard_body_is_the_payload(event_type: str, payload: bytes) -> None:
    """Byte for byte, whatever it is."""
    assert render(BodyFormat.STANDARD, event_type, payload) is payload


@given(st.sampled_from(CHATS), types, payloads)
def test_any_event_makes_a_message(body_format: BodyFormat, event_type: str, payload: bytes) -> None:
    """Total: the body is a JSON object of a size that every service takes."""
    body = render(body_format, event_type, payload)
    assert isinstance(msgspec.json.decode(body), dict)
    assert len(body) <= MOST_BYTES


@given(types, payloads)
def test_a_message_keeps_within_its_limits(event_type: str, payload: bytes) -> None:
    """Titles and facts are short, texts are cut, and no fact is blank."""
    message = message_of(event_type, payload)
    assert len(message.title) <= TITLE_MAX
    assert len(message.text) <= TEXT_MAX
    assert all(label.strip() and value.strip() and len(value) <= TITLE_MAX for label, value in message.facts)


@given(types, payloads)
def test_discord_takes_it(event_type: str, payload: bytes) -> None:
    """The limits of an embed hold, and no mention is parsed."""
    body = sent(BodyFormat.DISCORD, event_type, payload)
    (embed,) = body["embeds"]
    texts = [embed["title"], embed["description"], *(field["value"] for field in embed["fields"])]
    assert len(embed["title"]) <= 256
    assert len(embed["description"]) <= 4_096
    assert all(1 <= len(field["value"]) <= 1_024 for field in embed["fields"])
    assert sum(map(len, texts)) + sum(len(field["name"]) for field in embed["fields"]) <= 6_000
    assert 0 <= embed["color"] <= 0xFFFFFF
    assert body["allowed_mentions"] == {"parse": []}
    for text in [embed["description"], *(field["value"] for field in embed["fields"] if field["name"] != "Links")]:
        assert not re.search(r"(?<!\\)(\\\\)*[<>\[\]*`~|_]", text)


@given(types, payloads)
def test_slack_sees_neither_mentions_nor_links(event_type: str, payload: bytes) -> None:
    """No text holds a bare angle bracket, and every ampersand begins an entity."""
    body = sent(BodyFormat.SLACK, event_type, payload)
    (attachment,) = body["attachments"]
    for text in [body["text"], attachment["text"], *(field["value"] for field in attachment["fields"])]:
        assert not re.search(r"[<>]|&(?!(amp|lt|gt);)", text)
    assert attachment["mrkdwn_in"] == []
    assert re.fullmatch(r"#[0-9a-f]{6}", attachment["color"])


@given(types, payloads)
def test_teams_hides_no_link(event_type: str, payload: bytes) -> None:
    """No text or fact holds a Markdown link, and there is no list of facts without facts."""
    body = sent(BodyFormat.TEAMS, event_type, payload)
    title, text, *facts = blocks(body)
    assert all(action["type"] == "Action.OpenUrl" for action in body["attachments"][0]["content"]["actions"])
    assert title["color"] in {"default", "accent", "good", "warning", "attention"}
    assert "](" not in text["text"]
    for block in facts:
        assert block["facts"]
        assert all("](" not in fact["value"] for fact in block["facts"])


def test_an_alert_is_shown_as_its_sentence() -> None:
    payload = alert_payload(acknowledged_by="ada", note="Looking.")
    assert message_of(RAISED, payload) == ChatMessage(
        title="Critical alert raised",
        text="Orders is unavailable.",
        facts=(
            ("Webhook", "Orders"),
            ("Severity", "critical"),
            ("Kind", "failing"),
            ("Times", "1"),
            ("Time", f"{NOW:%Y-%m-%d %H:%M:%S} UTC"),
            ("Acknowledged by", "ada"),
            ("Note", "Looking."),
        ),
        colour=0xC53030,
        teams_colour="attention",
    )


@pytest.mark.parametrize("body_format", CHATS)
def test_a_late_message_says_so(body_format: BodyFormat) -> None:
    payload = as_sent(RAISED, alert_payload(), NOW + timedelta(minutes=18, seconds=10))
    assert message_of(RAISED, payload).title == "Critical alert raised (18 minutes late)"
    assert "18 minutes late" in render(body_format, RAISED, payload).decode()


@pytest.mark.parametrize("body_format", CHATS)
def test_the_sentence_of_an_alert_reaches_every_chat(body_format: BodyFormat) -> None:
    body = render(body_format, RAISED, alert_payload()).decode()
    assert "Critical alert raised" in body
    assert "Orders is unavailable." in body


def test_an_alert_about_all_webhooks_names_none() -> None:
    payload = msgspec.json.decode(alert_payload())
    payload["data"]["webhook"] = None
    assert "Webhook" not in dict(message_of(RAISED, msgspec.json.encode(payload)).facts)


@pytest.mark.parametrize(
    ("severity", "event_type", "colours"),
    [
        (Severity.INFO, RAISED, (0x2B6CB0, "accent")),
        (Severity.WARNING, FLAPPING, (0xB7791F, "warning")),
        (Severity.CRITICAL, RAISED, (0xC53030, "attention")),
        (Severity.CRITICAL, RESOLVED, (0x2F855A, "good")),
    ],
)
def test_the_colour_shows_the_severity(severity: Severity, event_type: str, colours: tuple[int, str]) -> None:
    message = message_of(event_type, alert_payload(event_type, severity=severity))
    assert (message.colour, message.teams_colour) == colours


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"not json",
        b"[]",
        b'{"data": {"alert": {}}}',
        b'{"data": {"alert": {"title": "x", "severity": "grave", "kind": "k", "count": 1}}}',
        b'{"data": {"alert": {"title": "\xff", "severity": "info", "kind": "k", "count": 1}}}',
        b'{"data": {"alert": {"title": "\\ud800", "severity": "info", "kind": "k", "count": 1}}}',
        b'{"x": ' + b"[" * 50_000,
    ],
    ids=["empty", "text", "list", "members missing", "severity", "utf-8", "surrogate", "deep"],
)
def test_an_alert_that_cannot_be_read_is_shown_as_it_is(payload: bytes) -> None:
    message = message_of(RAISED, payload)
    assert message.title == RAISED
    assert message.facts == ()
    assert message.text[:20] == payload.decode(errors="replace")[:20]


def test_any_other_event_is_shown_by_its_type_and_payload() -> None:
    assert message_of("order.paid", b'{"amount": 1}') == ChatMessage("order.paid", '{"amount": 1}')


def test_long_payloads_end_with_an_ellipsis() -> None:
    assert message_of("order.paid", b"x" * TEXT_MAX).text == "x" * TEXT_MAX
    assert message_of("order.paid", b"x" * (TEXT_MAX + 1)).text == "x" * (TEXT_MAX - 1) + "…"


def test_what_would_reorder_a_message_is_escaped_or_replaced() -> None:
    message = message_of("order.paid", '{"a": "pay\u202epal"}'.encode())
    assert message.text == r'{"a": "pay\u202epal"}'
    alert = {"title": "pay\u202epal fails", "severity": "info", "kind": "failing", "count": 1, "note": "\x1b[31mred"}
    message = message_of(RAISED, msgspec.json.encode({"data": {"alert": alert, "webhook": {"name": "\u2066x"}}}))
    assert message.text == "pay\ufffdpal fails"
    assert {"\ufffd[31mred", "\ufffdx"} <= {value for _, value in message.facts}


def test_a_payload_cannot_mention_users() -> None:
    slack = sent(BodyFormat.SLACK, "order.paid", b"<!channel> <@U1> & @here")
    assert slack["attachments"][0]["text"] == "&lt;!channel&gt; &lt;@U1&gt; &amp; @here"
    discord = sent(BodyFormat.DISCORD, "order.paid", b"<@1> [safe](http://evil)")
    assert discord["embeds"][0]["description"] == r"\<@1\> \[safe\](http://evil)"
    _, text = blocks(sent(BodyFormat.TEAMS, "order.paid", b"[safe](http://evil)"))
    assert text["text"] == "[safe]\u200b(http://evil)"


@given(st.sampled_from(CHATS), our.alert_event_types, our.alerts)
def test_every_announcement_is_understood(body_format: BodyFormat, event_type: str, alert: Alert) -> None:
    """What Monitor tells of an alert is never shown as raw JSON."""
    made = notification_of(event_type, alert, "Orders", {})
    message = message_of(event_type, made.payload)
    assert message.title == f"{alert.severity.capitalize()} alert {event_type.removeprefix(ALERTS)}"
    assert alert.title in message.text
    assert ("Times", str(alert.count)) in message.facts
    assert isinstance(sent(body_format, event_type, made.payload), dict)


def test_messages_link_to_the_alert_its_webhook_and_the_failed_attempts() -> None:
    payload = linked_payload()
    links = links_of(PAGE, msgspec.json.decode(payload)["data"]["alert"]["id"], WEBHOOK)
    urls = [links.alert, links.webhook, links.failed_attempts]
    texts = ["Open alert", "Webhook", "Failed attempts"]
    (attachment,) = sent(BodyFormat.SLACK, RAISED, payload)["attachments"]
    assert attachment["actions"] == [
        {"type": "button", "text": text, "url": url} for text, url in zip(texts, urls, strict=True)
    ]
    card = sent(BodyFormat.TEAMS, RAISED, payload)["attachments"][0]["content"]
    assert [(action["title"], action["url"]) for action in card["actions"]] == list(zip(texts, urls, strict=True))
    (embed,) = sent(BodyFormat.DISCORD, RAISED, payload)["embeds"]
    shown = " · ".join(f"[{text}]({url})" for text, url in zip(texts, urls, strict=True))
    assert embed["fields"][-1] == {"name": "Links", "value": shown, "inline": False}


@pytest.mark.parametrize("url", ["javascript:alert(1)", f"{PAGE}) [x](http://evil", f"{PAGE}|x>", "", 7])
def test_a_link_that_is_none_is_left_out(url: object) -> None:
    payload = msgspec.json.decode(linked_payload()) | {"links": {"alert": url}}
    assert message_of(RAISED, msgspec.json.encode(payload)).links == ()
