"""The keys of an identity provider: which of them verify, beside configured ones, and when they are fetched."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from litestar.testing import TestClient
from structlog.testing import capture_logs

from monitor.auth.jwks import APART_S, MAX_KEYS, REFRESH_S, Ignored, KeySet, ProviderKeys, read_key_set
from monitor.auth.keys import Key, KeyRing
from monitor.auth.tokens import TokenVerifier
from monitor.domain.errors import Unauthenticated, Unavailable
from monitor.http.middleware.rate_limit import LocalRateLimiter
from tests.unit.auth.test_tokens import claims
from tests.unit.http.middleware.test_authentication import CASES, ROUTE, assert_as_expected, forge
from tests.unit.http.support import NOW, POLICY, Keys, b64, make_app


def jwk(key: Any, kid: str, /, **changes: Any) -> dict[str, Any]:
    """Return the public half of *key* as a provider publishes it; a change of ``None`` leaves the member out."""
    kind: Any = {"RSA": RSAAlgorithm, "Ed2": OKPAlgorithm, "ECP": ECAlgorithm}[type(key.public_key()).__name__[:3]]
    plain = json.loads(kind.to_jwk(key.public_key()))
    made = {**plain, "key_ops": None, "kid": kid, "use": "sig", **changes}
    return {name: value for name, value in made.items() if value is not None}


def document(*entries: Any) -> bytes:
    return json.dumps({"keys": entries}).encode()


@pytest.fixture(scope="module")
def other() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


# Which keys are used ---------------------------------------------------------------------------------------------


def test_rsa_and_ed25519_keys_are_used(keys: Keys) -> None:
    full = {"alg": "RS256", "key_ops": ["verify"], "x5c": ["any"], "x5t": "any"}
    bare = {"use": None, "alg": None}
    found = read_key_set(document(jwk(keys.rsa, "r", **full), jwk(keys.rsa, "s", **bare), jwk(keys.ed25519, "e")))
    assert [(key.kid, key.alg, key.private) for key in found.usable] == [
        ("r", "RS256", None),
        ("s", "RS256", None),
        ("e", "EdDSA", None),
    ]
    assert found.ignored == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"kid": None}, "no kid"), ({"kid": ""}, "no kid"), ({"kid": 1}, "no kid"), ({"kid": "a\n"}, "no kid"),
        ({"kty": "oct", "k": b64(bytes(32))}, "neither"), ({"kty": ["RSA"]}, "neither"), ({"kty": None}, "neither"),
        ({"use": "enc"}, "use"), ({"use": ["sig"]}, "use"),
        ({"key_ops": ["encrypt"]}, "key_ops"), ({"key_ops": "verify"}, "key_ops"), ({"key_ops": []}, "key_ops"),
        ({"alg": "RS512"}, "alg"), ({"alg": "PS256"}, "alg"), ({"alg": "HS256"}, "alg"), ({"alg": "none"}, "alg"),
        ({"d": "AQAB"}, "private"), ({"n": None}, "n is not base64url"), ({"n": 5}, "n is not base64url"),
        ({"n": "AA=="}, "n is not base64url"), ({"e": "A+B"}, "e is not base64url"), ({"e": "Ag"}, "no RSA key"),
        ({"e": ""}, "no RSA key"), ({"n": b64(b"\xff" * 128)}, "this has 1024"),
        ({"n": b64(b"\xff" * 1025)}, "this has 8200"),
    ],
)  # fmt: skip
def test_a_key_that_may_not_verify_here_is_ignored_and_the_others_are_used(
    changes: dict[str, Any], says: str, keys: Keys
) -> None:
    found = read_key_set(document(jwk(keys.rsa, "bad", **changes), jwk(keys.ed25519, "good")))
    assert [key.kid for key in found.usable] == ["good"]
    (ignored,) = found.ignored
    assert says in ignored.reason
    assert ignored.kid == ("#0" if says == "no kid" else "bad")


def test_other_curves_short_rsa_keys_and_what_is_no_key_at_all_are_ignored(keys: Keys) -> None:
    short = jwk(generate_private_key(65537, 1024), "short")  # noqa: S505
    entries = [jwk(generate_ec(SECP256R1()), "ec"), short, jwk(keys.ed25519, "448", crv="Ed448")]
    entries += [jwk(keys.ed25519, "x", x=b64(bytes(31)))]
    found = read_key_set(document(*entries, "text", None, []))
    assert found.usable == []
    assert [ignored.kid for ignored in found.ignored] == ["ec", "short", "448", "x", "#4", "#5", "#6"]


def test_of_two_keys_with_one_kid_the_first_is_used(keys: Keys, other: Ed25519PrivateKey) -> None:
    found = read_key_set(document(jwk(keys.ed25519, "a"), jwk(other, "a")))
    assert found == KeySet(
        read_key_set(document(jwk(keys.ed25519, "a"))).usable,
        [Ignored("a", "another key before it has the same kid")],
    )


@pytest.mark.parametrize(
    "text",
    [b"", b"\xff", b"[]", b"5", b'"keys"', b"{}", b'{"keys": {}}', b'{"keys": null}', b"[" * 100_000, b"<html>"],
)
def test_what_is_no_key_set_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="the answer"):
        read_key_set(text)


def test_a_set_of_more_keys_than_anybody_needs_is_refused() -> None:
    assert len(read_key_set(document(*[{}] * MAX_KEYS)).ignored) == MAX_KEYS
    with pytest.raises(ValueError, match="at most"):
        read_key_set(document(*[{}] * (MAX_KEYS + 1)))


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["RSA", "OKP", "Ed25519", "sig"])
)
MEMBERS = st.sampled_from(["kty", "crv", "kid", "use", "alg", "key_ops", "n", "e", "x", "d"])
ENTRIES = st.dictionaries(MEMBERS, SCALARS | st.lists(SCALARS, max_size=2)) | SCALARS


@given(st.lists(ENTRIES, max_size=4))
def test_every_entry_is_either_used_or_ignored(entries: list[Any]) -> None:
    """Law: reading is total over the entries, and accounts for each of them."""
    found = read_key_set(document(*entries))
    assert len(found.usable) + len(found.ignored) == len(entries)


# In the ring -----------------------------------------------------------------------------------------------------


def published(*pairs: tuple[Any, str]) -> KeySet:
    return read_key_set(document(*(jwk(key, kid) for key, kid in pairs)))


def signed(key: Any, kid: str, *, typ: str = "JWT", **changes: Any) -> str:
    alg = "EdDSA" if isinstance(key, Ed25519PrivateKey) else "RS256"
    return jwt.encode(claims(**changes), key, algorithm=alg, headers={"kid": kid, "typ": typ})


def refuses(verifier: TokenVerifier, token: str) -> bool:
    try:
        verifier.verify(token, NOW)
    except Unauthenticated:
        return True
    return False


def test_a_configured_key_wins_over_a_published_one_of_the_same_kid(
    keys: Keys, ring: KeyRing, verifier: TokenVerifier, other: Ed25519PrivateKey
) -> None:
    ring.adopt(published((other, "k3"), (other, "k1"), (other, "p")).usable)
    assert refuses(verifier, signed(other, "k3"))
    assert refuses(verifier, signed(other, "k1"))
    assert verifier.verify(signed(keys.ed25519, "k3"), NOW).subject == "u"
    assert verifier.verify(signed(other, "p"), NOW).subject == "u"
    # Also where the configured keys are replaced afterwards.
    ring.replace(keys.configured()[:2])
    assert verifier.verify(signed(other, "k3"), NOW).subject == "u"
    ring.replace(keys.configured())
    assert refuses(verifier, signed(other, "k3"))


def test_a_published_key_that_is_gone_takes_its_tokens_with_it(
    ring: KeyRing, verifier: TokenVerifier, other: Ed25519PrivateKey
) -> None:
    ring.adopt(published((other, "p")).usable)
    token = signed(other, "p")
    assert not refuses(verifier, token)
    assert ring.adopt([])
    assert refuses(verifier, token)
    assert verifier.recall(token.encode(), NOW) is None


def test_keys_that_did_not_change_do_not_make_the_verifier_forget(
    keys: Keys, ring: KeyRing, verifier: TokenVerifier, other: Ed25519PrivateKey
) -> None:
    assert ring.adopt(published((other, "p"), (keys.rsa, "q")).usable)
    token = signed(other, "p")
    verifier.verify(token, NOW)
    assert not ring.adopt(published((keys.rsa, "q"), (other, "p")).usable)
    ring.replace(keys.configured())
    assert verifier.recall(token.encode(), NOW) is not None
    assert ring.adopt(published((keys.ed25519, "p"), (keys.rsa, "q")).usable)
    assert verifier.recall(token.encode(), NOW) is None


def test_a_ring_without_keys_of_its_own_verifies_and_does_not_sign(other: Ed25519PrivateKey) -> None:
    ring = KeyRing([], alone=False)
    ring.adopt(published((other, "p")).usable)
    verifier = TokenVerifier(ring, POLICY, is_revoked=lambda _: False)
    assert verifier.verify(signed(other, "p"), NOW).subject == "u"
    with pytest.raises(ValueError, match="only verify"):
        ring.signer()


@pytest.mark.parametrize(
    ("typ", "of_provider", "of_ours"),
    [
        ("JWT", True, True),
        ("jwt", True, True),
        ("at+jwt", True, False),
        ("AT+JWT", True, False),
        ("application/at+jwt", True, False),
        ("Application/AT+jwt", True, False),
        ("application/jwt", False, False),
        ("at+jwt ", False, False),
        ("id+jwt", False, False),
        ("logout+jwt", False, False),
    ],
)
def test_the_type_of_an_access_token_is_taken_under_a_published_key_alone(
    typ: str,
    of_provider: bool,
    of_ours: bool,
    keys: Keys,
    ring: KeyRing,
    verifier: TokenVerifier,
    other: Ed25519PrivateKey,
) -> None:
    ring.adopt(published((other, "p")).usable)
    assert refuses(verifier, signed(other, "p", typ=typ)) is not of_provider
    assert refuses(verifier, signed(keys.ed25519, "k3", typ=typ)) is not of_ours


def test_a_ring_holds_a_key_until_it_is_taken_away_or_another_has_its_kid(keys: Keys, other: Ed25519PrivateKey) -> None:
    ring = KeyRing([Key("k1", "HS256", b64(keys.hmac))])
    ring.adopt(published((other, "p"), (keys.rsa, "q")).usable)
    key_ids = {kid: key.key_id for kid in ("k1", "p", "q") if (key := ring.find(kid)) is not None}
    assert [ring.holds(key_id) for key_id in (*key_ids.values(), "", "k1")] == [True, True, True, False, False]
    ring.adopt(published((keys.ed25519, "p")).usable)
    assert {kid: ring.holds(key_id) for kid, key_id in key_ids.items()} == {"k1": True, "p": False, "q": False}
    ring.replace([Key("k1", "HS256", b64(bytes(range(32, 64))))])
    assert not ring.holds(key_ids["k1"])
    ring.replace([Key("k1", "HS256", b64(keys.hmac))])
    assert ring.holds(key_ids["k1"])


@pytest.fixture
def client(keys: Keys) -> Iterator[TestClient[Any]]:
    """An application whose keys k2 and k3 are published by a provider."""
    ring = KeyRing([Key("k1", "HS256", b64(keys.hmac))])
    ring.adopt(published((keys.rsa, "k2"), (keys.ed25519, "k3")).usable)
    verifier = TokenVerifier(ring, POLICY, is_revoked={"revoked-1"}.__contains__)
    limiter = LocalRateLimiter(per_s=1.0, burst=10, ticks_s=lambda: 0.0)
    with TestClient(make_app(verifier, limiter), raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize("case", CASES["rest_tokens"], ids=lambda case: f"{case['id']} {case['name']}")
def test_a_token_of_the_attack_list_is_judged_the_same_under_published_keys(
    case: dict[str, Any], client: TestClient[Any], keys: Keys
) -> None:
    token = forge(case["build"], keys)
    for _ in range(2):
        assert_as_expected(client.get(ROUTE, headers={"Authorization": f"Bearer {token}"}), case["expect"])


# When they are fetched -------------------------------------------------------------------------------------------


class Provider:
    """An identity provider, and a clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.answer: bytes | Exception = document()
        self.fetches = 0
        self.slept_s: list[float] = []

    async def fetch(self) -> bytes:
        self.fetches += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        await asyncio.sleep(0)


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def wanted() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
def ring(keys: Keys, wanted: asyncio.Event) -> KeyRing:
    return KeyRing(keys.configured(), on_unknown=wanted.set)


@pytest.fixture
def provider_keys(provider: Provider, ring: KeyRing, wanted: asyncio.Event) -> ProviderKeys:
    return ProviderKeys(ring, provider.fetch, wanted, sleep=provider.sleep)


async def test_a_fetch_that_fails_keeps_the_last_good_keys_and_is_told_once(
    provider: Provider, provider_keys: ProviderKeys, ring: KeyRing, other: Ed25519PrivateKey
) -> None:
    good = document(jwk(other, "p"))
    steps: list[bytes | Exception] = [
        good,
        Unavailable("answered 500"),
        Unavailable("answered 500"),
        b"<html>",
        b"<html>",
        good,
        b"<html>",
    ]
    with capture_logs() as logs:
        for answer in steps:
            provider.answer = answer
            await provider_keys.refresh()
            assert ring.find("p") is not None
    assert [(line["event"], line.get("detail") or line.get("kids")) for line in logs] == [
        ("jwks_changed", ["p"]),
        ("jwks_not_fetched", "answered 500"),
        ("jwks_not_fetched", "the answer is not a JSON Web Key Set"),
        ("jwks_not_fetched", "the answer is not a JSON Web Key Set"),
    ]


async def test_a_key_that_is_not_used_is_told_once(
    provider: Provider, provider_keys: ProviderKeys, other: Ed25519PrivateKey
) -> None:
    with capture_logs() as logs:
        for entries in [[jwk(other, "p", use="enc"), jwk(other, "k1")]] * 2 + [[]] + [[jwk(other, "p", use="enc")]]:
            provider.answer = document(*entries)
            await provider_keys.refresh()
    ignored = [(line["kid"], line["reason"]) for line in logs if line["event"] == "jwks_key_ignored"]
    assert ignored == [
        ("k1", "a configured key has this kid"),
        ("p", "its use is not sig"),
        ("p", "its use is not sig"),
    ]


async def test_a_kid_that_is_not_known_calls_for_a_fetch_but_not_sooner_than_half_a_minute_after_the_last(
    provider: Provider, provider_keys: ProviderKeys, verifier: TokenVerifier, other: Ed25519PrivateKey
) -> None:
    await provider_keys.refresh()
    token = signed(other, "new")
    for _ in range(100):
        assert refuses(verifier, token)
    # No request fetched anything, and the fetch that they ask for waits for its time.
    assert provider.fetches == 1
    await provider_keys.due()
    assert provider.slept_s == [APART_S]
    provider.answer = document(jwk(other, "new"))
    await provider_keys.refresh()
    assert not refuses(verifier, token)
    assert provider.fetches == 2


async def test_a_known_kid_calls_for_nothing(provider_keys: ProviderKeys, verifier: TokenVerifier, keys: Keys) -> None:
    await provider_keys.refresh()
    verifier.verify(signed(keys.ed25519, "k3"), NOW)
    waiting = asyncio.create_task(provider_keys.due())
    for _ in range(10):
        await asyncio.sleep(0)
    assert not waiting.done()
    refuses(verifier, signed(keys.ed25519, "unknown"))
    await asyncio.wait_for(waiting, 5)


async def test_keys_are_fetched_again_after_a_while_without_being_asked_for(
    provider_keys: ProviderKeys, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (APART_S, REFRESH_S) == (30, 60)
    monkeypatch.setattr("monitor.auth.jwks.REFRESH_S", APART_S + 0.01)
    await provider_keys.refresh()
    await asyncio.wait_for(provider_keys.due(), 5)
    assert provider.slept_s == [APART_S]


async def test_a_fetch_that_failed_is_tried_again_half_a_minute_later(
    provider_keys: ProviderKeys, provider: Provider
) -> None:
    provider.answer = Unavailable("away")
    await provider_keys.refresh()
    await asyncio.wait_for(provider_keys.due(), 5)
    assert provider.slept_s == [APART_S]
