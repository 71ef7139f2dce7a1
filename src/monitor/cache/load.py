"""Loads: single computations of a key's value, and the registry of those in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Self

from monitor.cache.entry import Entry
from monitor.cache.policy import Key
from monitor.cache.server import ROOT, Fetched
from monitor.cache.stats import Source

Creator = Callable[[], Awaitable[bytes]]


class Load(str):  # noqa: SLOT000 - few live at a time
    """
    The key that dogpile passes around, with the state of one load.

    Loads compare by identity: a superseded load runs on beside its successor, and neither dogpile's registry of locks
    nor ours may take one for the other.
    """

    def __new__(cls, key: Key, *_args: object, **_options: object) -> Self:
        return super().__new__(cls, key.text)

    def __init__(self, key: Key, create: Creator, *, expires_s: float) -> None:
        self.key = key
        self.tags: tuple[str, ...] = (ROOT, *key.tags)
        self.create = create
        self.expires_s = expires_s
        """``fresh_s`` with its jitter."""
        self.tokens: list[bytes] | None = None
        """Of ``tags``, read before the creator ran; ``None`` if the server could not be read."""
        self.prefetched: tuple[float, Fetched] | None = None
        """What came with the lock and has not been used yet, and the monotonic time of its request."""
        self.read_at = 0.0
        """When the tokens were requested, on the monotonic clock: the value found or created is true at that time."""
        self.not_before = 0.0
        """Values created before this Unix time are not good enough."""
        self.parent: Load | None = None
        """The load that needs this one as a dependency."""
        self.superseded = False
        """A tag was invalidated since the load began: the result is for its callers and is not stored."""
        self.fallback: tuple[bytes, float] | None = None
        """A body that is no longer valid, and its creation in Unix seconds."""
        self.entry: Entry | None = None
        self.source = Source.CREATED
        self.on_created: Callable[[], None] = lambda: None
        """Called once ``entry`` has been created, before it is stored at the server."""
        self.deferred: Callable[[], None] | None = None
        """The creation to run once the stale value has been served."""

    def accepts(self, tokens: Sequence[bytes] | None, tags: Sequence[str]) -> bool:
        """
        Return whether a value behind *tokens*, those of the root and of *tags*, may become part of this load's value:
        whether it reflects every invalidation that this load has read.

        Tokens have no order, so tokens newer than ours do not match either. A load without tokens accepts anything,
        since its own value is not stored at the server.
        """
        if self.tokens is None:
            return True
        ours = dict(zip(self.tags, self.tokens, strict=True))
        return tokens is not None and [ours[tag] for tag in (ROOT, *tags)] == list(tokens)

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:
        return self is not other


def load_of(key: str) -> Load:
    """Return *key* as the load it is. Raises ``TypeError`` for a plain string, which has no tags to be valid by."""
    if not isinstance(key, Load):
        raise TypeError(f"the keys of this region are loads, not {type(key).__name__}")
    return key


class SharedLoad:
    """A load in flight and the future that its callers share."""

    __slots__ = ("future", "load", "started")

    def __init__(self, load: Load) -> None:
        self.load = load
        self.future: asyncio.Future[Entry] = asyncio.get_running_loop().create_future()
        load.on_created = self.resolve
        self.started = False
        """Whether it may have read anything. A caller that joins before gets nothing older than its own call."""

    def resolve(self) -> None:
        """Resolve the future with the entry of the load; nothing happens if a stale value has resolved it before."""
        if not self.future.done():
            assert self.load.entry is not None
            self.future.set_result(self.load.entry)


class InFlight:
    """Loads in flight: by key the one that new callers join, and all that an invalidation can supersede."""

    def __init__(self) -> None:
        self._by_key: dict[str, SharedLoad] = {}
        self._all: set[Load] = set()

    def __contains__(self, text: str) -> bool:
        return text in self._by_key

    def joinable(self, text: str) -> SharedLoad | None:
        """Return the load that new callers of the key *text* can join: not one that has been answered already."""
        shared = self._by_key.get(text)
        return None if shared is None or shared.future.done() else shared

    def add(self, shared: SharedLoad) -> None:
        self._by_key[shared.load.key.text] = shared

    def detach(self, shared: SharedLoad) -> None:
        """Let new callers start their own load; a successor of *shared* stays."""
        if self._by_key.get(shared.load.key.text) is shared:
            del self._by_key[shared.load.key.text]

    @contextmanager
    def track(self, load: Load) -> Iterator[None]:
        """Make *load* subject to :meth:`supersede` while the block runs."""
        self._all.add(load)
        try:
            yield
        finally:
            self._all.discard(load)

    def supersede(self, tags: Iterable[str], keys: Iterable[str] = ()) -> None:
        """Mark and detach every load with one of *tags* or of *keys*."""
        invalidated, named = frozenset(tags), frozenset(keys)
        for load in self._all:
            if not invalidated.isdisjoint(load.tags) or load.key.text in named:
                load.superseded = True
        for text, shared in list(self._by_key.items()):
            if not invalidated.isdisjoint(shared.load.tags) or text in named:
                del self._by_key[text]
