"""The head of an answer: its status, and where its body ends. Pure."""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

FIELD_LIMIT = 200
FIELDS_KEPT_BYTES = 16_384
RETRY_AFTER_LIMIT_CHARS = 64

UNTIL_CLOSE, CHUNKED = -1, -2
"""Lengths of bodies that end where no number says."""

START = b"HTTP/1."
NOT_HTTP = "the answer is not valid HTTP/1.1"

_STATUS_LINE = re.compile(r"HTTP/1\.([0-9]) +([1-9][0-9]{2})(?:[ \t].*)?", re.DOTALL)
_MALFORMED = "a header line of the answer is malformed"
_BLANKS = " \t\r"
_CACHED_BYTES = 1_024


class Head(msgspec.Struct, frozen=True):
    """A final or interim head.

    ``length`` is that of the body, or one of the two constants above. ``fields`` are the first ones, up to 16 KiB.
    ``problem`` says why this is no valid answer; ``note`` what is odd about it although it is one.
    """

    status: int = 0
    length: int = 0
    keep_alive: bool = False
    fields: tuple[tuple[str, str], ...] = ()
    retry_after: str | None = None
    problem: str | None = None
    note: str | None = None


def read_head(data: bytes) -> Head:
    """Read a complete head, the empty line at its end included."""
    return _read_small_head(data) if len(data) <= _CACHED_BYTES else _read(data)


def read_status(line: str) -> re.Match[str] | None:
    """Return minor version and status of a status line, null if it is none."""
    return _STATUS_LINE.fullmatch(line.rstrip("\r"))


def _read(data: bytes) -> Head:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    status_line, *lines = text.rstrip("\r\n").split("\n")
    found = read_status(status_line)
    if found is None:
        return Head(problem=NOT_HTTP)
    status = int(found[2])
    if status == 101:
        return Head(problem="the receiver switched protocols, which was not asked for")
    if status < 200:
        return Head(status)
    fields, note = _fields(lines)
    if len(fields) > FIELD_LIMIT:
        return Head(problem=f"the answer has more header fields than the limit of {FIELD_LIMIT}")
    return _framed(status, found[1] == "0", fields, note)


_read_small_head = lru_cache(maxsize=512)(_read)
"""Many receivers send the same head for a second, or for ever."""


def _fields(lines: list[str]) -> tuple[list[tuple[str, str]], str | None]:
    fields: list[tuple[str, str]] = []
    note = None
    for line in lines:
        name, colon, value = line.partition(":")
        if fields and line[:1] in {" ", "\t"}:
            # A folded line (RFC 9112 section 5.2).
            fields[-1] = (fields[-1][0], f"{fields[-1][1]} {line.strip(_BLANKS)}")
        elif not colon or not name.strip(_BLANKS):
            note = _MALFORMED
        else:
            fields.append((name.strip(_BLANKS), value.strip(_BLANKS)))
            if fields[-1][0] != name:
                note = _MALFORMED
    return fields, note


def _framed(status: int, old_version: bool, fields: list[tuple[str, str]], note: str | None) -> Head:
    """Find out where the body ends (RFC 9112 section 6.3)."""
    lengths = _members("content-length", fields)
    codings = _members("transfer-encoding", fields)
    length = UNTIL_CLOSE
    if status in {204, 304}:
        length = 0
        if codings or any(text.strip("0") for text in lengths):
            note = note or f"a {status} has no body, but this one announces one"
    elif codings:
        if codings[-1] == "chunked":
            length = CHUNKED
        if lengths or old_version or codings.count("chunked") != 1:
            note = note or "the answer's transfer coding is ambiguous"
    elif lengths:
        if not all(text.isascii() and text.isdigit() for text in lengths):
            return Head(problem="the length of the answer is not a number")
        if len({text.lstrip("0") for text in lengths}) > 1:
            return Head(problem="the answer has two lengths that differ")
        digits = lengths[0].lstrip("0") or "0"
        length = int(digits) if len(digits) <= 18 else 10**18
        if len(lengths) > 1:
            note = note or "the answer states its length twice"
    closes = old_version or length == UNTIL_CLOSE or "close" in _members("connection", fields)
    return Head(status, length, not (closes or note), _kept(fields), _retry_after(fields), None, note)


def _members(name: str, fields: list[tuple[str, str]]) -> list[str]:
    values = [value.lower() for other, value in fields if other.lower() == name]
    return [member.strip(_BLANKS) for value in values for member in value.split(",")]


def _retry_after(fields: list[tuple[str, str]]) -> str | None:
    for name, value in fields:
        if name.lower() == "retry-after":
            # One that can be read is ASCII (RFC 9110 section 10.2.3).
            return value[:RETRY_AFTER_LIMIT_CHARS].encode("ascii", "replace").decode()
    return None


def _kept(fields: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    kept: list[tuple[str, str]] = []
    left = FIELDS_KEPT_BYTES
    for name, value in fields:
        left -= len(name) + len(value)
        if left < 0:
            break
        kept.append((_printable(name), _printable(value)))
    return tuple(kept)


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join([char if char.isprintable() else "\ufffd" for char in text])
