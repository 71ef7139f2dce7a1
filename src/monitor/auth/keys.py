"""The key ring: which keys sign and verify tokens, each bound to one algorithm (RFC 8725 section 3.1)."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

Alg = Literal["HS256", "RS256", "EdDSA"]

HMAC_MIN_BYTES = 32
RSA_MIN_BITS = 2048


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One key as configured: ``key`` is PEM for RS256 and EdDSA (private, or public to verify only), base64url for
    HS256."""

    kid: str
    alg: Alg
    key: str

    def __repr__(self) -> str:
        return f"Key(kid={self.kid!r}, alg={self.alg!r}, key='***')"


class LoadedKey:
    """
    A key ready for use. ``private`` is ``None`` when it can only verify.

    ``key_id`` is the kid with a digest of the key: another key under the same kid has another one.
    """

    __slots__ = ("_algorithm", "_public", "alg", "key_id", "kid", "private")

    def __init__(self, kid: str, alg: Alg, private: Any, public: Any) -> None:
        self.kid = kid
        self.alg = alg
        self.private = private
        self.key_id = f"{kid}:{_digest(public)}"
        self._public = public
        self._algorithm = jwt.get_algorithm_by_name(alg)

    def __eq__(self, other: object) -> bool:
        """Whether both take the same tokens."""
        if not isinstance(other, LoadedKey):
            return NotImplemented
        return (self.key_id, self.alg) == (other.key_id, other.alg)

    __hash__ = None  # type: ignore[assignment]

    def verifies(self, content: bytes, signature: bytes) -> bool:
        return bool(self._algorithm.verify(content, self._public, signature))


class KeyRing:
    """
    The live keys; the first configured one signs, all verify. ``generation`` counts changes.

    Args:
        keys: the configured ones.
        alone: no other keys will ever come, so there must be at least one.
        on_unknown: called when a key is missing. Must not wait.

    Raises:
        ValueError: no key, a ``kid`` twice, or a key that is unreadable, too short or of another kind than its ``alg``.
    """

    def __init__(
        self, keys: Sequence[Key], *, alone: bool = True, on_unknown: Callable[[], object] = lambda: None
    ) -> None:
        self._on_unknown = on_unknown
        self._alone = alone
        self._given = tuple(keys)
        self._configured = _load_all(keys, alone=alone)
        self._fetched: dict[str, LoadedKey] = {}
        self.generation = -1
        self._merge()

    def replace(self, keys: Sequence[Key]) -> None:
        """Swap all configured keys at once, without a restart. On ``ValueError`` the old ones stay."""
        if tuple(keys) != self._given:
            self._configured = _load_all(keys, alone=self._alone)
            self._given = tuple(keys)
            self._merge()

    def adopt(self, keys: Sequence[LoadedKey]) -> bool:
        """Swap all keys that come from elsewhere and only verify; return whether that changed any."""
        fetched = {key.kid: key for key in keys}
        if fetched == self._fetched:
            return False
        self._fetched = fetched
        self._merge()
        return True

    def find(self, kid: str) -> LoadedKey | None:
        key = self._all.get(kid)
        if key is None:
            self._on_unknown()
        return key

    def holds(self, key_id: str) -> bool:
        """Whether the key with *key_id* verifies tokens now. Fails closed."""
        return key_id in self._key_ids

    def owns(self, kid: str) -> bool:
        """Whether *kid* is a configured key."""
        return kid in self._configured

    def signer(self) -> LoadedKey:
        """Raises: ValueError: the first key is a public one, or there is none of our own."""
        first = next(iter(self._configured.values()), None)
        if first is None:
            raise ValueError("no key is configured; those of an identity provider only verify")
        if first.private is None:
            raise ValueError(f"key {first.kid!r} is a public key; the first key must be able to sign")
        return first

    def _merge(self) -> None:
        self._all = merged(self._configured, self._fetched)
        self._key_ids = frozenset(key.key_id for key in self._all.values())
        self.generation += 1


def _digest(public: Any) -> str:
    """Return the hex SHA-256 of a public key, or of the secret of an HS256 key."""
    is_secret = isinstance(public, bytes)
    data = public if is_secret else public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(data).hexdigest()


def merged(configured: Mapping[str, LoadedKey], fetched: Mapping[str, LoadedKey]) -> dict[str, LoadedKey]:
    """Return all keys by kid. A configured key wins: otherwise a provider could replace it."""
    return {**fetched, **configured}


def _load_all(keys: Sequence[Key], *, alone: bool) -> dict[str, LoadedKey]:
    if not keys and alone:
        raise ValueError("the key ring is empty; at least one key is needed")
    loaded: dict[str, LoadedKey] = {}
    for key in keys:
        if not key.kid or key.kid in loaded:
            raise ValueError(f"key {key.kid!r}: every key needs a kid of its own")
        private, public = _load_hmac(key) if key.alg == "HS256" else _load_pem(key)
        loaded[key.kid] = LoadedKey(key.kid, key.alg, private, public)
    return loaded


def _load_hmac(key: Key) -> tuple[bytes, bytes]:
    text = key.key.strip().rstrip("=")
    try:
        secret = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"key {key.kid!r}: an HS256 key is base64url") from None
    if len(secret) < HMAC_MIN_BYTES:
        raise ValueError(f"key {key.kid!r}: an HS256 key needs at least {HMAC_MIN_BYTES} bytes, this has {len(secret)}")
    return secret, secret


def _load_pem(key: Key) -> tuple[Any, Any]:
    private, public = _read_pem(key)
    if key.alg == "RS256":
        if not isinstance(public, RSAPublicKey):
            raise ValueError(f"key {key.kid!r}: RS256 needs an RSA key")
        if public.key_size < RSA_MIN_BITS:
            raise ValueError(f"key {key.kid!r}: RSA needs at least {RSA_MIN_BITS} bits, this has {public.key_size}")
    elif not isinstance(public, Ed25519PublicKey):
        raise ValueError(f"key {key.kid!r}: EdDSA needs an Ed25519 key")
    return private, public


def _read_pem(key: Key) -> tuple[Any, Any]:
    pem = key.key.encode()
    try:
        if b"PRIVATE KEY" not in pem:
            return None, load_pem_public_key(pem)
        private = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError(f"key {key.kid!r}: not a readable, unencrypted PEM key") from None
    if not isinstance(private, RSAPrivateKey | Ed25519PrivateKey):
        raise ValueError(f"key {key.kid!r}: only RSA and Ed25519 keys are supported")  # noqa: TRY004 - a wrong value
    return private, private.public_key()
