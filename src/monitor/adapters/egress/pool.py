"""Idle connections, by what each may carry."""

from __future__ import annotations

from monitor.adapters.egress.connection import Connection, Key


class Pool:
    """
    Keeps each connection until it is taken, ends, or is too old.

    The one used last is taken first, so that those beyond the need age out. There is no limit: the caller caps what is
    under way per webhook, and a shared limit would let one slow receiver starve the others.

    Args:
        idle_s: how long a connection may lie idle; servers and middleboxes drop it silently sooner or later.
        max_age_s: how old it may be at all, so that a name that moved is noticed.
    """

    def __init__(self, *, idle_s: float, max_age_s: float) -> None:
        self._idle_s = idle_s
        self._max_age_s = max_age_s
        self._idle: dict[Key, list[Connection]] = {}

    def __bool__(self) -> bool:
        return bool(self._idle)

    def take(self, key: Key, now: float) -> Connection | None:
        """Return a connection that is open and silent, null if there is none."""
        idle = self._idle.get(key)
        if idle is None:
            return None
        noisy: list[Connection] = []
        found = None
        while idle and found is None:
            connection = idle.pop()
            connection.pooled = False
            if not self._is_fresh(connection, now):
                connection.drop()
            elif connection.is_silent():
                found = connection
            elif connection.is_tls:
                # What waits to be read may be a session ticket: the loop finds out.
                noisy.append(connection)
                connection.pooled = True
            else:
                connection.drop()
        idle += reversed(noisy)
        if not idle:
            del self._idle[key]
        return found

    def put(self, connection: Connection, now: float) -> None:
        """Keep *connection*, which nothing is under way on, or drop it for its age."""
        connection.idle_since = now
        if now - connection.opened_at > self._max_age_s:
            connection.drop()
            return
        connection.pooled = True
        if (idle := self._idle.get(connection.key)) is None:
            self._idle[connection.key] = [connection]
        else:
            idle.append(connection)

    def discard(self, connection: Connection) -> None:
        """Remove a connection that has ended, if it is here."""
        if connection.pooled:
            connection.pooled = False
            idle = self._idle[connection.key]
            idle.remove(connection)
            if not idle:
                del self._idle[connection.key]

    def sweep(self, now: float) -> None:
        """Drop what is too old."""
        for connection in [c for idle in self._idle.values() for c in idle if not self._is_fresh(c, now)]:
            self.discard(connection)
            connection.drop()

    def clear(self) -> None:
        for connection in [c for idle in self._idle.values() for c in idle]:
            self.discard(connection)
            connection.drop()

    def _is_fresh(self, connection: Connection, now: float) -> bool:
        return now - connection.idle_since <= self._idle_s and now - connection.opened_at <= self._max_age_s
