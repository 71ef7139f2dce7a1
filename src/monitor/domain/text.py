"""
Short texts that users type: names, labels, notes. None may end a line, or reorder what is shown around it.

Refused are control characters (Unicode category Cc), the line and paragraph separators, and the controls of
bidirectional text (UAX #9 section 2), by which a name could be read as another one. Joiners stay: emoji and several
scripts need these.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from monitor.domain.errors import FieldError

_REORDERING = r"\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
LINE = {"pattern": rf"^[^\u0000-\u001f\u007f-\u009f{_REORDERING}]*$"}
LINES = {"pattern": rf"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f{_REORDERING}]*$"}
"""JSON Schemas of a text in one line, and of one with tabs and line breaks; for the documentation only."""

_IN_LINE = re.compile(rf"[\u0000-\u001f\u007f-\u009f{_REORDERING}]")
_IN_LINES = re.compile(rf"[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f{_REORDERING}]")


def text_errors(pointer: str, text: str | None, *, several_lines: bool = False) -> Iterator[FieldError]:
    """Yield what is wrong with *text*, at most one error, which names the character and not the text."""
    found = None if text is None else (_IN_LINES if several_lines else _IN_LINE).search(text)
    if found is not None:
        yield FieldError(
            pointer,
            f"Remove the character U+{ord(found[0]):04X}: control characters, and those that change the direction of"
            " text, are not allowed here.",
        )


def label_errors(
    pointer: str, labels: Mapping[str, str], known: Mapping[str, str] | None = None
) -> Iterator[FieldError]:
    """
    Yield what is wrong with the names and values of *labels*.

    Args:
        known: labels that are stored already, by a version without these rules, perhaps; they may stay.
    """
    for name, value in labels.items():
        if known is None or known.get(name) != value:
            yield from text_errors(pointer, name)
            yield from text_errors(pointer, value)


def safe_text(text: str) -> str:
    """Return *text* with U+FFFD for each character that :func:`text_errors` refuses in several lines."""
    return _IN_LINES.sub("\ufffd", text)


def escaped_json(text: str) -> str:
    """Return JSON *text* with an escape for each of the same characters; it means the same."""
    return _IN_LINES.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
