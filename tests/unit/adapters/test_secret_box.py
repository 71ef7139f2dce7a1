"""Encryption at rest and ``v1a`` signatures."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from monitor.adapters.key_factory import WebhookKeyFactory, encode_public_key, sign_v1a
from monitor.adapters.secret_box import SecretBox, SecretBoxError
from monitor.domain.vocab import SignatureScheme
from monitor.domain.webhooks.signatures import encode_secret, signed_content
from tests.fakes.clock import FakeClock

OLD = ("2025", bytes(range(32)))
NEW = ("2026", bytes(range(32, 64)))
CONTEXT = "webhook_secret:0190"

VECTOR_KEY = base64.b64decode(
    "6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
)
VECTOR_CONTENT = signed_content("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
VECTOR_SIGNATURE = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="


@given(plaintext=st.binary(max_size=500), context=st.text(max_size=50))
def test_what_was_sealed_opens_again(plaintext: bytes, context: str) -> None:
    """open(seal(p, c), c) == p."""
    secret_box = SecretBox([NEW])
    assert secret_box.open(secret_box.seal(plaintext, context=context), context=context) == plaintext


@given(plaintext=st.binary(max_size=100), data=st.data())
def test_any_changed_byte_fails(plaintext: bytes, data: st.DataObject) -> None:
    """A sealed value with one byte altered does not open, wherever the byte is."""
    secret_box = SecretBox([NEW, OLD])
    sealed = bytearray(secret_box.seal(plaintext, context=CONTEXT))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(SecretBoxError):
        secret_box.open(bytes(sealed), context=CONTEXT)


@given(st.data())
def test_a_cut_value_fails(data: st.DataObject) -> None:
    """No proper prefix of a sealed value opens."""
    secret_box = SecretBox([NEW])
    sealed = secret_box.seal(b"secret", context=CONTEXT)
    with pytest.raises(SecretBoxError):
        secret_box.open(sealed[: data.draw(st.integers(0, len(sealed) - 1))], context=CONTEXT)


@given(mine=st.text(max_size=50), other=st.text(max_size=50))
def test_a_value_does_not_open_in_another_context(mine: str, other: str) -> None:
    """c != d implies that open(seal(p, c), d) fails."""
    secret_box = SecretBox([NEW])
    sealed = secret_box.seal(b"secret", context=mine)
    if mine != other:
        with pytest.raises(SecretBoxError):
            secret_box.open(sealed, context=other)


def test_equal_secrets_are_sealed_differently() -> None:
    secret_box = SecretBox([NEW])
    assert secret_box.seal(b"secret", context=CONTEXT) != secret_box.seal(b"secret", context=CONTEXT)


def test_after_a_rotation_old_values_open_and_are_told_from_new_ones() -> None:
    before, after = SecretBox([OLD]), SecretBox([NEW, OLD])
    sealed = before.seal(b"secret", context=CONTEXT)
    assert after.open(sealed, context=CONTEXT) == b"secret"
    assert not sealed.startswith(after.current_head)
    assert after.seal(b"secret", context=CONTEXT).startswith(after.current_head)


def test_a_value_sealed_again_opens_when_the_old_key_is_gone() -> None:
    sealed = SecretBox([OLD]).seal(b"secret", context=CONTEXT)
    resealed = SecretBox([NEW, OLD]).reseal(sealed, context=CONTEXT)
    assert SecretBox([NEW]).open(resealed, context=CONTEXT) == b"secret"


def test_sealing_again_in_another_context_fails() -> None:
    sealed = SecretBox([OLD]).seal(b"secret", context=CONTEXT)
    with pytest.raises(SecretBoxError):
        SecretBox([NEW, OLD]).reseal(sealed, context="webhook_secret:0191")


def test_a_dropped_key_is_named_and_the_secret_is_not() -> None:
    sealed = SecretBox([OLD]).seal(b"plain-canary", context=CONTEXT)
    with pytest.raises(SecretBoxError, match="2025") as caught:
        SecretBox([NEW]).open(sealed, context=CONTEXT)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("keys", [[], [OLD, OLD], [("k", b"short")], [("", bytes(32))], [("k" * 256, bytes(32))]])
def test_a_useless_key_ring_is_refused(keys: list[tuple[str, bytes]]) -> None:
    with pytest.raises(ValueError, match="encryption key"):
        SecretBox(keys)


def test_the_signature_is_that_of_the_standard_webhooks_vector() -> None:
    assert sign_v1a(VECTOR_KEY, VECTOR_CONTENT) == VECTOR_SIGNATURE


def test_the_seed_alone_signs_like_the_whole_key() -> None:
    assert sign_v1a(VECTOR_KEY[:32], VECTOR_CONTENT) == VECTOR_SIGNATURE


def test_the_public_key_is_that_of_the_vector() -> None:
    assert encode_public_key(VECTOR_KEY) == "whpk_" + base64.b64encode(VECTOR_KEY[32:]).decode()


def test_a_receiver_verifies_with_the_public_key_that_was_shown() -> None:
    key, shown = WebhookKeyFactory(FakeClock()).new_key(SignatureScheme.V1A)
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(shown.removeprefix("whpk_")))
    signature = base64.b64decode(sign_v1a(key, b"content").removeprefix("v1a,"))
    public.verify(signature, b"content")


def test_a_symmetric_key_is_shown_as_it_signs() -> None:
    key, shown = WebhookKeyFactory(FakeClock()).new_key(SignatureScheme.V1)
    assert shown == encode_secret(key)
