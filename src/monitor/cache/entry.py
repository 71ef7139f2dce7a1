"""The value that the cache serves."""

from __future__ import annotations

import gzip

from monitor.domain.encoded import entity_tag


class Entry:
    """
    An encoded body and its age. Treat as frozen: all callers share it.

    ``stale`` marks the last good value, served because a new one could not be computed or because it has been
    invalidated since; a value that is merely past its ``fresh_s`` is not stale. ``age_s`` is 0 on a fresh hit.
    """

    __slots__ = ("_packed", "age_s", "body", "etag", "stale")

    def __init__(
        self,
        body: bytes,
        *,
        etag: str | None = None,
        age_s: float = 0.0,
        stale: bool = False,
        packed: list[bytes] | None = None,
    ) -> None:
        self.body = body
        self.etag = etag or entity_tag(body)
        self.age_s = age_s
        self.stale = stale
        self._packed = [] if packed is None else packed

    def aged(self, age_s: float, *, stale: bool) -> Entry:
        """Return the same body with another age; both share one compressed form."""
        return Entry(self.body, etag=self.etag, age_s=max(age_s, 0.0), stale=stale, packed=self._packed)

    def gzipped(self) -> bytes:
        """Return the body compressed, which is done once."""
        if not self._packed:
            # With the time left out, equal bodies compress to equal bytes in every process.
            self._packed.append(gzip.compress(self.body, compresslevel=5, mtime=0))
        return self._packed[0]
