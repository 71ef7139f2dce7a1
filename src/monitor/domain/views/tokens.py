"""Read models of revoked tokens, and of the one that is signed in."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import Meta

from monitor.domain.vocab import Role

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LATEST_US = 253_370_764_800_000_000
"""The year 9999 in microseconds of Unix time."""


class SessionView(msgspec.Struct, frozen=True, kw_only=True):
    """Who is signed in, by the token that the request was authenticated with, and until when."""

    subject: str
    role: Role
    expires_at: datetime


class Revocation(msgspec.Struct, frozen=True):
    """A token that is refused, named by its ``jti``. Every token with it has expired by ``expires_at``."""

    jti: str
    revoked_at: datetime
    expires_at: datetime

    @property
    def position(self) -> RevocationPosition:
        digest = hashlib.sha256(self.jti.encode()).digest()
        return RevocationPosition((self.revoked_at - _EPOCH) // _MICROSECOND, digest)


class RevocationPosition(msgspec.Struct, frozen=True, array_like=True):
    """Place in the list of revocations, newest first: microseconds of Unix time, and the SHA-256 of the ``jti``, which
    may be longer than a cursor."""

    revoked_us: Annotated[int, Meta(ge=0, le=_LATEST_US)]
    digest: Annotated[bytes, Meta(min_length=32, max_length=32)]

    @property
    def revoked_at(self) -> datetime:
        return _EPOCH + self.revoked_us * _MICROSECOND


def revocation_position(revocation: Revocation) -> bytes:
    """Return the position of *revocation*, encoded for a cursor."""
    return msgspec.msgpack.encode(revocation.position)
