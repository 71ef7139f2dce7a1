"""One look-up from its start to its answer, and the dogpile key that carries it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Self

from monitor.cache.entry import Entry
from monitor.cache.policy import Key, Policy, View
from monitor.cache.server import ROOT, Fetched
from monitor.cache.stats import Source

Creator = Callable[[], Awaitable[bytes]]

DIRECT = View("region", Policy(fresh_s=60, stale_s=0, grace_s=600))
"""The view of keys that are plain strings: of those who use the dogpile region directly."""


def _nothing() -> None:
    """Nobody waits."""


class Load(str):  # noqa: SLOT000 - few live at a time
    """
    The key that dogpile passes around, together with what belongs to this one look-up.

    Two look-ups of one key are not equal: while an outdated one still runs, a new one begins, and neither may be taken
    for the other, in dogpile's registry of locks no more than in ours.
    """

    def __new__(cls, key: Key, *_args: object, **_options: object) -> Self:
        return super().__new__(cls, key.text)

    def __init__(self, key: Key, create: Creator | None, *, expires_s: float, direct: bool = False) -> None:
        self.key = key
        self.tags: tuple[str, ...] = (ROOT, *key.tags)
        self.create = create
        self.expires_s = expires_s
        """When a value expires for this look-up: ``fresh_s`` with its jitter."""
        self.tokens: list[bytes] | None = None
        """Of ``tags``, read before anything was computed; ``None`` while the server did not tell."""
        self.prefetched: tuple[float, Fetched] | None = None
        """What came with the lock and has not been looked at yet, and when it was asked for."""
        self.read_at = 0.0
        """When the tokens were asked for, on the monotonic clock: what is found or made is true then."""
        self.not_before = 0.0
        """Unix seconds: an older value will not do."""
        self.parent: Load | None = None
        """What this one is looked up for: a value that has seen fewer drops will not do."""
        self.superseded = False
        """Something it may have read has been dropped since: the result is for those who wait, not to be kept."""
        self.fallback: tuple[bytes, float] | None = None
        """A body that is no longer valid, and when it was made in Unix seconds."""
        self.entry: Entry | None = None
        self.source = Source.CREATED
        self.on_created: Callable[[], None] = _nothing
        """Called when ``entry`` has just been created, before it is stored for others."""
        self.direct = direct
        """Made for a plain string, so for one call of the region only."""
        self.deferred: Callable[[], None] | None = None
        """The creation to run once the old value has been answered."""

    def accepts(self, tokens: Sequence[bytes] | None, tags: Sequence[str]) -> bool:
        """
        Return whether a value behind *tokens*, of the root and of *tags*, has seen every drop that this has seen.

        Tokens have no order, so those of a later drop count as none of ours. Where the server told this look-up
        nothing, its value is kept behind nothing, and any will do.
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
    """Return *key* as a look-up; a plain string is the key of someone who uses the region directly."""
    if isinstance(key, Load):
        return key
    return Load(Key(key, DIRECT, ()), None, expires_s=DIRECT.policy.fresh_s, direct=True)


class SharedLoad:
    """A look-up under way and the answer that its callers share."""

    __slots__ = ("future", "load", "started")

    def __init__(self, load: Load) -> None:
        self.load = load
        self.future: asyncio.Future[Entry] = asyncio.get_running_loop().create_future()
        load.on_created = self.resolve
        self.started = False
        """Whether it may have read anything. Until then, whoever joins it has read nothing older than themselves."""

    def resolve(self) -> None:
        """Answer with what the look-up has, unless that is done: a stored value may have been answered before."""
        if not self.future.done():
            assert self.load.entry is not None
            self.future.set_result(self.load.entry)


class InFlight:
    """
    The look-ups in progress: for each key the one that new callers join, and all that can be doomed.
    """

    def __init__(self) -> None:
        self._joinable: dict[str, SharedLoad] = {}
        self._all: set[Load] = set()

    def __len__(self) -> int:
        return len(self._all) + len(self._joinable)

    def joinable(self, text: str) -> SharedLoad | None:
        return self._joinable.get(text)

    def add(self, shared: SharedLoad) -> None:
        """Let new callers join *shared*."""
        self._joinable[shared.load.key.text] = shared

    def detach(self, shared: SharedLoad) -> None:
        """Let new callers start anew. A successor that they have started by now stays."""
        text = shared.load.key.text
        if self._joinable.get(text) is shared:
            del self._joinable[text]

    @contextmanager
    def track(self, load: Load) -> Iterator[None]:
        """Let *load* be doomed while the block runs."""
        self._all.add(load)
        try:
            yield
        finally:
            self._all.discard(load)

    def supersede(self, tags: Iterable[str], keys: Iterable[str] = ()) -> None:
        """Doom and detach every look-up with one of *tags* or of *keys*."""
        dropped, named = frozenset(tags), frozenset(keys)
        for load in self._all:
            if not dropped.isdisjoint(load.tags) or load.key.text in named:
                load.superseded = True
        for text, shared in list(self._joinable.items()):
            if not dropped.isdisjoint(shared.load.tags) or text in named:
                del self._joinable[text]
