"""Bodies for pagers and push services: they keep to the API, and each alert is one incident there."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.alerts.notification import ACKNOWLEDGED, FLAPPING, RAISED, RESOLVED, sample_notification
from monitor.domain.delivery.body_formats import render_body
from monitor.domain.delivery.formats.alertmanager import OPEN_FOR, SAMPLE_FOR
from monitor.domain.delivery.formats.ntfy import MESSAGE_BYTES, QUERY_MAX
from monitor.domain.delivery.ping import PING_TYPE, ping_payload
from monitor.domain.delivery.rendered import JSON, TEXT, RenderedBody
from monitor.domain.vocab import PAGERS, BodyFormat, Severity
from tests.unit.domain.alerts.alert_stories import NOW, WEBHOOK
from tests.unit.domain.delivery.alert_events import PAGE, alert_payload, linked_payload, payloads, types

KEY = "0123456789abcdef0123456789abcdef"
SCHEMAS = Path(__file__).parent / "schemas"
ALERT_ID = msgspec.json.decode(alert_payload())["data"]["alert"]["id"]
RESOLVED_AT = NOW + timedelta(minutes=12)
NEW_FORMATS = [*sorted(PAGERS), BodyFormat.NTFY, BodyFormat.GOOGLECHAT]


def schema(name: str) -> jsonschema.Draft202012Validator:
    text = (SCHEMAS / f"{name}.json").read_text(encoding="utf-8")
    return jsonschema.Draft202012Validator(json.loads(text), format_checker=jsonschema.FormatChecker(["date-time"]))


VALID = {name: schema(name) for name in ("pagerduty", "opsgenie_create", "opsgenie_action", "alertmanager")}
VALID |= {name: schema(name) for name in ("googlechat", "ntfy")}


def made(body_format: BodyFormat, event_type: str = RAISED, payload: bytes | None = None) -> RenderedBody:
    return render_body(body_format, event_type, linked_payload(event_type) if payload is None else payload, KEY)


def sent(body_format: BodyFormat, event_type: str = RAISED, payload: bytes | None = None) -> Any:
    return msgspec.json.decode(made(body_format, event_type, payload).body)


def resolved(**changes: Any) -> bytes:
    return linked_payload(RESOLVED, **{"resolved_at": RESOLVED_AT, "resolved_by": "system"} | changes)


@given(st.sampled_from(NEW_FORMATS), types, payloads)
def test_any_event_makes_a_request_that_the_api_takes(body_format: BodyFormat, event_type: str, payload: bytes) -> None:
    """Total: body, path and query keep to the recorded schema, and to what a URL and a request may hold."""
    request = made(body_format, event_type, payload)
    assert re.fullmatch(r"(/[A-Za-z0-9._~%-]+)*", request.path)
    assert re.fullmatch(r"[A-Za-z0-9._~%&=+*-]*", request.query)
    assert len(request.path + request.query) <= QUERY_MAX
    if body_format is BodyFormat.NTFY:
        assert 0 < len(request.body.decode().encode()) <= MESSAGE_BYTES
        VALID["ntfy"].validate(dict(parse_qsl(request.query)))
        return
    names = {"opsgenie": "opsgenie_action" if request.path else "opsgenie_create"}
    VALID[names.get(body_format, body_format)].validate(msgspec.json.decode(request.body))
    assert len(request.body) <= 32_000


@given(st.sampled_from([*BodyFormat]), types, payloads)
def test_every_attempt_sends_the_same(body_format: BodyFormat, event_type: str, payload: bytes) -> None:
    """Law: a retry, or a duplicate, is no other request."""
    assert made(body_format, event_type, payload) == made(body_format, event_type, payload)


@pytest.mark.parametrize("body_format", BodyFormat)
def test_the_type_of_the_content_is_that_of_the_body(body_format: BodyFormat) -> None:
    assert made(body_format).content_type == (TEXT if body_format in (BodyFormat.NTFY, BodyFormat.EMAIL) else JSON)


def test_pagerduty_gets_one_incident_for_each_alert() -> None:
    events = {RAISED: "trigger", ACKNOWLEDGED: "acknowledge", RESOLVED: "resolve", FLAPPING: "trigger"}
    for event_type, action in events.items():
        body = sent(BodyFormat.PAGERDUTY, event_type)
        assert (body["event_action"], body["dedup_key"], body["routing_key"]) == (action, ALERT_ID, KEY)


def test_pagerduty_shows_the_alert_with_its_links() -> None:
    body = sent(BodyFormat.PAGERDUTY)
    assert body["payload"] == {
        "summary": "Orders is unavailable.",
        "source": "Orders",
        "severity": "critical",
        "timestamp": NOW.isoformat().replace("+00:00", "Z"),
        "class": "failing",
        "custom_details": body["payload"]["custom_details"],
    }
    assert body["payload"]["custom_details"]["Kind"] == "failing"
    assert body["client_url"] == f"{PAGE}#/alerts/{ALERT_ID}"
    assert [link["text"] for link in body["links"]] == ["Open alert", "Webhook", "Failed attempts"]
    everything = sent(BodyFormat.PAGERDUTY, RAISED, alert_payload(webhook=None))
    assert everything["payload"]["source"] == "all webhooks"
    assert "client_url" not in everything


def test_without_a_routing_key_the_body_has_none() -> None:
    assert b"routing_key" not in render_body(BodyFormat.PAGERDUTY, RAISED, alert_payload()).body


def test_opsgenie_is_asked_for_each_action_at_its_own_path() -> None:
    create = made(BodyFormat.OPSGENIE)
    assert create.url("https://api.opsgenie.com/v2/alerts") == "https://api.opsgenie.com/v2/alerts"
    assert msgspec.json.decode(create.body)["alias"] == ALERT_ID
    ack = made(BodyFormat.OPSGENIE, ACKNOWLEDGED, linked_payload(ACKNOWLEDGED, acknowledged_by="ada", note="Looking."))
    assert ack.url("https://api.opsgenie.com/v2/alerts/") == (
        f"https://api.opsgenie.com/v2/alerts/{ALERT_ID}/acknowledge?identifierType=alias"
    )
    assert msgspec.json.decode(ack.body) == {"source": "Monitor", "user": "ada", "note": "Looking."}
    close = made(BodyFormat.OPSGENIE, RESOLVED, resolved(resolved_by="ada"))
    assert close.path == f"/{ALERT_ID}/close"
    assert msgspec.json.decode(close.body)["note"].startswith("Resolved by ada after 12 minutes.")


@pytest.mark.parametrize(
    ("severity", "priority"), [(Severity.CRITICAL, "P1"), (Severity.WARNING, "P3"), (Severity.INFO, "P5")]
)
def test_opsgenies_priority_is_the_severity(severity: Severity, priority: str) -> None:
    body = sent(BodyFormat.OPSGENIE, RAISED, linked_payload(severity=severity))
    assert body["priority"] == priority
    assert f"Open alert: {PAGE}#/alerts/{ALERT_ID}" in body["description"]


def active(alerts: Any, at: datetime) -> list[Any]:
    """Return which of *alerts* are active for Alertmanager at *at*."""
    return [a for a in alerts if datetime.fromisoformat(a["startsAt"]) <= at < datetime.fromisoformat(a["endsAt"])]


def test_alertmanager_has_one_active_alert_until_it_is_resolved() -> None:
    soon, far = NOW + timedelta(minutes=6), NOW + OPEN_FOR - timedelta(seconds=1)
    for event_type in (RAISED, ACKNOWLEDGED, FLAPPING):
        for at in (soon, far):
            (alert,) = active(sent(BodyFormat.ALERTMANAGER, event_type), at)
            assert alert["labels"] == {
                "alertname": "Monitor failing",
                "alert_id": ALERT_ID,
                "severity": "critical",
            }
            assert alert["generatorURL"] == f"{PAGE}#/alerts/{ALERT_ID}"
            assert alert["annotations"]["summary"] == "Orders is unavailable."
            assert alert["annotations"]["failed_attempts_url"].endswith("?ok=false")
    assert active(sent(BodyFormat.ALERTMANAGER, RESOLVED, resolved()), RESOLVED_AT) == []


def test_another_severity_ends_the_one_before_at_alertmanager() -> None:
    alerts = {a["labels"]["severity"]: a for a in sent(BodyFormat.ALERTMANAGER, RAISED, linked_payload())}
    assert set(alerts) == set(Severity)
    assert [a["labels"]["severity"] for a in active(alerts.values(), NOW + timedelta(minutes=1))] == ["critical"]


def test_a_sample_ends_by_itself_at_alertmanager() -> None:
    payload = sample_notification(WEBHOOK, WEBHOOK, NOW).payload
    alerts = sent(BodyFormat.ALERTMANAGER, RAISED, payload)
    assert len(active(alerts, NOW + SAMPLE_FOR / 2)) == 1
    assert active(alerts, NOW + SAMPLE_FOR) == []


@pytest.mark.parametrize("event_type", [PING_TYPE, "order.paid"])
def test_what_is_no_alert_opens_nothing_at_a_pager(event_type: str) -> None:
    payload = ping_payload(WEBHOOK, WEBHOOK)
    assert sent(BodyFormat.PAGERDUTY, event_type, payload)["event_action"] == "resolve"
    assert made(BodyFormat.OPSGENIE, event_type, payload).path == f"/{event_type}/close"
    (alert,) = sent(BodyFormat.ALERTMANAGER, event_type, payload)
    assert active([alert], NOW) == []


@pytest.mark.parametrize(
    ("event_type", "payload", "looks"),
    [
        (RAISED, linked_payload(), ("5", "rotating_light")),
        (RAISED, linked_payload(severity=Severity.WARNING), ("4", "warning")),
        (RAISED, linked_payload(severity=Severity.INFO), ("3", "information_source")),
        (RESOLVED, resolved(), ("3", "white_check_mark")),
    ],
)
def test_ntfys_priority_is_the_severity(event_type: str, payload: bytes, looks: tuple[str, str]) -> None:
    query = parse_qs(made(BodyFormat.NTFY, event_type, payload).query)
    assert (query["priority"], query["tags"]) == ([looks[0]], [looks[1]])
    assert query["sequence-id"] == [ALERT_ID]


def test_ntfy_gets_a_text_with_links() -> None:
    request = made(BodyFormat.NTFY, RAISED, linked_payload(acknowledged_by="ada"))
    assert request.url("https://ntfy.sh/topic").startswith("https://ntfy.sh/topic?title=Critical+alert+raised&")
    assert request.body.decode().splitlines() == [
        "Orders is unavailable.",
        "Webhook: Orders",
        f"Time: {NOW:%Y-%m-%d %H:%M:%S} UTC",
        "Acknowledged by: ada",
    ]
    query = parse_qs(request.query)
    assert query["click"] == [f"{PAGE}#/alerts/{ALERT_ID}"]
    (actions,) = query["actions"]
    assert [action["label"] for action in json.loads(actions)] == ["Open alert", "Webhook", "Failed attempts"]


def test_without_links_ntfy_gets_none() -> None:
    query = parse_qs(made(BodyFormat.NTFY, RAISED, alert_payload()).query)
    assert query["title"] == ["Critical alert raised"]
    assert query.keys().isdisjoint({"click", "actions"})


def test_links_that_the_url_does_not_hold_are_left_out() -> None:
    long = msgspec.json.decode(linked_payload()) | {"links": {"alert": PAGE + "a" * 700, "webhook": PAGE}}
    query = parse_qs(made(BodyFormat.NTFY, RAISED, msgspec.json.encode(long)).query)
    assert "click" in query
    assert "actions" not in query


def test_any_other_event_is_shown_by_its_type_and_payload() -> None:
    request = made(BodyFormat.NTFY, "order.paid", b'{"amount": 1}')
    assert (request.body, request.query) == (b'{"amount": 1}', "title=order.paid")
    assert made(BodyFormat.NTFY, "order.paid", b"").body == b"-"
    card = sent(BodyFormat.GOOGLECHAT, "order.paid", b"<b>1</b> & <users/all>")
    assert "thread" not in card
    (section,) = card["cardsV2"][0]["card"]["sections"]
    assert section["widgets"] == [{"textParagraph": {"text": "&lt;b&gt;1&lt;/b&gt; &amp; &lt;users/all&gt;"}}]


def test_google_chat_keeps_an_alert_in_one_thread() -> None:
    request = made(BodyFormat.GOOGLECHAT)
    base = "https://chat.googleapis.com/v1/spaces/A/messages?key=k&token=t"
    assert request.url(base) == f"{base}&messageReplyOption=REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD"
    body = msgspec.json.decode(request.body)
    assert body["thread"] == {"threadKey": ALERT_ID}
    card = body["cardsV2"][0]["card"]
    assert card["header"]["title"] == "Critical alert raised"
    buttons = card["sections"][0]["widgets"][-1]["buttonList"]["buttons"]
    assert buttons[0] == {"text": "Open alert", "onClick": {"openLink": {"url": f"{PAGE}#/alerts/{ALERT_ID}"}}}


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("https://a.example/x", "https://a.example/x/y?q=1"),
        ("https://a.example/x/", "https://a.example/x/y?q=1"),
        ("https://a.example/x?p=2", "https://a.example/x/y?p=2&q=1"),
        ("https://a.example/x?", "https://a.example/x/y?q=1"),
    ],
)
def test_a_path_goes_below_the_url_and_a_query_behind_it(base: str, url: str) -> None:
    assert RenderedBody(b"", "/y", "q=1").url(base) == url


@pytest.mark.parametrize("base", ["https://a.example/x/", "https://a.example/x?", "https://a.example/?p=/y?z"])
def test_without_an_addition_the_url_stays_as_it_is(base: str) -> None:
    assert RenderedBody(b"").url(base) == base
