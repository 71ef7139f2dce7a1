"""Signed requests, checked by the reference verifier where it can."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from msgspec.structs import replace
from standardwebhooks import Webhook as Verifier

from monitor.domain.delivery.formats.pagerduty import ROUTING_KEY
from monitor.domain.delivery.rendered import TEXT, RenderedBody
from monitor.domain.delivery.request import OutboundRequest
from monitor.domain.vocab import BodyFormat, SignatureScheme
from monitor.domain.webhooks.destination import Destination
from monitor.domain.webhooks.signatures import encode_secret
from monitor.domain.webhooks.signed_request import signed_request

BODY = b'{"amount":  1}'
NEW, OLD = b"n" * 32, b"o" * 32


def destination(signature: SignatureScheme = SignatureScheme.V1) -> Destination:
    return Destination("https://orders.example/hook", 7.5, (("X-Team", "blue"),), signature, (NEW, OLD))


def headers(signature: SignatureScheme = SignatureScheme.V1, at: datetime | None = None) -> dict[str, str]:
    request = signed_request(
        destination(signature),
        message_id="msg_1",
        event_type="order.paid",
        body=RenderedBody(BODY),
        at=at or datetime(2026, 3, 1, 12, 0, 0, 999_999, tzinfo=UTC),
        sign_v1a=lambda key, content: f"v1a,{key[:1].decode()}:{len(content)}",
    )
    assert (request.url, request.body, request.timeout_s) == ("https://orders.example/hook", BODY, 7.5)
    return dict(request.headers)


def test_a_request_carries_the_standard_headers_and_then_its_own() -> None:
    made = headers()
    assert list(made) == [
        "content-type",
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
        "monitor-event-type",
        "X-Team",
    ]
    assert made["webhook-timestamp"] == "1772366400"
    assert made["monitor-event-type"] == "order.paid"


def test_every_live_key_signs_so_that_receivers_can_rotate() -> None:
    # The reference verifier compares with the real time.
    now = datetime.fromtimestamp(time.time(), UTC)  # noqa: TID251
    made = headers(at=now)
    for key in (NEW, OLD):
        assert Verifier(encode_secret(key)).verify(BODY, made) == {"amount": 1}


def test_a_webhook_that_chose_ed25519_is_signed_by_it() -> None:
    length = len(b"msg_1.1772366400.") + len(BODY)
    assert headers(SignatureScheme.V1A)["webhook-signature"] == f"v1a,n:{length} v1a,o:{length}"


def sent(body_format: BodyFormat, body: RenderedBody) -> OutboundRequest:
    fields = (("X-Team", "blue"), (ROUTING_KEY.upper(), "key"))
    to = Destination("https://a.example/x?y=1", 7.5, fields, SignatureScheme.V1, (NEW,), body_format)
    at = datetime(2026, 3, 1, tzinfo=UTC)
    return signed_request(to, message_id="1", event_type="a", body=body, at=at, sign_v1a=lambda *_: "")


def test_a_format_adds_to_the_url_and_sets_the_type_of_the_content() -> None:
    request = sent(BodyFormat.NTFY, RenderedBody(BODY, "/z", "q=2", TEXT))
    assert request.url == "https://a.example/x/z?y=1&q=2"
    assert dict(request.headers)["content-type"] == TEXT


def test_the_routing_key_of_pagerduty_is_no_header_of_the_request() -> None:
    assert "key" not in dict(sent(BodyFormat.PAGERDUTY, RenderedBody(BODY)).headers).values()
    assert dict(sent(BodyFormat.STANDARD, RenderedBody(BODY)).headers)[ROUTING_KEY.upper()] == "key"
    fields = (("x-routing-key", "key"),)
    to = Destination("https://a.example/", 1.0, fields, SignatureScheme.V1, (), BodyFormat.PAGERDUTY)
    assert to.routing_key == "key"
    assert Destination("https://a.example/", 1.0, fields, SignatureScheme.V1, ()).routing_key == ""


def test_the_trace_of_the_event_takes_the_place_of_a_stored_header() -> None:
    own = (("X-Team", "blue"), ("Traceparent", "old"))
    of_its_own = replace(destination(), headers=own)
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    def sent(traceparent: str | None) -> list[tuple[str, str]]:
        request = signed_request(
            of_its_own,
            message_id="msg_1",
            event_type="order.paid",
            body=RenderedBody(BODY),
            at=datetime(2026, 3, 1, tzinfo=UTC),
            sign_v1a=lambda _key, _content: "v1a,x",
            traceparent=traceparent,
        )
        return list(request.headers[5:])

    assert sent(None) == [("X-Team", "blue"), ("Traceparent", "old")]
    assert sent(trace) == [("X-Team", "blue"), ("traceparent", trace)]
