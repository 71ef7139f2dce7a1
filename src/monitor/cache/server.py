"""
The port to the server that the processes share, and what they tell each other through it.

Every call raises :class:`ServerGone` when the server does not answer in time, and nothing else. After that it is not
known whether the call was carried out; each is safe to repeat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

ROOT = "*"
"""The tag that every value carries."""

TOKEN_BYTES = 8


class ServerGone(Exception):
    """The shared server did not answer, or not in time."""


class Member(msgspec.Struct, frozen=True):
    """A process that may serve from its memory until *lease_s* from now, unless it renews."""

    name: str
    lease_s: float


class Invalidated(msgspec.Struct, frozen=True, tag="invalidated"):
    """*tags*, and *keys* by name, are no longer true. With *answer*, the sender waits to hear that it was heeded."""

    id: int
    sender: str
    tags: tuple[str, ...]
    keys: tuple[str, ...] = ()
    needs_ack: bool = False


class Acked(msgspec.Struct, frozen=True, tag="acked"):
    """*member* has carried out the message *id*."""

    id: int
    member: str


class Released(msgspec.Struct, frozen=True, tag="released"):
    """Nobody creates *key* any more."""

    key: str


class Pong(msgspec.Struct, frozen=True, tag="pong"):
    """The server's answer to a ping: everything sent before it has been received."""

    payload: bytes


BusMessage = Invalidated | Acked | Released

Fetched = tuple[bytes | None, list[bytes | None]]
"""The value of a key and the token of each of its tags, as they stood together."""


class BusSubscription(Protocol):
    """What the server says, in the order in which it said it. Raises ``ServerGone`` once it can hear no more."""

    async def ping(self, payload: bytes) -> None:
        """Ask for a :class:`Pong` with *payload* behind all that has been sent."""
        ...

    async def receive(self) -> BusMessage | Pong:
        """Wait for the next one."""
        ...


class CacheServer(Protocol):
    """The operations that must be atomic. Lifetimes are in seconds; tags and keys are plain names."""

    async def fetch(self, key: str, tags: Sequence[str]) -> Fetched: ...

    async def mint(self, tokens: Mapping[str, bytes]) -> list[bytes]:
        """Give each tag its token in *tokens* unless it has one; return the tokens that hold, in that order."""
        ...

    async def store(self, key: str, value: bytes, ttl_s: float) -> None: ...

    async def delete(self, key: str, message: Invalidated) -> None:
        """Delete the value of *key* and tell everyone."""
        ...

    async def lock(self, key: str, holder: str, lease_s: float, tags: Sequence[str]) -> Fetched | None:
        """
        Take the right to create *key*, unless somebody has it.

        Returns:
            What :meth:`fetch` would at that moment, since the last holder may have left a value; ``None`` if somebody
            has it.
        """
        ...

    async def unlock(self, key: str, holder: str) -> None:
        """Give that right back and say so; nothing happens if *holder* has lost it."""
        ...

    async def invalidate(self, tokens: Mapping[str, bytes], message: Invalidated, lease_s: float) -> list[Member]:
        """
        Replace the tokens, tell everyone, and return who may still have missed it: the live members.

        A server that has lost its members (it was flushed, or is new) counts somebody unknown as one, for *lease_s*
        from when it noticed.
        """
        ...

    async def renew(self, member: str, lease_s: float) -> None:
        """Be a member for *lease_s* from now."""
        ...

    async def leave(self, member: str) -> None: ...

    async def ack(self, sender: str, message: Acked) -> None:
        """Tell *sender* alone."""
        ...

    async def reset_if_server_changed(self, root_token: bytes, message: Invalidated) -> bool:
        """
        Drop the root tag if this server is not the one that was adopted last; say whether that was so.

        A server that came back from a file, or took over from another, may hold tokens and values of the past.
        """
        ...

    async def claim(self, name: str, ttl_s: float) -> bool:
        """Be the first to take *name*."""
        ...

    def subscribe(self, member: str) -> AbstractAsyncContextManager[BusSubscription]:
        """Hear what is said to everyone and to *member*: all of it from when the block is entered."""
        ...

    async def close(self) -> None: ...
