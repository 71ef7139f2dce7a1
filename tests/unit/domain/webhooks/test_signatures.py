"""Standard Webhooks signatures: the published vectors, the laws of HMAC, and an independent verifier."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook as IndependentVerifier

from monitor.domain.errors import Invalid
from monitor.domain.vocab import SignatureScheme
from monitor.domain.webhooks.signatures import (
    SECRET_PREFIX,
    check_public_half,
    decode_secret,
    encode_secret,
    sign_v1,
    signed_content,
)
from monitor.domain.webhooks.webhook import RESERVED_HEADERS
from tests import strategies as our

FIRST_ID, FIRST_TIME_S, FIRST_BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'


@pytest.mark.parametrize(
    ("secret", "message_id", "timestamp_s", "body", "signature"),
    [
        (
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            FIRST_ID,
            FIRST_TIME_S,
            FIRST_BODY,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
        (
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            1649367553,
            b'{"email":"test@example.com","username":"test_user"}',
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
        ),
    ],
)
def test_the_published_v1_vectors_hold(
    secret: str, message_id: str, timestamp_s: int, body: bytes, signature: str
) -> None:
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    assert sign_v1(key, signed_content(message_id, timestamp_s, body)) == signature


def test_the_published_v1a_vector_covers_the_content_we_sign() -> None:
    key = base64.b64decode("6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==")
    signature = "hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
    content = signed_content(FIRST_ID, FIRST_TIME_S, FIRST_BODY)
    Ed25519PublicKey.from_public_bytes(key[32:]).verify(base64.b64decode(signature), content)


@given(our.signing_keys, st.binary(min_size=1), st.data())
def test_any_changed_byte_of_the_content_changes_the_signature(key: bytes, content: bytes, data: st.DataObject) -> None:
    """sign(k, c') != sign(k, c) for every c' one byte away from c."""
    assert sign_v1(key, _one_byte_changed(content, data)) != sign_v1(key, content)


@given(our.signing_keys, st.binary(), st.data())
def test_any_changed_byte_of_the_key_changes_the_signature(key: bytes, content: bytes, data: st.DataObject) -> None:
    """sign(k', c) != sign(k, c) for every k' one byte away from k."""
    assert sign_v1(_one_byte_changed(key, data), content) != sign_v1(key, content)


@given(our.message_ids, our.message_ids, our.timestamps_s, our.timestamps_s, st.binary(), st.binary())
def test_two_messages_never_share_their_signed_content(
    id_a: str, id_b: str, time_a: int, time_b: int, body_a: bytes, body_b: bytes
) -> None:
    """signed_content is injective, since ids hold no dot."""
    same = (id_a, time_a, body_a) == (id_b, time_b, body_b)
    assert (signed_content(id_a, time_a, body_a) == signed_content(id_b, time_b, body_b)) == same


@given(our.signing_keys, our.message_ids, st.text())
def test_an_independent_verifier_agrees(key: bytes, message_id: str, text: str) -> None:
    """The reference library accepts what we sign now."""
    now_s = int(datetime.now(UTC).timestamp())
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": str(now_s),
        "webhook-signature": sign_v1(key, signed_content(message_id, now_s, text.encode())),
    }
    IndependentVerifier(encode_secret(key)).verify(text, headers, json_parse=False)


@given(st.binary())
def test_a_secret_is_the_prefix_and_the_key_in_base64(key: bytes) -> None:
    """b64decode(encode_secret(k) without its prefix) == k."""
    prefix, encoded = encode_secret(key)[:6], encode_secret(key)[6:]
    assert prefix == SECRET_PREFIX
    assert base64.b64decode(encoded, validate=True) == key


def test_a_webhook_cannot_set_the_headers_of_the_signature_and_of_the_trace() -> None:
    assert {"webhook-id", "webhook-timestamp", "webhook-signature", "traceparent", "tracestate"} <= RESERVED_HEADERS
    assert all(name == name.lower() for name in RESERVED_HEADERS)


def _one_byte_changed(content: bytes, data: st.DataObject) -> bytes:
    index = data.draw(st.integers(0, len(content) - 1))
    flipped = content[index] ^ data.draw(st.integers(1, 255))
    return content[:index] + bytes([flipped]) + content[index + 1 :]


def of(prefix: str, size: int) -> str:
    return prefix + base64.b64encode(bytes(size)).decode()


@pytest.mark.parametrize(
    ("scheme", "secret", "size"),
    [
        (SignatureScheme.V1, of("whsec_", 24), 24),
        (SignatureScheme.V1, of("whsec_", 64), 64),
        (SignatureScheme.V1A, of("whsk_", 32), 32),
        (SignatureScheme.V1A, of("whsk_", 64), 64),
    ],
)
def test_a_secret_that_a_user_brings_along_is_read(scheme: SignatureScheme, secret: str, size: int) -> None:
    assert decode_secret(secret, scheme) == bytes(size)


@pytest.mark.parametrize(
    ("scheme", "secret"),
    [
        (SignatureScheme.V1, of("whsec_", 23)),
        (SignatureScheme.V1, of("whsec_", 65)),
        (SignatureScheme.V1, of("whsk_", 32)),
        (SignatureScheme.V1, of("", 32)),
        (SignatureScheme.V1, "whsec_not base64"),
        (SignatureScheme.V1A, of("whsk_", 33)),
        (SignatureScheme.V1A, of("whsec_", 32)),
    ],
)
def test_another_form_of_secret_is_refused_in_words(scheme: SignatureScheme, secret: str) -> None:
    with pytest.raises(Invalid) as refused:
        decode_secret(secret, scheme)
    assert [error.pointer for error in refused.value.errors] == ["/secret"]


@pytest.mark.parametrize("size", [32, 64])
def test_a_key_that_ends_in_its_own_public_half_is_taken(size: int) -> None:
    check_public_half(bytes(size), of("whpk_", 32), SignatureScheme.V1A)


def test_a_symmetric_key_has_no_halves() -> None:
    check_public_half(bytes(64), "whsec_x", SignatureScheme.V1)


def test_a_key_with_another_public_half_is_refused() -> None:
    with pytest.raises(Invalid):
        check_public_half(bytes(64), "whpk_" + base64.b64encode(b"x" * 32).decode(), SignatureScheme.V1A)
