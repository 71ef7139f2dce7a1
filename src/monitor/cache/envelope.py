"""The stored form of a value: the tokens of its tags, then dogpile's envelope."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from dogpile.cache.region import value_version

from monitor.cache.server import TOKEN_BYTES


class _Metadata(msgspec.Struct):
    """What dogpile stores in front of a value: its creation in Unix seconds and the version of the format."""

    ct: float
    v: int


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Metadata).decode


def as_bytes(value: object) -> bytes:
    """Only encoded answers are cached. Raises ``TypeError`` for anything else."""
    if not isinstance(value, bytes):
        raise TypeError(f"the cache stores bytes, not {type(value).__name__}")
    return value


def seal(body: bytes, created_at: float) -> bytes:
    """Return dogpile's envelope of *body*, created at *created_at* in Unix seconds."""
    return b"%b|%b" % (_encode(_Metadata(created_at, value_version)), body)


def unseal(envelope: bytes) -> tuple[bytes, float]:
    """Return the body and its creation in Unix seconds. Raises ``msgspec.MsgspecError``."""
    metadata, _, body = envelope.partition(b"|")
    return body, _decode(metadata).ct


def split(stored: bytes, tokens: Sequence[bytes]) -> tuple[bool, bytes]:
    """Return whether *stored* stands behind exactly *tokens*, and the envelope in it."""
    length = TOKEN_BYTES * len(tokens)
    return stored[:length] == b"".join(tokens), stored[length:]
