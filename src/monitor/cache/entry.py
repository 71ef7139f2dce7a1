"""The value that the cache serves."""

from __future__ import annotations

import gzip

from monitor.domain.digest import body_digest


class Entry:
    """
    An encoded body and its age. Treat as frozen: all callers share it.

    ``stale`` marks the last good value, served because a new one could not be computed or because it has been
    invalidated since; a value that is merely past its ``fresh_s`` is not stale. ``age_s`` is 0 on a fresh hit.
    """

    __slots__ = ("_packed", "age_s", "body", "digest", "stale")

    def __init__(
        self,
        body: bytes,
        *,
        digest: str | None = None,
        age_s: float = 0.0,
        stale: bool = False,
        packed: list[bytes] | None = None,
    ) -> None:
        self.body = body
        self.digest = digest or body_digest(body)
        self.age_s = age_s
        self.stale = stale
        self._packed = [] if packed is None else packed

    def aged(self, age_s: float, *, stale: bool) -> Entry:
        """Return the same bytes with another age; both share one compressed form."""
        return Entry(self.body, digest=self.digest, age_s=max(age_s, 0.0), stale=stale, packed=self._packed)

    def gzipped(self) -> bytes:
        """Return the body compressed, which is done once."""
        if not self._packed:
            # With the time left out, equal bodies compress to equal bytes in every process.
            self._packed.append(gzip.compress(self.body, compresslevel=5, mtime=0))
        return self._packed[0]
