"""
Port to the server that the processes share, and the messages of its invalidation bus.

Every call raises :class:`ServerGone` when the server does not answer in time or not as expected, and nothing else.
Whether the call took effect is unknown then; each is safe to repeat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

ROOT = "*"
"""The tag of every value."""

TOKEN_BYTES = 8


class ServerGone(Exception):
    """The shared server did not answer, not in time, or with something that is no answer."""


class Member(msgspec.Struct, frozen=True):
    """A process that may serve from its memory until *lease_s* from now, unless it renews."""

    name: str
    lease_s: float


class Invalidated(msgspec.Struct, frozen=True, tag="invalidated"):
    """Values with one of *tags*, and those of *keys*, are no longer true. *needs_ack*: the sender waits for acks."""

    id: int
    sender: str
    tags: tuple[str, ...]
    keys: tuple[str, ...] = ()
    needs_ack: bool = False


class Acked(msgspec.Struct, frozen=True, tag="acked"):
    """*member* has applied the invalidation *id*."""

    id: int
    member: str


class Released(msgspec.Struct, frozen=True, tag="released"):
    """The lock on creating *key* is free."""

    key: str


class Pong(msgspec.Struct, frozen=True):
    """The server's answer to a ping: everything published before it has been received."""

    payload: bytes


BusMessage = Invalidated | Acked | Released

Fetched = tuple[bytes | None, list[bytes | None]]
"""The value of a key and the token of each of its tags, read at one moment."""


class BusSubscription(Protocol):
    """Messages in the order of their publication. Raises ``ServerGone`` once some may have been lost."""

    async def ping(self, payload: bytes) -> None:
        """Request a :class:`Pong` with *payload*, which arrives behind all that was published before."""

    async def receive(self) -> BusMessage | Pong:
        """Wait for the next message."""


class CacheServer(Protocol):
    """The operations that have to be atomic. Lifetimes are in seconds; tags and keys are plain names."""

    async def fetch(self, key: str, tags: Sequence[str]) -> Fetched:
        """Read the value of *key* and the tokens of *tags*, in that order; ``None`` for what is not there."""

    async def mint(self, tokens: Mapping[str, bytes]) -> list[bytes]:
        """Give each tag its token in *tokens* unless it has one; return the tokens that hold, in that order."""

    async def store(self, key: str, value: bytes, ttl_s: float) -> None:
        """Store *value* for *ttl_s*, in place of what was there."""

    async def delete(self, key: str, message: Invalidated) -> None:
        """Delete the value of *key* and publish *message*."""

    async def lock(self, key: str, holder: str, lease_s: float, tags: Sequence[str]) -> Fetched | None:
        """
        Take the lock on creating *key* for *lease_s*.

        Returns:
            What :meth:`fetch` would at that moment, since the last holder may have stored a value; ``None`` if the
            lock is held.
        """

    async def unlock(self, key: str, holder: str) -> None:
        """Free the lock and publish :class:`Released`; nothing happens if *holder* has lost it."""

    async def invalidate(self, tokens: Mapping[str, bytes], message: Invalidated, lease_s: float) -> list[Member]:
        """
        Replace the tokens, publish *message*, and return the live members: those that may not have received it yet.

        A server without its list of members (flushed, or new) counts an unnamed one, for *lease_s* from its first
        call.
        """

    async def renew(self, member: str, lease_s: float) -> None:
        """Make *member* a live member for *lease_s* from now."""

    async def leave(self, member: str) -> None:
        """End the membership at once. Nothing happens without one."""

    async def ack(self, sender: str, message: Acked) -> None:
        """Publish *message* to *sender* alone."""

    async def reset_if_server_changed(self, root_token: bytes, message: Invalidated) -> bool:
        """
        Invalidate the root tag if this is another server than at the last call of any process, or the data behind the
        values may have been set back since; return whether it is so.

        A server restored from a file, or one that took over from another, may hold tokens and values of the past; of
        data restored from a backup, those of a future that is gone.
        """

    async def claim(self, name: str, ttl_s: float) -> bool:
        """Return whether this is the first claim of *name* within *ttl_s*."""

    def subscribe(self, member: str) -> AbstractAsyncContextManager[BusSubscription]:
        """Receive what is published to all and to *member*: everything from the moment the block is entered."""

    async def close(self) -> None:
        """Close all connections."""
