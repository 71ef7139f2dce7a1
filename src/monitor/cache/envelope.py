"""The stored form of a value: the tokens of its tags, then dogpile's envelope."""

from __future__ import annotations

import json
from collections.abc import Sequence

from dogpile.cache.api import MetaDataType
from dogpile.cache.region import value_version

from monitor.cache.server import TOKEN_BYTES


def as_bytes(value: object) -> bytes:
    """Only encoded answers are cached. Raises ``TypeError`` for anything else."""
    if not isinstance(value, bytes):
        raise TypeError(f"the cache stores bytes, not {type(value).__name__}")
    return value


def seal(body: bytes, created_at: float) -> bytes:
    """Return dogpile's envelope of *body*, made at *created_at* in Unix seconds."""
    metadata: MetaDataType = {"ct": created_at, "v": value_version}
    return b"%b|%b" % (json.dumps(metadata).encode(), body)


def unseal(envelope: bytes) -> tuple[bytes, float]:
    """Return the body and when it was made. Raises ``ValueError``, ``KeyError`` or ``TypeError``."""
    metadata, _, body = envelope.partition(b"|")
    return body, float(json.loads(metadata)["ct"])


def split(stored: bytes, tokens: Sequence[bytes]) -> tuple[bool, bytes]:
    """Return whether *stored* stands behind exactly *tokens*, and the envelope in it."""
    length = TOKEN_BYTES * len(tokens)
    return stored[:length] == b"".join(tokens), stored[length:]
