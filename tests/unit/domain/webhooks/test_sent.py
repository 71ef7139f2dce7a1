"""What an attempt sent is found again, and so is the secret that signed it."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.delivery.body_formats import render_body
from monitor.domain.delivery.exchange import HeaderField, RequestBody, StoredExchange
from monitor.domain.delivery.lateness import as_sent
from monitor.domain.delivery.rendered import RenderedBody
from monitor.domain.vocab import BodyFormat, SignatureScheme, SigningSecret
from monitor.domain.webhooks.destination import Destination
from monitor.domain.webhooks.sent import sent_body, signing_secret, without_key
from monitor.domain.webhooks.signed_request import signed_request

TYPE = "order.paid"
ALERT_TYPE = "monitor.alert.raised"
PAYLOAD = b'{"amount": 19.90}'
NEW, OLD, LOST = b"n" * 32, b"o" * 32, b"l" * 32
FORMATS = list(BodyFormat)
AT = datetime(2026, 3, 2, 12, 0, 30, 250_000, tzinfo=UTC)
ALERT = b'{"type":"monitor.alert.raised","timestamp":"2026-03-02T12:00:00Z","data":{}}'


def sign_v1a(key: bytes, content: bytes) -> str:
    return f"v1a,{sha256(key + content).hexdigest()}"


def exchange_of(
    body: bytes = PAYLOAD, keys: tuple[bytes, ...] = (NEW,), scheme: SignatureScheme = SignatureScheme.V1
) -> StoredExchange:
    destination = Destination("https://a.example/", 1.0, (), scheme, keys)
    at = datetime(2026, 3, 2, tzinfo=UTC)
    request = signed_request(
        destination, message_id="msg_1", event_type=TYPE, body=RenderedBody(body), at=at, sign_v1a=sign_v1a
    )
    fields = tuple(HeaderField(name, value) for name, value in request.headers)
    return StoredExchange("POST", request.url, fields, len(body), sha256(body).hexdigest(), ())


@given(st.binary(), st.sampled_from(FORMATS), st.sampled_from(FORMATS))
def test_a_body_is_found_in_the_format_that_it_was_sent_in(payload: bytes, sent: BodyFormat, now: BodyFormat) -> None:
    """The bytes are those whose hash was stored, whatever the webhook's format is now."""
    body = render_body(sent, TYPE, payload).body
    assert sent_body(TYPE, payload, now, exchange_of(body), AT) == RequestBody(body, rebuilt=False)


@pytest.mark.parametrize("sent", [as_sent(ALERT_TYPE, ALERT, AT), ALERT], ids=["with lateness", "without"])
def test_a_message_about_an_alert_is_found_with_its_lateness(sent: bytes) -> None:
    found = sent_body(ALERT_TYPE, ALERT, BodyFormat.STANDARD, exchange_of(sent), AT.replace(microsecond=0))
    assert found == RequestBody(sent, rebuilt=False)


@pytest.mark.parametrize("exchange", [None, exchange_of(b"other bytes")])
def test_a_body_that_no_hash_proves_is_called_rebuilt(exchange: StoredExchange | None) -> None:
    assert sent_body(TYPE, PAYLOAD, BodyFormat.STANDARD, exchange, AT) == RequestBody(PAYLOAD, rebuilt=True)
    assert sent_body(TYPE, PAYLOAD, BodyFormat.SLACK, exchange, AT) == RequestBody(
        render_body(BodyFormat.SLACK, TYPE, PAYLOAD).body, rebuilt=True
    )


@pytest.mark.parametrize("scheme", SignatureScheme)
@pytest.mark.parametrize(
    ("signed_by", "keys", "expected"),
    [
        ((NEW,), (NEW,), SigningSecret.CURRENT),
        ((NEW, OLD), (NEW, OLD), SigningSecret.CURRENT),
        ((OLD,), (NEW, OLD), SigningSecret.PREVIOUS),
        ((LOST,), (NEW, OLD), SigningSecret.NONE),
        ((), (NEW,), SigningSecret.NONE),
    ],
)
def test_the_newest_secret_that_signed_is_named(
    scheme: SignatureScheme, signed_by: tuple[bytes, ...], keys: tuple[bytes, ...], expected: SigningSecret
) -> None:
    exchange = exchange_of(keys=signed_by, scheme=scheme)
    assert signing_secret(exchange, PAYLOAD, keys, scheme, sign_v1a) is expected


@given(st.binary(min_size=1), st.integers(0), st.integers(1, 255))
def test_a_changed_byte_is_signed_by_no_secret(body: bytes, at: int, change: int) -> None:
    """Any other body fails."""
    changed = bytearray(body)
    changed[at % len(body)] ^= change
    exchange = exchange_of(body)
    assert signing_secret(exchange, bytes(changed), (NEW,), SignatureScheme.V1, sign_v1a) is SigningSecret.NONE


def test_a_signature_of_the_other_scheme_is_of_no_secret() -> None:
    exchange = exchange_of(scheme=SignatureScheme.V1A)
    assert signing_secret(exchange, PAYLOAD, (NEW,), SignatureScheme.V1, sign_v1a) is SigningSecret.NONE


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"webhook-id": "1", "webhook-timestamp": "1"},
        {"webhook-id": "1", "webhook-timestamp": "soon", "webhook-signature": "v1,x"},
        {"webhook-timestamp": "1", "webhook-signature": "v1,x"},
    ],
)
def test_a_request_without_a_signature_was_signed_by_nothing_that_can_be_named(fields: dict[str, str]) -> None:
    headers = tuple(HeaderField(name, value) for name, value in fields.items())
    exchange = StoredExchange("POST", "https://a.example/", headers, 0, "", ())
    assert signing_secret(exchange, b"", (NEW,), SignatureScheme.V1, sign_v1a) is None


def test_a_body_with_a_routing_key_is_found_and_shown_without_it() -> None:
    key = "0123456789abcdef0123456789abcdef"
    body = render_body(BodyFormat.PAGERDUTY, TYPE, PAYLOAD, key).body
    found = sent_body(TYPE, PAYLOAD, BodyFormat.PAGERDUTY, exchange_of(body), AT, key)
    assert found == RequestBody(body, rebuilt=False)
    shown = without_key(found, key)
    assert key.encode() not in shown.base64
    assert shown == RequestBody(render_body(BodyFormat.PAGERDUTY, TYPE, PAYLOAD, "***").body, rebuilt=False)


def test_a_body_of_a_lost_routing_key_is_rebuilt_without_one() -> None:
    body = render_body(BodyFormat.PAGERDUTY, TYPE, PAYLOAD, "lost").body
    found = sent_body(TYPE, PAYLOAD, BodyFormat.PAGERDUTY, exchange_of(body), AT, "new")
    assert found == RequestBody(render_body(BodyFormat.PAGERDUTY, TYPE, PAYLOAD).body, rebuilt=True)
    assert without_key(found, "new") is found
    assert without_key(found, "") is found
