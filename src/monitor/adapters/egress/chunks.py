"""A chunked body (RFC 9112 section 7.1). Pure."""

from __future__ import annotations

import re
from collections.abc import Callable

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?\r?", re.DOTALL)
_EMPTY_LINES = (b"", b"\r")

_SIZE, _CONTENT, _GAP, _TRAILER = range(4)
"""What comes next: the line with a chunk's size, its content, the end of the line behind it, or a trailer."""


class Chunks:
    """Reads the body from pieces cut anywhere; trailers are dropped. ``done`` once it is complete."""

    __slots__ = ("_left", "_line", "_next", "done")

    def __init__(self) -> None:
        self.done = False
        self._left = 0
        self._line = b""
        self._next = _SIZE

    def feed(self, data: bytes, keep: Callable[[bytes], object]) -> int:
        """Give the content to *keep* and return how many bytes belonged to the body. Raises ``ValueError``."""
        at = 0
        while at < len(data) and not self.done:
            if self._next == _CONTENT:
                content = data[at : at + self._left]
                keep(content)
                at += len(content)
                self._left -= len(content)
                if not self._left:
                    self._next = _GAP
                continue
            end = data.find(b"\n", at)
            if end < 0:
                self._line += data[at:]
                return len(data)
            self._take_line(self._line + data[at:end])
            self._line = b""
            at = end + 1
        return at

    def _take_line(self, line: bytes) -> None:
        if self._next == _SIZE:
            found = _SIZE_LINE.fullmatch(line)
            if found is None:
                raise ValueError
            self._left = int(found[1], 16)
            self._next = _CONTENT if self._left else _TRAILER
        elif self._next == _TRAILER:
            self.done = line in _EMPTY_LINES
        elif line in _EMPTY_LINES:
            self._next = _SIZE
        else:
            raise ValueError
