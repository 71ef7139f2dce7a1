"""Who waits for the release of which key."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Waiters:
    """Events by key, in the order of arrival, there only while somebody listens."""

    def __init__(self) -> None:
        self._listening: dict[str, list[asyncio.Event]] = {}

    def __len__(self) -> int:
        return len(self._listening)

    @contextmanager
    def register(self, key: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever *key* is released."""
        event = asyncio.Event()
        self._listening.setdefault(key, []).append(event)
        try:
            yield event
        finally:
            events = self._listening[key]
            events.remove(event)
            if not events:
                del self._listening[key]

    def notify(self, key: str) -> None:
        for event in self._listening.get(key, ()):
            event.set()
