"""Which events reach a webhook, and the signature it can trust."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook as IndependentVerifier

from monitor.domain.delivery.event_types import is_event_type, is_pattern, patterns_for, subscribes
from monitor.domain.webhooks.signatures import decode_secret, encode_secret, sign_v1, signed_content, verify_v1
from monitor.domain.webhooks.webhook import RESERVED_HEADERS
from tests import strategies as our

FIRST_ID, FIRST_TIME_S, FIRST_BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'


def matches(pattern: str, event_type: str) -> bool:
    """What a pattern means, said another way than the code says it."""
    if pattern.endswith("*"):
        return event_type.startswith(pattern[:-1])
    return pattern == event_type


# ------------------------------------------------------------------------------------------------------------ matching


@given(our.patterns, our.event_types)
def test_the_patterns_for_a_type_are_those_that_match_it(pattern: str, event_type: str) -> None:
    """p in patterns_for(t) iff p matches t."""
    assert (pattern in patterns_for(event_type)) == matches(pattern, event_type)


@given(our.event_types)
def test_every_pattern_of_a_type_is_a_pattern_and_the_most_specific_is_first(event_type: str) -> None:
    """patterns_for gives valid patterns that match, from the longest to ``*``."""
    found = patterns_for(event_type)
    assert all(is_pattern(pattern) and matches(pattern, event_type) for pattern in found)
    assert (found[0], found[-1]) == (event_type, "*")
    assert len(set(found)) == len(found) == event_type.count(".") + 2


def test_patterns_go_from_the_type_itself_to_everything() -> None:
    assert patterns_for("order.paid.eu") == ("order.paid.eu", "order.paid.*", "order.*", "*")


def test_a_wildcard_does_not_match_its_own_prefix() -> None:
    assert "order.*" not in patterns_for("order")


@pytest.mark.parametrize("text", ["order", "order.paid", "a-b_c.9", "x" * 128])
def test_dotted_words_are_event_types_and_patterns(text: str) -> None:
    assert is_event_type(text)
    assert is_pattern(text)


@pytest.mark.parametrize("text", ["*", "order.*", "order.paid.*"])
def test_wildcards_are_patterns_but_no_event_types(text: str) -> None:
    assert is_pattern(text)
    assert not is_event_type(text)


@pytest.mark.parametrize(
    "text", ["", ".", "order.", ".paid", "a..b", "*.paid", "a.*.b", "a*", "order paid", "order\n", "é", "x" * 129]
)
def test_anything_else_is_neither(text: str) -> None:
    assert not is_event_type(text)
    assert not is_pattern(text)


@given(st.lists(our.patterns), our.label_maps, our.event_types, our.label_maps)
def test_a_webhook_gets_an_event_that_matches_a_pattern_and_carries_its_labels(
    patterns: list[str], labels: dict[str, str], event_type: str, event_labels: dict[str, str]
) -> None:
    """subscribes iff any pattern matches and the webhook's labels are a subset of the event's."""
    expected = any(matches(p, event_type) for p in patterns) and labels.items() <= event_labels.items()
    assert subscribes(patterns, labels, event_type=event_type, event_labels=event_labels) == expected


@given(our.label_maps, our.label_maps)
def test_more_labels_on_an_event_never_hide_it(labels: dict[str, str], more: dict[str, str]) -> None:
    """An event that carries every wanted label, and others, is wanted."""
    assert subscribes(["*"], labels, event_type="order.paid", event_labels={**more, **labels})


def test_another_value_of_a_label_is_another_label() -> None:
    assert not subscribes(["*"], {"team": "a"}, event_type="order", event_labels={"team": "b"})


# ------------------------------------------------------------------------------------------------------------- signing


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
    content = signed_content(message_id, timestamp_s, body)
    assert sign_v1(decode_secret(secret), content) == signature
    assert verify_v1(decode_secret(secret), content, signature)


def test_the_published_v1a_vector_covers_the_content_we_sign() -> None:
    key = base64.b64decode("6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==")
    signature = "hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
    content = signed_content(FIRST_ID, FIRST_TIME_S, FIRST_BODY)
    Ed25519PublicKey.from_public_bytes(key[32:]).verify(base64.b64decode(signature), content)


@given(our.signing_keys, our.message_ids, our.timestamps_s, st.binary())
def test_what_was_signed_verifies(key: bytes, message_id: str, timestamp_s: int, body: bytes) -> None:
    """verify(k, c, sign(k, c)) holds for every key and content."""
    content = signed_content(message_id, timestamp_s, body)
    assert verify_v1(key, content, sign_v1(key, content))


@given(our.signing_keys, st.binary(min_size=1), st.data())
def test_any_changed_byte_of_the_content_fails(key: bytes, content: bytes, data: st.DataObject) -> None:
    """verify(k, c', sign(k, c)) fails for every c' one byte away from c."""
    assert not verify_v1(key, _one_byte_changed(content, data), sign_v1(key, content))


@given(our.signing_keys, st.binary(), st.data())
def test_any_changed_byte_of_the_key_fails(key: bytes, content: bytes, data: st.DataObject) -> None:
    """verify(k', c, sign(k, c)) fails for every k' one byte away from k."""
    assert not verify_v1(_one_byte_changed(key, data), content, sign_v1(key, content))


@given(our.signing_keys, st.binary(), st.data())
def test_any_changed_byte_of_the_signature_fails(key: bytes, content: bytes, data: st.DataObject) -> None:
    """verify(k, c, s') fails for every s' one byte away from sign(k, c)."""
    changed = _one_byte_changed(sign_v1(key, content).encode(), data).decode("latin-1")
    assert not verify_v1(key, content, changed)


@given(our.message_ids, our.message_ids, our.timestamps_s, our.timestamps_s, st.binary(), st.binary())
def test_two_messages_never_share_their_signed_content(
    id_a: str, id_b: str, time_a: int, time_b: int, body_a: bytes, body_b: bytes
) -> None:
    """signed_content is injective, since ids hold no dot."""
    same = (id_a, time_a, body_a) == (id_b, time_b, body_b)
    assert (signed_content(id_a, time_a, body_a) == signed_content(id_b, time_b, body_b)) == same


@given(our.signing_keys, our.signing_keys, st.binary())
def test_each_live_secret_verifies_on_its_own(new: bytes, old: bytes, content: bytes) -> None:
    """During a rotation the header holds one part per secret, and a receiver needs to know only one."""
    header = f"{sign_v1(new, content)} v1a,unknown {sign_v1(old, content)}"
    assert verify_v1(new, content, header)
    assert verify_v1(old, content, header)


@given(our.signing_keys, st.binary(), st.text())
def test_no_header_can_break_the_verifier(key: bytes, content: bytes, header: str) -> None:
    """verify fails closed on anything, lone surrogates included."""
    assert not verify_v1(key, content, header)
    assert not verify_v1(key, content, header + "\udcff")


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
def test_a_secret_reads_back_as_it_was_written(key: bytes) -> None:
    """decode_secret inverts encode_secret."""
    assert decode_secret(encode_secret(key)) == key


@pytest.mark.parametrize(
    "secret", ["", "MfKQ9r8G", "whsec_a", "whsec_!!!!", "whsec_QUJD QUJD", "whsec_é", "WHSEC_QUJD"]
)
def test_what_is_no_secret_is_refused(secret: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- the words are base64's own
        decode_secret(secret)


def test_a_webhook_cannot_set_the_headers_of_the_signature() -> None:
    assert {"webhook-id", "webhook-timestamp", "webhook-signature"} <= RESERVED_HEADERS
    assert all(name == name.lower() for name in RESERVED_HEADERS)


def _one_byte_changed(content: bytes, data: st.DataObject) -> bytes:
    index = data.draw(st.integers(0, len(content) - 1))
    flipped = content[index] ^ data.draw(st.integers(1, 255))
    return content[:index] + bytes([flipped]) + content[index + 1 :]
