"""The key ring: which keys sign and verify tokens, each bound to one algorithm (RFC 8725 section 3.1)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Literal

import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

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
    """A key ready for use. ``private`` is ``None`` when it can only verify."""

    __slots__ = ("_algorithm", "_public", "alg", "kid", "private")

    def __init__(self, kid: str, alg: Alg, private: Any, public: Any) -> None:
        self.kid = kid
        self.alg = alg
        self.private = private
        self._public = public
        self._algorithm = jwt.get_algorithm_by_name(alg)

    def verifies(self, content: bytes, signature: bytes) -> bool:
        return bool(self._algorithm.verify(content, self._public, signature))


class KeyRing:
    """
    The live keys; the first one signs, all verify. ``generation`` counts replacements.

    Raises:
        ValueError: no key, a ``kid`` twice, or a key that is unreadable, too short or of another kind than its ``alg``.
    """

    def __init__(self, keys: Sequence[Key]) -> None:
        self.generation = 0
        self._keys = _load_all(keys)

    def replace(self, keys: Sequence[Key]) -> None:
        """Swap all keys at once, without a restart. On ``ValueError`` the old ones stay."""
        self._keys = _load_all(keys)
        self.generation += 1

    def find(self, kid: str) -> LoadedKey | None:
        return self._keys.get(kid)

    def signer(self) -> LoadedKey:
        """Raises: ValueError: the first key is a public one."""
        first = next(iter(self._keys.values()))
        if first.private is None:
            raise ValueError(f"key {first.kid!r} is a public key; the first key must be able to sign")
        return first


def _load_all(keys: Sequence[Key]) -> dict[str, LoadedKey]:
    if not keys:
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
