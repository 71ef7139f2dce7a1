"""What an attempt sent is found again, and so is the secret that signed it."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.delivery.chat_formats import render
from monitor.domain.delivery.exchange import HeaderField, RequestBody, StoredExchange
from monitor.domain.vocab import BodyFormat, SignatureScheme, SigningSecret
from monitor.domain.webhooks.destination import Destination
from monitor.domain.webhooks.sent import sent_body, signing_secret
from monitor.domain.webhooks.signed_request import signed_request

TYPE = "order.paid"
PAYLOAD = b'{"amount": 19.90}'
NEW, OLD, LOST = b"n" * 32, b"o" * 32, b"l" * 32
FORMATS = list(BodyFormat)


def sign_v1a(key: bytes, content: bytes) -> str:
    return f"v1a,{sha256(key + content).hexdigest()}"


def exchange_of(
    body: bytes = PAYLOAD, keys: tuple[bytes, ...] = (NEW,), scheme: SignatureScheme = SignatureScheme.V1
) -> StoredExchange:
    destination = Destination("https://a.example/", 1.0, (), scheme, keys)
    at = datetime(2026, 3, 2, tzinfo=UTC)
    request = signed_request(destination, message_id="msg_1", event_type=TYPE, body=body, at=at, sign_v1a=sign_v1a)
    fields = tuple(HeaderField(name, value) for name, value in request.headers)
    return StoredExchange("POST", request.url, fields, len(body), sha256(body).hexdigest(), ())


@given(st.binary(), st.sampled_from(FORMATS), st.sampled_from(FORMATS))
def test_a_body_is_found_in_the_format_that_it_was_sent_in(payload: bytes, sent: BodyFormat, now: BodyFormat) -> None:
    """The bytes are those whose hash was stored, whatever the webhook's format is now."""
    body = render(sent, TYPE, payload)
    assert sent_body(TYPE, payload, now, exchange_of(body)) == RequestBody(body, rebuilt=False)


@pytest.mark.parametrize("exchange", [None, exchange_of(b"other bytes")])
def test_a_body_that_no_hash_proves_is_called_rebuilt(exchange: StoredExchange | None) -> None:
    assert sent_body(TYPE, PAYLOAD, BodyFormat.STANDARD, exchange) == RequestBody(PAYLOAD, rebuilt=True)
    assert sent_body(TYPE, PAYLOAD, BodyFormat.SLACK, exchange) == RequestBody(
        render(BodyFormat.SLACK, TYPE, PAYLOAD), rebuilt=True
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
