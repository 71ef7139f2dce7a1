"""The body of a request in a body format, and what the format adds to the URL."""

from __future__ import annotations

import msgspec

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"


class RenderedBody(msgspec.Struct, frozen=True):
    """``path`` begins with a slash and is percent-encoded, as is ``query``; both are empty for the URL as it is."""

    body: bytes
    path: str = ""
    query: str = ""
    content_type: str = JSON

    def url(self, base: str) -> str:
        """Return *base*, a URL in its canonical form, with the path below it and the query behind it."""
        if not self.path and not self.query:
            return base
        path, mark, query = base.partition("?")
        if self.path:
            path = path.rstrip("/") + self.path
        parts = [part for part in (query, self.query) if part]
        return f"{path}?{'&'.join(parts)}" if parts else path + mark
