"""Loads that wait for a lock to be released, by key."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Waiters:
    """Events by key, in order of arrival; a key without a waiter takes no memory."""

    def __init__(self) -> None:
        self._events: dict[str, list[asyncio.Event]] = {}

    @contextmanager
    def register(self, key: str) -> Iterator[asyncio.Event]:
        """Yield an event that is set whenever *key* is released."""
        event = asyncio.Event()
        self._events.setdefault(key, []).append(event)
        try:
            yield event
        finally:
            events = self._events[key]
            events.remove(event)
            if not events:
                del self._events[key]

    def notify(self, key: str) -> None:
        for event in self._events.get(key, ()):
            event.set()
