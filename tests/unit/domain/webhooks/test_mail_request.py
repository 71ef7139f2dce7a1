"""The e-mail of a message: repeats can be recognised, and an alert is one thread."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from monitor.domain.alerts.notification import RAISED, RESOLVED
from monitor.domain.delivery.mail import email
from monitor.domain.delivery.request import OutboundRequest
from monitor.domain.vocab import SignatureScheme
from monitor.domain.webhooks.destination import Destination
from monitor.domain.webhooks.outbound import outbound_request
from tests.unit.domain.delivery.alert_events import alert_payload

AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOOK, OTHER = UUID(int=1), UUID(int=2)


def request(
    message_id: str = "e1", event_type: str = RAISED, payload: bytes | None = None, webhook_id: UUID = HOOK
) -> OutboundRequest:
    return outbound_request(
        Destination("mailto:ops@example.org", 9.0, (), SignatureScheme.V1, (b"k" * 32,)),
        webhook_id=webhook_id,
        message_id=message_id,
        event_type=event_type,
        payload=alert_payload() if payload is None else payload,
        at=AT,
        sign_v1a=lambda _key, _content: "",
    )


def fields(made: OutboundRequest) -> dict[str, str]:
    return dict(made.headers)


def test_a_mail_has_a_date_says_that_a_machine_wrote_it_and_is_not_signed() -> None:
    made = request()
    assert (made.url, made.timeout_s) == ("mailto:ops@example.org", 9.0)
    assert made.body == email(RAISED, alert_payload()).body
    assert fields(made)["Date"] == "Mon, 02 Mar 2026 12:00:00 +0000"
    assert fields(made)["Auto-Submitted"] == "auto-generated"
    assert fields(made)["X-Monitor-Event-Type"] == RAISED
    assert not [name for name, _ in made.headers if name.startswith("webhook")]


def test_a_repeat_has_the_message_id_of_the_first_attempt_and_another_delivery_another() -> None:
    first = fields(request())["Message-ID"]
    assert fields(request())["Message-ID"] == first
    assert len({first, fields(request("e2"))["Message-ID"], fields(request(webhook_id=OTHER))["Message-ID"]}) == 3


def test_all_mails_about_an_alert_refer_to_one_id_which_is_that_of_none_of_them() -> None:
    mails = [fields(request("e1")), fields(request("e2", RESOLVED, alert_payload(RESOLVED)))]
    threads = {mail["References"] for mail in mails}
    assert len(threads) == 1
    assert {mail["In-Reply-To"] for mail in mails} == threads
    assert not threads & {mail["Message-ID"] for mail in mails}
    assert len({mail["X-Monitor-Alert-Id"] for mail in mails}) == 1


def test_another_event_belongs_to_no_thread() -> None:
    assert not {"References", "In-Reply-To", "X-Monitor-Alert-Id"} & fields(request(event_type="order.paid")).keys()
