"""Escapes of JSON, HTML and URLs, undone in a text without losing where each character stood."""

from __future__ import annotations

import html
import json
import re
from itertools import repeat
from urllib.parse import unquote

import msgspec

LAYERS = 2
"""Escapes inside each other that are undone, such as JSON in a JSON string."""

_ESCAPES = re.compile(
    r"(?:\\u[0-9a-f]{4})+|\\[\"'\\/]|(?:%[0-9a-f]{2})+|&(?:\#[0-9]{1,7}|\#x[0-9a-f]{1,6}|quot|apos|amp|lt|gt);",
    re.IGNORECASE,
)
_HALF_ESCAPE = re.compile(r"(?:\\(?:u[0-9a-f]{0,3})?|%[0-9a-f]?|&\#?[0-9a-z]{0,7})\Z", re.IGNORECASE)


class UnescapedText(msgspec.Struct, frozen=True):
    """A text without escapes; each of its characters stood from ``starts`` to ``ends``, by its index."""

    text: str
    starts: list[int]
    ends: list[int]


def without_escapes(text: str) -> UnescapedText | None:
    """Return *text* without escapes, also without half of one at its end; ``None`` if it holds none. Linear."""
    pieces: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    at = 0
    half = _HALF_ESCAPE.search(text)
    whole = len(text) if half is None else half.start()
    for found in _ESCAPES.finditer(text, 0, whole):
        piece = _characters(found[0])
        pieces += (text[at : found.start()], piece)
        starts += (*range(at, found.start()), *repeat(found.start(), len(piece)))
        ends += (*range(at + 1, found.start() + 1), *repeat(found.end(), len(piece)))
        at = found.end()
    if not at and half is None:
        return None
    starts += range(at, whole)
    ends += range(at + 1, whole + 1)
    if half is not None and ends:
        ends[-1] = len(text)
    return UnescapedText("".join((*pieces, text[at:whole])), starts, ends)


def _characters(escape: str) -> str:
    if escape[0] == "%":
        return unquote(escape)
    if escape[0] == "&":
        return html.unescape(escape)
    if len(escape) == 2:
        return escape[1]
    characters: str = json.loads(f'"{escape.lower()}"')
    return characters
