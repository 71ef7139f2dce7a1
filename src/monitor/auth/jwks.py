"""
The keys of an identity provider, as it publishes them: a JSON Web Key Set (RFC 7517, RFC 7518, RFC 8037).

:func:`read_key_set` decides which of them may verify tokens here. :class:`ProviderKeys` keeps a ring up to date.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog
from jwt import PyJWK, PyJWTError

from monitor.auth.keys import RSA_MIN_BITS, Alg, KeyRing, LoadedKey
from monitor.auth.tokens import decode_base64url, is_name
from monitor.domain.errors import Unauthenticated, Unavailable

MAX_KEYS = 100
RSA_MAX_BITS = 8192
"""A longer key costs milliseconds at each verification."""

REFRESH_S = 60.0
"""How often the keys are fetched: one that the provider took away verifies nothing any more after this time."""

APART_S = 30.0
"""How far apart two fetches are at least, whatever kids callers make up."""

log = structlog.get_logger(__name__)


class Ignored(msgspec.Struct, frozen=True):
    """A published key that is not used, and why."""

    kid: str
    reason: str


class KeySet(msgspec.Struct, frozen=True):
    """What a document holds: the keys that verify, and the others."""

    usable: list[LoadedKey]
    ignored: list[Ignored]


def read_key_set(document: bytes) -> KeySet:
    """
    Read a JWKS document.

    Raises:
        ValueError: it is none, or holds too many keys.
    """
    try:
        entries = msgspec.json.decode(document)["keys"]
    except (msgspec.DecodeError, RecursionError, KeyError, TypeError):
        raise ValueError("the answer is not a JSON Web Key Set") from None
    if not isinstance(entries, list) or len(entries) > MAX_KEYS:
        raise ValueError(f"the answer holds no list of at most {MAX_KEYS} keys")
    usable: dict[str, LoadedKey] = {}
    ignored = []
    for number, entry in enumerate(entries):
        kid = entry.get("kid") if isinstance(entry, dict) else None
        try:
            key = _load(entry)
            if key.kid in usable:
                raise ValueError("another key before it has the same kid")  # noqa: TRY301 - told like all the others
            usable[key.kid] = key
        except ValueError as error:
            ignored.append(Ignored(kid if is_name(kid) else f"#{number}", str(error)))
    return KeySet(list(usable.values()), ignored)


def _load(entry: Any) -> LoadedKey:
    """Return the key that *entry* publishes. Raises ``ValueError`` with the reason why it may not verify."""
    if not isinstance(entry, dict) or not is_name(entry.get("kid")):
        raise ValueError("it has no kid")
    match entry.get("kty"), entry.get("crv"):
        case "RSA", _:
            alg: Alg = "RS256"
        case "OKP", "Ed25519":
            alg = "EdDSA"
        case _:
            raise ValueError("it is neither an RSA nor an Ed25519 key")
    if "d" in entry:
        raise ValueError("it is a private key that should never have been published; replace it")
    if entry.get("use", "sig") != "sig":
        raise ValueError("its use is not sig")
    operations = entry.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise ValueError("its key_ops do not include verify")
    if entry.get("alg", alg) != alg:
        raise ValueError(f"its alg is not {alg}")
    return LoadedKey(entry["kid"], alg, None, _public(entry, alg))


def _public(entry: dict[str, Any], alg: Alg) -> Any:
    """Return the public key. PyJWT alone accepts padding, characters outside base64url and RSA keys of any size."""
    members = ("n", "e") if alg == "RS256" else ("x",)
    for name in members:
        try:
            decode_base64url(entry.get(name, "="))
        except (Unauthenticated, TypeError):
            raise ValueError(f"its {name} is not base64url") from None
    try:
        key = PyJWK(entry, alg).key
    except (PyJWTError, ValueError):
        raise ValueError(f"no {entry['kty']} key has its {' and '.join(members)}") from None
    if alg == "RS256" and not RSA_MIN_BITS <= key.key_size <= RSA_MAX_BITS:
        raise ValueError(f"an RSA key has {RSA_MIN_BITS} to {RSA_MAX_BITS} bits, this has {key.key_size}")
    return key


class ProviderKeys:
    """
    Keeps *ring* up to date with what an identity provider publishes. Fails to the last good keys.

    At most one fetch runs at a time, and no request waits for it: a token under an unknown kid is refused, and the next
    fetch comes earlier.

    Args:
        fetch: returns the document; raises ``Unavailable``.
        wanted: set by the ring when a key is missing.
        sleep: waits for some seconds.
    """

    def __init__(
        self,
        ring: KeyRing,
        fetch: Callable[[], Awaitable[bytes]],
        wanted: asyncio.Event,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._ring = ring
        self._fetch = fetch
        self._wanted = wanted
        self._sleep = sleep
        self._failure: str | None = None
        self._ignored: set[Ignored] = set()

    async def refresh(self) -> None:
        """Fetch the keys once. Raises nothing that the provider can cause."""
        self._wanted.clear()
        try:
            found = read_key_set(await self._fetch())
        except (Unavailable, ValueError) as error:
            self._log_failure(error.detail if isinstance(error, Unavailable) else str(error))
            return
        self._failure = None
        clashing = [
            Ignored(key.kid, "a configured key has this kid") for key in found.usable if self._ring.owns(key.kid)
        ]
        self._log_ignored({*found.ignored, *clashing})
        if self._ring.adopt(found.usable):
            log.info("jwks_changed", kids=[key.kid for key in found.usable])

    async def due(self) -> None:
        """Wait until the next fetch should be made, counted from the last."""
        await self._sleep(APART_S)
        if self._failure is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), REFRESH_S - APART_S)

    def _log_failure(self, failure: str) -> None:
        if failure != self._failure:
            log.warning("jwks_not_fetched", detail=failure)
        self._failure = failure

    def _log_ignored(self, ignored: set[Ignored]) -> None:
        for key in sorted(ignored - self._ignored, key=lambda key: key.kid):
            log.warning("jwks_key_ignored", kid=key.kid, reason=key.reason)
        self._ignored = ignored
