"""Answers of receivers, good and bad, each made from one number."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from random import Random  # noqa: TID251 - one number, one answer

STATUSES = (200, 200, 200, 201, 202, 204, 204, 302, 304, 400, 410, 429, 500, 503, 599, 999)


@dataclass
class Script:
    """
    What a receiver sends to one request.

    Attributes:
        cuts: where it is cut into pieces.
        then: ``close`` or ``keep``: what becomes of the connection.
        traits: what is particular about it.
    """

    data: bytes = b""
    cuts: list[int] = field(default_factory=list)
    then: str = "close"
    traits: set[str] = field(default_factory=set)

    def pieces(self) -> list[bytes]:
        bounds = [0, *self.cuts, len(self.data)]
        return [self.data[a:b] for a, b in pairwise(bounds) if b > a]


def script(number: int) -> Script:
    """Return the answer of this number."""
    rng = Random(number)
    made = Script()
    newline = _choose(rng, made, (0.95, "", b"\r\n"), (0.05, "bare_lf", b"\n"))
    interim = b"".join(_interim(rng, made, newline) for _ in range(rng.choice((0, 0, 0, 0, 1, 2))))
    status = rng.choice(STATUSES)
    if status in {204, 304}:
        made.traits.add("bodiless")
    lines = [_status_line(rng, made, status), *_fields(rng, made)]
    framing, body = _body(rng, made)
    lines[1:1] = framing
    rng.shuffle(lines[1:])
    made.data = interim + b"".join(line + newline for line in lines) + newline + body
    if rng.random() < 0.08:
        made.traits.add("truncated")
        made.data = made.data[: rng.randrange(len(made.data) + 1)]
    elif rng.random() < 0.04:
        made.traits.add("more_behind")
        made.data += b"HTTP/1.1 500 Late\r\ncontent-length: 0\r\n\r\n"
    made.then = "keep" if "whole" in made.traits and "truncated" not in made.traits and rng.random() < 0.5 else "close"
    made.cuts = sorted(rng.randrange(len(made.data) + 1) for _ in range(rng.choice((0, 0, 1, 2, 8))))
    return made


def _choose(rng: Random, made: Script, *choices: tuple[float, str, bytes]) -> bytes:
    """Return one of the (weight, trait, bytes)."""
    _, trait, data = rng.choices(choices, [weight for weight, *_ in choices])[0]
    made.traits.update({trait} if trait else set())
    return data


def _interim(rng: Random, made: Script, newline: bytes) -> bytes:
    made.traits.add("interim")
    lines = [rng.choice((b"HTTP/1.1 100 Continue", b"HTTP/1.1 102 Processing", b"HTTP/1.1 103 Early Hints"))]
    lines += [b"link: </a.css>"] * rng.choice((0, 0, 1, 3))
    return b"".join(line + newline for line in lines) + newline


def _status_line(rng: Random, made: Script, status: int) -> bytes:
    version = _choose(
        rng, made, (0.90, "", b"HTTP/1.1"), (0.07, "http_1_0", b"HTTP/1.0"), (0.03, "other_version", b"HTTP/1.7")
    )
    digits = _choose(rng, made, (0.98, "", b"%d" % status), (0.01, "bad_status", b"20"), (0.01, "bad_status", b"2000"))
    reason = _choose(
        rng,
        made,
        (0.80, "", b" OK"),
        (0.08, "", b""),
        (0.05, "", b" "),
        (0.05, "odd_reason", b" \xe4\xbd\xa0 \x80"),
        (0.02, "not_http", b"\x00"),
    )
    return version + b" " + digits + reason


def _fields(rng: Random, made: Script) -> list[bytes]:
    lines = [b"X-Field-%d: value %d" % (i, i) for i in range(rng.randrange(6))]
    kind = rng.choices(
        ("plain", "folded", "large", "many", "too_many", "too_large", "no_colon", "blank", "nameless", "odd", "close"),
        (70, 4, 3, 3, 1, 1, 2, 2, 1, 3, 10),
    )[0]
    made.traits.add(kind)
    lines += {
        "plain": [],
        "folded": [b"X-Folded: one", b"\ttwo", b"  three"],
        "large": [b"X-Large: " + b"x" * 9_000],
        "many": [b"X: y"] * 150,
        "too_many": [b"X: y"] * 220,
        "too_large": [b"X-%d: %b" % (i, b"x" * 8_000) for i in range(9)],
        "no_colon": [b"this is no field"],
        "blank": [b"X-Blank : before the colon"],
        "nameless": [b": no name"],
        "odd": [b"X-Odd: \x01\x7f \xe4\xff"],
        "close": [b"Connection: close"],
    }[kind]
    return lines


def _body(rng: Random, made: Script) -> tuple[list[bytes], bytes]:
    content = bytes(rng.randrange(256) for _ in range(rng.choice((0, 2, 40, 300)))) * rng.choice((1, 1, 1, 1, 90))
    kind = rng.choices(
        ("length", "chunked", "until_close", "short", "long", "twice", "differ", "no_number", "both", "bad_chunk",
         "gzip_chunked", "cut_chunk"),
        (40, 20, 10, 4, 3, 3, 2, 2, 3, 3, 2, 3),
    )[0]  # fmt: skip
    made.traits.add(kind)
    if kind in {"length", "chunked", "twice", "gzip_chunked"}:
        made.traits.add("whole")
    length, chunked = b"Content-Length: %d", b"Transfer-Encoding: chunked"
    chunks = _chunks(rng, made, content)
    return {
        "length": ([length % len(content)], content),
        "chunked": ([chunked], chunks),
        "until_close": ([], content),
        "short": ([length % (len(content) + 10)], content),
        "long": ([length % (len(content) // 2)], content + b"!"),
        "twice": ([length % len(content)] * 2, content),
        "differ": ([length % len(content), length % (len(content) + 1)], content),
        "no_number": ([rng.choice((b"Content-Length: -1", b"Content-Length: 1x", b"Content-Length: "))], content),
        "both": ([length % len(content), chunked], chunks),
        "bad_chunk": ([chunked], rng.choice((b"not-hex\r\n", b"2\r\nokXX\r\n0\r\n\r\n", b"-1\r\n"))),
        "gzip_chunked": ([b"Transfer-Encoding: gzip, chunked"], chunks),
        "cut_chunk": ([chunked], chunks[: max(0, len(chunks) - 3)]),
    }[kind]


def _chunks(rng: Random, made: Script, content: bytes) -> bytes:
    size = rng.choice((1, 7, 4_096)) if len(content) < 500 else 4_096
    extension = b";a=b" if rng.random() < 0.1 else b""
    pieces = [content[i : i + size] for i in range(0, len(content), size)]
    trailers = b"X-Trailer: 1\r\n" if rng.random() < 0.2 else b""
    return b"".join(b"%x%b\r\n%b\r\n" % (len(p), extension, p) for p in pieces) + b"0\r\n" + trailers + b"\r\n"
