"""The region: stock dogpile over the two tiers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from dogpile.cache import CacheRegion, register_backend
from dogpile.cache.api import CacheMutex
from dogpile.cache.region import RegionInvalidationStrategy
from sqlalchemy.util import await_only

from monitor.cache.backend import RedisTier
from monitor.cache.envelope import as_bytes
from monitor.cache.load import load_of
from monitor.cache.proxy import MemoryTier
from monitor.cache.server import ROOT
from monitor.cache.state import CacheState

BACKEND = "monitor.cache.redis"


def build_region(state: CacheState) -> CacheRegion:
    """Return a stock dogpile region; without a server there is nothing behind memory."""
    register_backend(BACKEND, RedisTier.__module__, RedisTier.__name__)  # type: ignore[no-untyped-call]
    region = CacheRegion("monitor", serializer=as_bytes, deserializer=bytes, async_creation_runner=defer)
    return region.configure(
        "dogpile.cache.null" if state.server is None else BACKEND,
        arguments={"state": state, "server": state.server, "bus": state.bus},
        wrap=[MemoryTier(state)],
        region_invalidator=RootInvalidation(lambda: state.bus.invalidate(frozenset({ROOT}), acknowledged=True)),
    )


def defer(region: CacheRegion, key: str, create: Callable[[], bytes], mutex: CacheMutex) -> None:
    """dogpile's ``async_creation_runner``: leave the creation to the load, which serves the stale value first."""

    def run() -> None:
        try:
            region.set(key, create())
        finally:
            mutex.release()

    load_of(key).deferred = run


class RootInvalidation(RegionInvalidationStrategy):
    """``region.invalidate()`` invalidates the root tag, so in every process. No value is judged by its time."""

    def __init__(self, invalidate_all: Callable[[], Awaitable[bool]]) -> None:
        self._invalidate_all = invalidate_all

    def invalidate(self, hard: bool = True) -> None:  # noqa: ARG002 - dogpile's signature
        await_only(self._invalidate_all())

    def is_invalidated(self, timestamp: float) -> bool:  # noqa: ARG002
        return False

    is_hard_invalidated = is_soft_invalidated = is_invalidated

    def was_hard_invalidated(self) -> bool:
        return False

    was_soft_invalidated = was_hard_invalidated
