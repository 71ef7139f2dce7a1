"""Texts that users type hold nothing that ends a line, or reorders what is shown around it."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.text import LINE, LINES, label_errors, safe_text, text_errors

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Bidi_Control of the Unicode Character Database."""


def is_refused(text: str, *, several_lines: bool = False) -> bool:
    return bool(list(text_errors("/x", text, several_lines=several_lines)))


@given(st.characters())
def test_controls_separators_and_bidi_controls_are_refused_and_nothing_else(character: str) -> None:
    refused = unicodedata.category(character) in {"Cc", "Zl", "Zp"} or character in BIDI
    text = f"a{character}b"
    assert is_refused(text) == refused
    assert is_refused(text, several_lines=True) == (refused and character not in "\t\n\r")
    assert safe_text(text) == (text if character in "\t\n\r" or not refused else "a\ufffdb")
    for schema, several_lines in ((LINE, False), (LINES, True)):
        assert (re.search(schema["pattern"], text) is None) == is_refused(text, several_lines=several_lines)


@pytest.mark.parametrize("text", [None, "", "Zahlungen, Süd", "تسليم", "👩\u200d💻", "می\u200cخواهم"])
def test_every_script_and_emoji_is_fine(text: str | None) -> None:
    assert list(text_errors("/x", text)) == []


def test_the_error_names_the_character_and_not_the_text() -> None:
    (error,) = text_errors("/name", "pay\u202epal\u202e")
    assert (error.pointer, "U+202E" in error.detail, "pal" in error.detail) == ("/name", True, False)


def test_labels_are_checked_by_name_and_value_and_known_ones_stay() -> None:
    labels = {"a\n": "1", "b": "2\x1b", "c": "3"}
    assert [error.pointer for error in label_errors("/labels", labels)] == ["/labels", "/labels"]
    assert list(label_errors("/labels", labels, labels)) == []
    assert len(list(label_errors("/labels", labels, {**labels, "b": "2"}))) == 1
