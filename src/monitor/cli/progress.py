"""Progress of long work, on a terminal alone."""

from __future__ import annotations

import sys
import time
from typing import Self

EVERY_S = 0.1


class Progress:
    """One line on standard error that is written over; nothing where that is no terminal."""

    def __init__(self, text: str, total: int | None = None) -> None:
        self._text = text
        self._of = "" if total is None else f" of {total:,}"
        self._done = 0
        self._shown_at = 0.0
        self._shows = sys.stderr.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._write("")

    def add(self, count: int = 1) -> None:
        self._done += count
        if self._shows and time.monotonic() - self._shown_at >= EVERY_S:
            self._shown_at = time.monotonic()
            self._write(f"{self._text} {self._done:,}{self._of} …")

    def notice(self, text: str) -> None:
        """Write a line that stays, on a terminal or not."""
        self._write("")
        print(text, file=sys.stderr)

    def _write(self, text: str) -> None:
        if self._shows:
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
