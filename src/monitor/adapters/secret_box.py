"""
Encryption at rest, and signing keys.

A sealed value is ``version | kid length | kid | 12-byte nonce | AES-256-GCM ciphertext and tag``. The context it was
sealed for is authenticated with it, so a value copied into another row does not open.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VERSION = 1
KEY_BYTES = 32
NONCE_BYTES = 12


class SecretBoxError(Exception):
    """A sealed value does not open: another key, another row, or changed bytes. Holds nothing of its content."""


class SecretBox:
    """Seals with the first key of its ring and opens with any."""

    def __init__(self, keys: Sequence[tuple[str, bytes]]) -> None:
        """*keys* are ``(kid, 32 bytes)``. Raises ``ValueError`` for none, a wrong size or a kid used twice."""
        if not keys or len(dict(keys)) != len(keys):
            raise ValueError("give at least one encryption key, each with a kid of its own")
        for kid, key in keys:
            if len(key) != KEY_BYTES or not 1 <= len(kid.encode()) <= 255:
                raise ValueError(f"encryption key {kid!r} must have {KEY_BYTES} bytes and a kid of 1 to 255 bytes")
        self._current = keys[0][0].encode()
        self._ciphers = {kid.encode(): AESGCM(key) for kid, key in keys}

    def seal(self, plaintext: bytes, *, context: str) -> bytes:
        """Encrypt *plaintext* for *context*, for example ``webhook_secret:<id>``."""
        nonce = os.urandom(NONCE_BYTES)
        head = self.current_head
        return head + nonce + self._ciphers[self._current].encrypt(nonce, plaintext, head + context.encode())

    def open(self, sealed: bytes, *, context: str) -> bytes:
        """Decrypt the result of :meth:`seal` for the same *context*. Raises :class:`SecretBoxError`."""
        head, kid = _head(sealed)
        cipher = self._ciphers.get(kid)
        if cipher is None:
            raise SecretBoxError(f"no encryption key has the kid {kid.decode(errors='replace')!r}")
        nonce, ciphertext = sealed[len(head) : len(head) + NONCE_BYTES], sealed[len(head) + NONCE_BYTES :]
        try:
            return cipher.decrypt(nonce, ciphertext, head + context.encode())
        except (InvalidTag, ValueError):
            raise SecretBoxError(
                f"the encryption key {kid.decode(errors='replace')!r} does not open a stored secret: the key has other"
                " bytes than the one that encrypted it, or the secret was changed"
            ) from None

    def has(self, kid: str) -> bool:
        """Whether the ring has a key of this id."""
        return kid.encode() in self._ciphers

    @staticmethod
    def kid_of(sealed: bytes) -> str | None:
        """Return the id of the key that *sealed* needs; ``None`` for what :meth:`seal` did not make."""
        try:
            return _head(sealed)[1].decode()
        except (SecretBoxError, UnicodeDecodeError):
            return None

    @property
    def current_head(self) -> bytes:
        """First bytes of every value sealed by the first key; others are due to be resealed."""
        return bytes((VERSION, len(self._current))) + self._current

    def reseal(self, sealed: bytes, *, context: str) -> bytes:
        """Open with any key and seal with the first. Raises :class:`SecretBoxError`."""
        return self.seal(self.open(sealed, context=context), context=context)


def derived_key(key: bytes, purpose: str) -> bytes:
    """Return a key for *purpose*, of 32 bytes, which reveals nothing about *key* or the keys of other purposes."""
    return hmac.digest(key, f"monitor {purpose}".encode(), "sha256")


def _head(sealed: bytes) -> tuple[bytes, bytes]:
    if len(sealed) < 2 or sealed[0] != VERSION or len(sealed) < 2 + sealed[1] + NONCE_BYTES:
        raise SecretBoxError("a stored secret is not in a form that this version reads")
    end = 2 + sealed[1]
    return sealed[:end], sealed[2:end]
