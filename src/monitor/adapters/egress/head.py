"""The head of an answer: its status, and where its body ends. Pure."""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

FIELD_LIMIT = 200
FIELDS_KEPT_BYTES = 16_384
RETRY_AFTER_LIMIT_CHARS = 64

UNTIL_CLOSE, CHUNKED = -1, -2
"""In place of a length, for bodies that state none."""

START = b"HTTP/1."
NOT_HTTP = "the answer is not valid HTTP/1.1"

_STATUS_LINE = re.compile(r"HTTP/1\.([0-9]) +([1-9][0-9]{2})(?:[ \t].*)?", re.DOTALL)
_REGULAR_FIELDS = re.compile(r"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\x00-\x08\x0a-\x1f\x7f-\x9f]*\r\n)*")
_REGULAR_FIELD = re.compile(r"([^:]+):[ \t]*([^\r]*)\r\n")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_MALFORMED = "a header line of the answer is malformed"
_BLANKS = " \t\r"
_SPECIAL = frozenset({"connection", "content-length", "retry-after", "transfer-encoding"})
_CACHED_BYTES = 1_024


class Head(msgspec.Struct, frozen=True):
    """A final or interim head.

    ``length`` is that of the body, or one of the two constants above. ``fields`` are the first ones, up to 16 KiB.
    ``problem`` is why this is no valid answer; ``note`` what is odd about it although it is one. ``version`` is
    that of HTTP.
    """

    status: int = 0
    length: int = 0
    keep_alive: bool = False
    fields: tuple[tuple[str, str], ...] = ()
    retry_after: str | None = None
    problem: str | None = None
    note: str | None = None
    version: str = "1.1"


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
    status_line, _, rest = text.partition("\n")
    found = read_status(status_line)
    if found is None:
        return Head(problem=NOT_HTTP)
    status = int(found[2])
    if status == 101:
        return Head(problem="the receiver switched protocols, which was not asked for")
    if status < 200:
        return Head(status)
    fields, note, clean = _fields(rest)
    if len(fields) > FIELD_LIMIT:
        return Head(problem=f"the answer has more header fields than the limit of {FIELD_LIMIT}")
    return _framed(status, found[1], fields, tuple(fields) if clean else _kept(fields), note)


_read_small_head = lru_cache(maxsize=512)(_read)
"""Many receivers send the same head for a second, or for ever."""


def _fields(text: str) -> tuple[list[tuple[str, str]], str | None, bool]:
    """Return fields, what is odd about a line, and whether all of it may be kept as it is."""
    regular = text.removesuffix("\r\n")
    if _REGULAR_FIELDS.fullmatch(regular) and " \r" not in regular and "\t\r" not in regular:
        return _REGULAR_FIELD.findall(regular), None, len(text) <= FIELDS_KEPT_BYTES
    fields: list[tuple[str, str]] = []
    note = None
    for line in text.rstrip("\r\n").split("\n"):
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
    return fields, note, False


def _framed(
    status: int, minor: str, fields: list[tuple[str, str]], kept: tuple[tuple[str, str], ...], note: str | None
) -> Head:
    """Find out where the body ends (RFC 9112 section 6.3)."""
    old_version = minor == "0"
    special: dict[str, list[str]] = {}
    for name, value in fields:
        if (key := name.lower()) in _SPECIAL:
            special.setdefault(key, []).append(value)
    lengths = _members(special, "content-length")
    codings = _members(special, "transfer-encoding")
    if status in {204, 304}:
        length, oddity = 0, None
        if codings or any(text.strip("0") for text in lengths):
            oddity = f"a {status} has no body, but this one announces one"
    elif codings:
        length = CHUNKED if codings[-1] == "chunked" else UNTIL_CLOSE
        clear = not lengths and not old_version and codings.count("chunked") == 1
        oddity = None if clear else "the answer's transfer coding is ambiguous"
    elif problem := _wrong_lengths(lengths):
        return Head(problem=problem)
    else:
        length = _length(lengths)
        oddity = "the answer states its length twice" if len(lengths) > 1 else None
    closes = old_version or length == UNTIL_CLOSE or "close" in _members(special, "connection")
    note = note or oddity
    retry_after = _retry_after(special.get("retry-after", []))
    return Head(status, length, not (closes or note), kept, retry_after, None, note, f"1.{minor}")


def _wrong_lengths(lengths: list[str]) -> str | None:
    if not all(text.isascii() and text.isdigit() for text in lengths):
        return "the length of the answer is not a number"
    if len({text.lstrip("0") for text in lengths}) > 1:
        return "the answer has two lengths that differ"
    return None


def _length(lengths: list[str]) -> int:
    if not lengths:
        return UNTIL_CLOSE
    digits = lengths[0].lstrip("0") or "0"
    return int(digits) if len(digits) <= 18 else 10**18


def _members(special: dict[str, list[str]], name: str) -> list[str]:
    if name not in special:
        return []
    return [member.strip(_BLANKS).lower() for value in special[name] for member in value.split(",")]


def _retry_after(values: list[str]) -> str | None:
    # One that can be read is ASCII (RFC 9110 section 10.2.3).
    return values[0][:RETRY_AFTER_LIMIT_CHARS].encode("ascii", "replace").decode() if values else None


def _kept(fields: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    kept: list[tuple[str, str]] = []
    left = FIELDS_KEPT_BYTES
    for name, value in fields:
        left -= len(name) + len(value)
        if left < 0:
            break
        # No text of PostgreSQL may hold NUL, and no terminal should get the others.
        kept.append((_CONTROL.sub("\ufffd", name), _CONTROL.sub("\ufffd", value)))
    return tuple(kept)
