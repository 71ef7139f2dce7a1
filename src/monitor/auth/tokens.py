"""
JSON Web Tokens: the identity and the rights of a caller.

PyJWT supplies the signatures; everything around these is checked here, because its strictest settings still let through
``exp`` as text or in milliseconds, duplicate claims, foreign header members and tokens of any size. The order matters:
size and shape before JSON, header before crypto, crypto before claims. Rules: RFC 7515, RFC 7519, RFC 8725.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable
from typing import Any, NoReturn, TypeGuard

import jwt
import msgspec

from monitor.auth.keys import KeyRing, LoadedKey
from monitor.domain.errors import Forbidden, Unauthenticated
from monitor.domain.vocab import Role

HEADER_MEMBERS = frozenset({"alg", "typ", "kid"})
ACCESS_TOKEN_TYPES = frozenset({"at+jwt", "application/at+jwt"})
"""``typ`` of the access tokens of an identity provider, in lower case (RFC 9068 section 2.1)."""

NAME_MAX_CHARS = 255
"""Longest ``sub`` and ``jti``."""

_LATEST_TIME_S = 1e11
"""Roughly the year 5138: a later time is in milliseconds, or nonsense."""

_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")


class TokenPolicy(msgspec.Struct, frozen=True):
    """Claims that a token must have, besides a signature. ``max_lifetime_s`` bounds ``exp - iat``."""

    issuer: str
    audience: str
    leeway_s: float = 10.0
    max_lifetime_s: float = 30 * 86_400.0
    max_bytes: int = 4096

    @property
    def revocation_s(self) -> float:
        """How long a revocation must be kept: as long as any token can be valid."""
        return self.max_lifetime_s + self.leeway_s


class Principal(msgspec.Struct, frozen=True):
    """A verified caller. ``expires_at`` is the token's ``exp`` in Unix seconds, leeway not added; ``key_id`` names the
    key that signed it."""

    subject: str
    role: Role
    jti: str
    expires_at: float
    key_id: str = ""


class TokenVerifier:
    """
    Turns tokens into principals, for HTTP and for the socket alike. Fails closed.

    Args:
        is_revoked: called with the ``jti`` on every call, also when the token itself is remembered. May raise
            ``Unavailable``.
        remembered: how many verified tokens are kept by digest; the oldest goes first. A new ring drops all.
    """

    def __init__(
        self, ring: KeyRing, policy: TokenPolicy, *, is_revoked: Callable[[str], bool], remembered: int = 10_000
    ) -> None:
        self._ring = ring
        self._policy = policy
        self._is_revoked = is_revoked
        self._remembered = remembered
        self._verified: dict[bytes, Principal] = {}
        self._generation = ring.generation

    def verify(self, token: str, now: float) -> Principal:
        """
        Return the principal of *token* at Unix second *now*.

        Raises:
            Unauthenticated: not a valid token of this issuer for this audience now, or revoked.
            Forbidden: genuine, but its role is not one of ours.
            Unavailable: whether it is revoked cannot be determined yet.
        """
        if len(token) > self._policy.max_bytes or not token.isascii():
            _refuse("The token is too long or not ASCII.")
        digest = hashlib.sha256(token.encode()).digest()
        if self._generation != self._ring.generation:
            self._verified.clear()
            self._generation = self._ring.generation
        principal = self._verified.get(digest)
        if principal is None:
            principal = self._examine(token, now)
            self._remember(digest, principal)
        elif now >= principal.expires_at + self._policy.leeway_s:
            del self._verified[digest]
            _refuse("The token has expired.")
        if self._is_revoked(principal.jti):
            _refuse("The token has been revoked.")
        return principal

    def recall(self, token: bytes, now: float) -> Principal | None:
        """Return the principal of *token* if it was verified before and is still valid; else ``None``."""
        if self._generation != self._ring.generation:
            return None
        principal = self._verified.get(hashlib.sha256(token).digest())
        if principal is None or now >= principal.expires_at + self._policy.leeway_s or self._is_revoked(principal.jti):
            return None
        return principal

    def _examine(self, token: str, now: float) -> Principal:
        parts = token.split(".")
        if len(parts) != 3:
            _refuse("The token does not have three parts.")
        key = self._key_for(_json_object(decode_base64url(parts[0])))
        payload, signature = decode_base64url(parts[1]), decode_base64url(parts[2])
        if not key.verifies(f"{parts[0]}.{parts[1]}".encode(), signature):
            _refuse("The signature does not match.")
        return _principal(_json_object(payload), self._policy, now, key.key_id)

    def _key_for(self, header: dict[str, Any]) -> LoadedKey:
        if not header.keys() <= HEADER_MEMBERS:
            _refuse("The token header has a member that is not alg, typ or kid.")
        typ, kid = header.get("typ", "JWT"), header.get("kid")
        if not isinstance(typ, str) or typ.lower() not in {"jwt", *ACCESS_TOKEN_TYPES}:
            _refuse("The token is of another type.")
        key = self._ring.find(kid) if isinstance(kid, str) else None
        if key is None or header.get("alg") != key.alg:
            _refuse("The token names no key of ours, or not that key's algorithm.")
        if typ.lower() in ACCESS_TOKEN_TYPES and self._ring.owns(key.kid):
            _refuse("The token is of a type that only the identity provider issues.")
        return key

    def _remember(self, digest: bytes, principal: Principal) -> None:
        if len(self._verified) >= self._remembered:
            del self._verified[next(iter(self._verified))]
        self._verified[digest] = principal


def issue(ring: KeyRing, policy: TokenPolicy, *, subject: str, role: Role, ttl_s: float, now: float, jti: str) -> str:
    """
    Sign a token with the ring's first key.

    Args:
        ttl_s: more than 0, at most ``policy.max_lifetime_s``.
        now: Unix seconds; fractions are dropped.

    Raises:
        ValueError: the verifier would refuse such a token, or the first key cannot sign.
    """
    if not 0 < ttl_s <= policy.max_lifetime_s:
        raise ValueError(
            f"a token lives more than 0 and at most {policy.max_lifetime_s:.0f} seconds, not {ttl_s:.0f}"
            "; MONITOR_JWT__MAX_LIFETIME_S sets it"
        )
    if not (is_name(subject) and is_name(jti)):
        raise ValueError(f"subject and jti are 1 to {NAME_MAX_CHARS} printable characters")
    issued_at = int(now)
    claims = {
        "iss": policy.issuer, "aud": policy.audience, "sub": subject, "role": role.value, "jti": jti,
        "iat": issued_at, "exp": issued_at + max(int(ttl_s), 1),
    }  # fmt: skip
    signer = ring.signer()
    return jwt.encode(claims, signer.private, algorithm=signer.alg, headers={"kid": signer.kid})


def _principal(claims: dict[str, Any], policy: TokenPolicy, now: float, key_id: str) -> Principal:
    issued_at, expires_at = _time(claims, "iat"), _time(claims, "exp")
    not_before = _time(claims, "nbf") if "nbf" in claims else issued_at
    if now >= expires_at + policy.leeway_s:
        _refuse("The token has expired.")
    if max(issued_at, not_before) > now + policy.leeway_s:
        _refuse("The token is not valid yet.")
    if expires_at - issued_at > policy.max_lifetime_s:
        _refuse("The token lives longer than allowed.")
    if claims.get("iss") != policy.issuer or not _is_for(claims.get("aud"), policy.audience):
        _refuse("The token is from another issuer or for another audience.")
    subject, jti = claims.get("sub"), claims.get("jti")
    if not (is_name(subject) and is_name(jti)):
        _refuse("The token needs a printable sub and jti.")
    try:
        role = Role(claims.get("role", ""))
    except ValueError:
        raise Forbidden("The token's role is not one of viewer, operator, admin, publisher.") from None
    return Principal(subject, role, jti, expires_at, key_id)


def _is_for(audience: object, ours: str) -> bool:
    if isinstance(audience, list):
        return all(isinstance(a, str) for a in audience) and ours in audience
    return audience == ours


def is_name(value: object) -> TypeGuard[str]:
    """Whether *value* can name a subject, a token or a key."""
    return isinstance(value, str) and 0 < len(value) <= NAME_MAX_CHARS and value.isprintable()


def _time(claims: dict[str, Any], name: str) -> float:
    value = claims.get(name)
    # A bool is an int to Python; the comparison is exact for huge integers and false for NaN.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST_TIME_S:
        _refuse(f"The token needs {name} as a number of seconds.")
    return float(value)


def decode_base64url(part: str) -> bytes:
    """Decode unpadded base64url, refusing every second spelling of the same bytes (RFC 7515 section 2).

    Raises:
        Unauthenticated: *part* is none.
    """
    if _BASE64URL.fullmatch(part) is None:
        _refuse("The token is not base64url.")
    try:
        data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except binascii.Error:
        _refuse("The token is not base64url.")
    if base64.urlsafe_b64encode(data).rstrip(b"=") != part.encode():
        _refuse("The token is not base64url.")
    return data


def _json_object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        _refuse("The token does not hold JSON objects with unique members.")
    if not isinstance(value, dict):
        _refuse("The token does not hold JSON objects with unique members.")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate member")
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _refuse(detail: str) -> NoReturn:
    raise Unauthenticated(detail) from None
