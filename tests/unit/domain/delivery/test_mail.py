"""E-mails about events: what holds comes first, and nothing in a text becomes more than text."""

from __future__ import annotations

from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.alerts.notification import ACKNOWLEDGED, RAISED, RESOLVED
from monitor.domain.delivery.alert_event import ALERTS
from monitor.domain.delivery.body_formats import render_body
from monitor.domain.delivery.chat_formats import TITLE_MAX
from monitor.domain.delivery.mail import mail_about
from monitor.domain.vocab import BodyFormat
from tests.unit.domain.delivery.alert_events import PAGE, alert_payload, linked_payload, payloads, types


def test_a_mail_about_an_alert_says_what_holds_its_facts_and_where_to_look() -> None:
    payload = linked_payload(title="All of the last 5 attempts failed.")
    mail = mail_about(RAISED, payload)
    assert mail.subject == "[Critical] All of the last 5 attempts failed."
    alert = msgspec.json.decode(payload)["data"]["alert"]
    assert mail.alert_id == UUID(alert["id"])
    paragraphs = mail.text.split("\n\n")
    assert paragraphs[:2] == ["Critical alert raised.", "All of the last 5 attempts failed."]
    assert "Webhook: Orders\nSeverity: critical" in paragraphs[2]
    assert "\nTime: 20" in paragraphs[2]
    assert paragraphs[3].startswith(f"Open alert: {PAGE}#/alerts/{alert['id']}\nWebhook: {PAGE}#/webhooks/")
    assert mail.text.endswith("?ok=false\n")


@pytest.mark.parametrize(("event_type", "tag"), [(ACKNOWLEDGED, "Acknowledged"), (RESOLVED, "Resolved")])
def test_a_mail_about_an_end_does_not_read_like_one_about_a_beginning(event_type: str, tag: str) -> None:
    mail = mail_about(event_type, alert_payload(event_type))
    assert mail.subject.startswith(f"[{tag}] ")


def test_a_mail_without_links_or_time_has_none() -> None:
    members = msgspec.json.decode(alert_payload())
    del members["timestamp"]
    text = mail_about(RAISED, msgspec.json.encode(members)).text
    assert "Time:" not in text
    assert "http" not in text


def test_another_event_is_its_type_and_payload() -> None:
    mail = mail_about("order.paid", b'{"amount": 19.90}')
    assert (mail.subject, mail.text, mail.alert_id) == (
        "[Event] order.paid",
        'order.paid\n\n{"amount": 19.90}\n',
        None,
    )


@pytest.mark.parametrize("payload", [b"", b"no json", b"{}", b'{"data": {"alert": {"id": 1}}}', b"\xff", b"[" * 5000])
def test_what_is_no_alert_is_shown_as_it_is(payload: bytes) -> None:
    assert mail_about(RAISED, payload).alert_id is None


def test_a_title_in_several_lines_is_one_line_in_the_subject() -> None:
    mail = mail_about(RAISED, alert_payload(title="Down\r\nBcc: evil@example.org\u2028" + "x" * 600))
    assert mail.subject.startswith("[Critical] Down")
    assert len(mail.subject) == TITLE_MAX
    assert mail.subject.isprintable()


@given(types, payloads)
def test_any_event_makes_a_mail(event_type: str, payload: bytes) -> None:
    """Total: a subject in one printable line, and a text of bounded size in UTF-8."""
    mail = mail_about(event_type, payload)
    assert mail.subject.startswith("[")
    assert not set(mail.subject) & set("\r\n\x00\u2028\u202e")
    assert len(mail.subject) <= TITLE_MAX
    assert len(mail.text) < 8_000
    assert render_body(BodyFormat.EMAIL, event_type, payload).body.decode() == mail.text


@given(st.text(max_size=50).map(ALERTS.__add__))
def test_any_type_about_an_alert_makes_a_mail(event_type: str) -> None:
    """Whatever a newer version says of an alert."""
    assert mail_about(event_type, alert_payload()).alert_id is not None
