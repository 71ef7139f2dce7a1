"""Keys, tokens and the verifier's memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from hypothesis import given
from hypothesis import strategies as st

from monitor.auth.keys import Key, KeyRing
from monitor.auth.tokens import Principal, TokenVerifier, issue
from monitor.domain.errors import Forbidden, Unauthenticated
from monitor.domain.vocab import Role
from tests.unit.http.support import NOW, POLICY, Keys, b64, pem, public_pem

HEADER = {"alg": "HS256", "typ": "JWT", "kid": "k1"}


def claims(**changes: Any) -> dict[str, Any]:
    base = {"iss": POLICY.issuer, "aud": "monitor", "sub": "u", "role": "viewer", "jti": "j", "iat": NOW}
    return {name: value for name, value in {**base, "exp": NOW + 60, **changes}.items() if value is not None}


@pytest.mark.parametrize("first", [0, 1, 2])
def test_every_kind_of_key_signs_what_the_verifier_takes(
    first: int, keys: Keys, ring: KeyRing, verifier: TokenVerifier
) -> None:
    configured = keys.configured()
    ring.replace([configured[first], *(key for key in configured if key is not configured[first])])
    token = issue(ring, POLICY, subject="ci", role=Role.PUBLISHER, ttl_s=60, now=NOW + 0.7, jti="j")
    key = ring.find(configured[first].kid)
    assert key is not None
    assert ring.holds(key.key_id)
    assert verifier.verify(token, NOW) == Principal("ci", Role.PUBLISHER, "j", NOW + 60, key.key_id)


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 10**30}, {"exp": -1}, {"exp": [1]}, {"exp": None}, {"iat": None}, {"iat": True}, {"nbf": "1"},
        {"nbf": NOW + 11}, {"iat": NOW + 11}, {"exp": NOW - 10}, {"exp": NOW + 3601}, {"jti": None}, {"jti": ""},
        {"jti": "j" * 256}, {"sub": 1}, {"sub": "a\u202eb"}, {"sub": "a\ud800b"}, {"aud": ["other"]},
        {"aud": ["monitor", 1]}, {"aud": {"monitor": 1}}, {"iss": None},
    ],
)  # fmt: skip
def test_a_signed_token_with_a_bad_claim_is_refused(
    changes: dict[str, Any], keys: Keys, verifier: TokenVerifier
) -> None:
    with pytest.raises(Unauthenticated):
        verifier.verify(keys.sign(HEADER, claims(**changes)), NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": NOW - 9.5}, {"iat": NOW + 10}, {"nbf": NOW + 9}, {"exp": NOW + 3600}, {"aud": ["a", "monitor"]},
        {"sub": "é ü"}, {"extra": {"any": "thing"}}, {"iat": NOW - 1.5},
    ],
)  # fmt: skip
def test_a_signed_token_within_the_rules_is_taken(changes: dict[str, Any], keys: Keys, verifier: TokenVerifier) -> None:
    assert verifier.verify(keys.sign(HEADER, claims(**changes)), NOW).role is Role.VIEWER


@pytest.mark.parametrize("role", [None, "", "VIEWER", 1, ["viewer"], True])
def test_a_genuine_token_with_a_role_that_is_none_of_ours_is_forbidden(
    role: object, keys: Keys, verifier: TokenVerifier
) -> None:
    with pytest.raises(Forbidden):
        verifier.verify(keys.sign(HEADER, claims(role=role)), NOW)


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "HS256"}, {"alg": "RS256", "kid": "k1"}, {"alg": "HS256", "kid": None}, {"alg": ["HS256"], "kid": "k1"},
        {"alg": "HS256", "kid": "k1", "typ": 1}, {"alg": "HS256", "kid": "k1", "typ": "at+jwt"},
        {"alg": "HS256", "kid": "k1", "zip": "DEF"}, {"alg": "HS256", "kid": "k1", "cty": "JWT"},
    ],
)  # fmt: skip
def test_a_header_outside_the_rules_is_refused_whatever_the_signature(
    header: dict[str, Any], keys: Keys, verifier: TokenVerifier
) -> None:
    with pytest.raises(Unauthenticated):
        verifier.verify(keys.sign(header, claims()), NOW)


def test_duplicate_members_are_refused_in_header_and_claims(keys: Keys, verifier: TokenVerifier) -> None:
    doubled = json.dumps(claims())[:-1] + ',"role":"admin"}'
    twice_named = '{"alg":"HS256","kid":"k1","kid":"k1"}'
    for token in (keys.sign(HEADER, doubled), keys.sign(twice_named, claims())):
        with pytest.raises(Unauthenticated):
            verifier.verify(token, NOW)


@given(position=st.integers(0, 400), replacement=st.sampled_from("AZaz09-_.=+/ \n"))
def test_no_other_spelling_of_a_token_is_taken(position: int, replacement: str) -> None:
    """Law: changing any one character of a good token makes it a bad one, also when the bytes would decode alike."""
    ring = KeyRing([Key("k1", "HS256", b64(bytes(32)))])
    token = issue(ring, POLICY, subject="u", role=Role.VIEWER, ttl_s=60, now=NOW, jti="j")
    position %= len(token)
    changed = token[:position] + replacement + token[position + 1 :]
    if changed == token:
        return
    with pytest.raises(Unauthenticated):
        TokenVerifier(ring, POLICY, is_revoked=lambda _: False).verify(changed, NOW)


@given(st.text(max_size=200))
def test_any_text_is_refused_and_nothing_else_is_raised(text: str) -> None:
    """Law: ``verify`` is total: a principal, ``Unauthenticated`` or ``Forbidden``."""
    ring = KeyRing([Key("k1", "HS256", b64(bytes(32)))])
    with pytest.raises(Unauthenticated):
        TokenVerifier(ring, POLICY, is_revoked=lambda _: False).verify(text, NOW)


def test_a_remembered_token_still_expires_with_its_leeway(token: Callable[..., str], verifier: TokenVerifier) -> None:
    good = token(ttl_s=60)
    assert verifier.verify(good, NOW) == verifier.verify(good, NOW + 69)
    with pytest.raises(Unauthenticated, match="expired"):
        verifier.verify(good, NOW + 70)


def test_a_remembered_token_is_refused_once_revoked(
    token: Callable[..., str], verifier: TokenVerifier, revoked: set[str]
) -> None:
    verifier.verify(token(), NOW)
    revoked.add("jti-1")
    with pytest.raises(Unauthenticated, match="revoked"):
        verifier.verify(token(), NOW)


def test_a_remembered_token_is_forgotten_with_its_key(
    token: Callable[..., str], verifier: TokenVerifier, ring: KeyRing
) -> None:
    good = token()
    verifier.verify(good, NOW)
    ring.replace([Key("k9", "HS256", b64(b"9" * 32))])
    with pytest.raises(Unauthenticated):
        verifier.verify(good, NOW)


def test_a_key_in_overlap_still_verifies(
    token: Callable[..., str], verifier: TokenVerifier, ring: KeyRing, keys: Keys
) -> None:
    good = token()
    ring.replace([Key("k9", "HS256", b64(b"9" * 32)), *keys.configured()])
    assert verifier.verify(good, NOW).subject == "user-1"


def test_the_verifier_remembers_a_bounded_number_of_tokens(ring: KeyRing, token: Callable[..., str]) -> None:
    verifier = TokenVerifier(ring, POLICY, is_revoked=lambda _: False, remembered=2)
    for number in range(5):
        assert verifier.verify(token(jti=f"j{number}"), NOW).jti == f"j{number}"
    assert len(verifier._verified) == 2


def test_a_public_key_verifies_and_cannot_sign(keys: Keys, verifier: TokenVerifier, ring: KeyRing) -> None:
    token = jwt.encode(claims(), keys.rsa, algorithm="RS256", headers={"kid": "k2"})
    ring.replace([Key("k2", "RS256", public_pem(keys.rsa)), Key("k3", "EdDSA", public_pem(keys.ed25519))])
    assert verifier.verify(token, NOW).subject == "u"
    with pytest.raises(ValueError, match="public key"):
        ring.signer()


@pytest.mark.parametrize(
    ("alg", "text", "says"),
    [
        ("HS256", b64(bytes(31)), "at least 32 bytes"),
        ("HS256", "not base64url!", "base64url"),
        ("RS256", pem(generate_private_key(65537, 1024)), "at least 2048 bits"),  # noqa: S505
        ("RS256", "-----BEGIN PRIVATE KEY-----", "PEM"),
        ("EdDSA", "-----BEGIN PUBLIC KEY-----", "PEM"),
        ("EdDSA", pem(generate_private_key(65537, 2048)), "Ed25519"),
        ("RS256", pem(generate_ec(SECP256R1())), "only RSA and Ed25519"),  # type: ignore[arg-type]
        ("RS256", public_pem(generate_ec(SECP256R1())), "RSA"),  # type: ignore[arg-type]
    ],
)
def test_a_weak_or_mismatched_key_is_refused_by_name_and_not_shown(alg: Any, text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        KeyRing([Key("old", alg, text)])
    assert "'old'" in str(caught.value)
    assert text not in str(caught.value)


def test_a_ring_needs_keys_of_different_names(keys: Keys) -> None:
    with pytest.raises(ValueError, match="empty"):
        KeyRing([])
    with pytest.raises(ValueError, match="kid of its own"):
        KeyRing([keys.configured()[0]] * 2)


def test_a_bad_replacement_leaves_the_ring_as_it_was(ring: KeyRing) -> None:
    with pytest.raises(ValueError, match="empty"):
        ring.replace([])
    assert ring.find("k1") is not None
    assert ring.generation == 0


def test_a_key_does_not_print_itself(keys: Keys) -> None:
    assert b64(keys.hmac) not in repr(keys.configured())


@pytest.mark.parametrize(
    ("subject", "ttl_s", "jti"), [("u", 0, "j"), ("u", 3601, "j"), ("", 60, "j"), ("u", 60, "a\nb")]
)
def test_a_token_the_verifier_would_refuse_is_not_issued(ring: KeyRing, subject: str, ttl_s: float, jti: str) -> None:
    with pytest.raises(ValueError, match=r"token lives|printable"):
        issue(ring, POLICY, subject=subject, role=Role.ADMIN, ttl_s=ttl_s, now=NOW, jti=jti)


def test_a_token_may_be_as_long_as_the_limit(ring: KeyRing, token: Callable[..., str]) -> None:
    sent = token()
    limits = [msgspec.structs.replace(POLICY, max_bytes=len(sent) - shorter) for shorter in (0, 1)]
    exact, short = (TokenVerifier(ring, policy, is_revoked=lambda _: False) for policy in limits)
    assert exact.verify(sent, NOW).subject == "user-1"
    with pytest.raises(Unauthenticated):
        short.verify(sent, NOW)


@pytest.mark.parametrize("odd", ["\u00e9", "\ud800"])
def test_a_token_that_is_not_ascii_is_refused(ring: KeyRing, token: Callable[..., str], odd: str) -> None:
    with pytest.raises(Unauthenticated, match="not ASCII"):
        TokenVerifier(ring, POLICY, is_revoked=lambda _: False).verify(token() + odd, NOW)
