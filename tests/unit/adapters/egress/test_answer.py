"""What the reader of answers makes of bytes, however they are cut."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.adapters.egress.answer import HEAD_LIMIT_BYTES, READ_LIMIT_BYTES, AnswerReader
from monitor.domain.delivery.outcome import RESPONSE_BODY_BYTES
from tests.answer_scripts import script

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parents[3] / "cases" / "answers.json").read_text())["cases"]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def read(*pieces: bytes, end: bool = True, broken: bool = False) -> AnswerReader:
    reader = AnswerReader()
    for piece in pieces:
        reader.feed(piece)
    if end:
        reader.end(broken=broken)
    return reader


def verdict(reader: AnswerReader) -> tuple[object, ...]:
    status = None if reader.head is None else reader.head.status
    return status, reader.problem, reader.note, reader.body, reader.keep_alive, reader.done


def cut(data: bytes, at: Sequence[int]) -> list[bytes]:
    bounds = [0, *sorted(at), len(data)]
    return [data[a:b] for a, b in pairwise(bounds) if b > a]


# Listed and generated answers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
@given(data=st.data())
def test_a_listed_answer_gets_its_verdict_wherever_it_is_cut(case: dict[str, Any], data: st.DataObject) -> None:
    """The verdict of the list holds for every way to cut the answer."""
    answer = case["answer"].encode("latin-1")
    at = data.draw(st.lists(st.integers(0, len(answer)), max_size=8))
    reader = read(*cut(answer, at), end=case["then"] == "close")
    assert reader.done
    delivered = reader.head is not None and 200 <= reader.head.status < 300
    assert delivered == case["delivered"]
    if not delivered:
        assert (reader.head is None) == (case["error"] != "status")
    if "connection_reused" in case:
        assert reader.keep_alive == (case["connection_reused"] and case["then"] == "keep")


@given(number=st.integers(0, 1 << 32), data=st.data())
def test_no_verdict_depends_on_how_the_bytes_are_cut(number: int, data: st.DataObject) -> None:
    """Status, problem, note, body and reuse are those of the answer in one piece."""
    answer = script(number).data
    at = data.draw(st.lists(st.integers(0, len(answer)), max_size=20))
    whole = read(*cut(answer, []), end=False)
    pieces = read(*cut(answer, at), end=False)
    assert verdict(pieces) == verdict(whole)
    whole.end()
    pieces.end()
    assert verdict(pieces) == verdict(whole)


@given(number=st.integers(0, 1 << 32))
def test_byte_by_byte_is_no_other_answer(number: int) -> None:
    """Pieces of one byte are the hardest cut of all."""
    answer = script(number).data[:20_000]
    assert verdict(read(*cut(answer, range(len(answer))))) == verdict(read(*cut(answer, [])))


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=5))
def test_noise_always_gets_a_verdict(noise: bytes, at: list[int]) -> None:
    """Any bytes are an answer, or have a problem; none raise."""
    reader = read(*cut(noise, at))
    assert reader.done
    assert reader.head is not None or reader.problem


@given(st.binary(max_size=100), st.binary(max_size=2_000))
def test_a_whole_2xx_head_is_a_delivery_whatever_comes_behind_it(reason: bytes, rest: bytes) -> None:
    """A status line and a head that can be framed are the verdict."""
    line = b"HTTP/1.1 200 " + reason.replace(b"\n", b"")
    for framing in (b"content-length: 7\r\n", b"transfer-encoding: chunked\r\n", b""):
        reader = read(line + b"\r\n" + framing + b"\r\n" + rest)
        assert reader.head is not None
        assert reader.head.status == 200


INTERIM_HEADS = st.lists(
    st.sampled_from(
        [
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"HTTP/1.0  199\n\n",
            b"HTTP/1.1 103 Early\r\nlink: </a>\r\n folded\n\r\n",
            b"HTTP/1.1 102\r\r\n\n",
            b"HTTP/1.1 101 Switch\r\n\r\n",
            b"HTTP/1.1 1000\r\n\r\n",
            b"HTTP/1.1 100 \xff\nno field\n\n",
        ]
    ),
    max_size=12,
)


@given(heads=INTERIM_HEADS)
def test_interim_heads_skipped_together_are_those_skipped_one_by_one(heads: list[bytes]) -> None:
    """A flood of them is read fast, and means the same."""
    apart = read(*heads, OK, end=False)
    together = read(b"".join(heads) + OK, end=False)
    assert verdict(together) == verdict(apart)
    assert (together.head is None) == any(b" 101 " in head or b" 1000" in head for head in heads)


# Heads ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "HTTP/1.1 200",
        "HTTP/1.1 200 ",
        "HTTP/1.0 200 Fine",
        "HTTP/1.1  200 OK",
        "HTTP/1.9 200 OK",
        "HTTP/1.1 200 \xe4\x80",
    ],
)
def test_a_status_line_may_look_like_this(line: str) -> None:
    reader = read(line.encode("latin-1") + b"\r\n\r\n")
    assert reader.head is not None
    assert reader.head.status == 200


@pytest.mark.parametrize(
    "line",
    [
        "HTTP/2 200",
        "http/1.1 200 OK",
        "HTTP/1.1 20",
        "HTTP/1.1 099 OK",
        "HTTP/1.1 2000",
        "HTTP/1.1 2x0",
        "HTTP/1.1200",
        "",
    ],
)
def test_a_status_line_may_not_look_like_this_and_nothing_is_waited_for(line: str) -> None:
    reader = read(line.encode() + b"\r\n", end=False)
    assert reader.problem == "the answer is not valid HTTP/1.1"


def test_lines_may_end_without_cr() -> None:
    reader = read(b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok", end=False)
    assert (reader.body, reader.done, reader.keep_alive) == (b"ok", True, True)


def test_fields_are_read_with_their_folds_and_without_what_no_text_may_hold() -> None:
    reader = read(
        b"HTTP/1.1 200 OK\r\nX-A:  one \r\n\t two\r\nX-B: a\x00b\xc3\xa4\r\nx-c:\r\ncontent-length: 0\r\n\r\n"
    )
    assert reader.head is not None
    assert reader.head.fields == (("X-A", "one two"), ("X-B", "a\ufffdb\xe4"), ("x-c", ""), ("content-length", "0"))
    assert reader.note is None


@pytest.mark.parametrize("line", [b"no colon", b": no name", b"blank : before"])
def test_a_malformed_field_is_noted_and_closes(line: bytes) -> None:
    reader = read(b"HTTP/1.1 200 OK\r\n" + line + b"\r\ncontent-length: 0\r\n\r\n")
    assert reader.head is not None
    assert (reader.note, reader.keep_alive) == ("a header line of the answer is malformed", False)


@pytest.mark.parametrize("extra", [0, 1])
@pytest.mark.parametrize("interim", [b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 3])
def test_all_heads_together_may_have_64_kib(interim: bytes, extra: int) -> None:
    start, end = b"HTTP/1.1 200 OK\r\nx: ", b"\r\ncontent-length: 0\r\n\r\n"
    head = start + b"x" * (HEAD_LIMIT_BYTES - len(interim) - len(start) - len(end) + extra) + end
    for pieces in ([interim + head], cut(interim + head, range(0, HEAD_LIMIT_BYTES, 1_000))):
        reader = read(*pieces)
        assert (reader.head is None) == bool(extra)
        assert reader.problem == ("the head of the answer is over the limit of 64 KiB" if extra else None)


@pytest.mark.parametrize(("count", "fits"), [(200, True), (201, False)])
def test_a_head_may_have_200_fields(count: int, fits: bool) -> None:
    reader = read(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * count + b"\r\n")
    assert (reader.head is not None) == fits
    assert reader.problem == (None if fits else "the answer has more header fields than the limit of 200")


def test_of_many_fields_16_kib_are_kept() -> None:
    reader = read(b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%03d: %b\r\n" % (i, b"v" * 1_000) for i in range(60)) + b"\r\n")
    assert reader.head is not None
    assert len(reader.head.fields) == 16


# Framing --------------------------------------------------------------------------------------------------------------


TWICE = "the answer states its length twice"
AMBIGUOUS = "the answer's transfer coding is ambiguous"
SHORT = "the answer's body was cut short"
MALFORMED = "the answer's chunks are malformed"


@pytest.mark.parametrize(
    ("fields", "body", "note"),
    [
        (b"content-length: 2\r\ncontent-length: 2", b"ok", TWICE),
        (b"content-length: 2, 2", b"ok", TWICE),
        (b"content-length: 9\r\ntransfer-encoding: chunked", b"2\r\nok\r\n0\r\n\r\n", AMBIGUOUS),
        (b"transfer-encoding: chunked\r\ntransfer-encoding: chunked", b"2\r\nok\r\n0\r\n\r\n", AMBIGUOUS),
        (b"transfer-encoding: identity", b"ok", AMBIGUOUS),
        (b"content-length: 5", b"ok", SHORT),
        (b"transfer-encoding: chunked", b"2\r\nok\r\n0", SHORT),
        (b"transfer-encoding: chunked", b"2\r\nokX\r\n", MALFORMED),
        (b"transfer-encoding: chunked", b"2\r\nok\r\nno-hex\r\n", MALFORMED),
    ],
)
def test_what_is_odd_about_a_body_is_noted_and_closes(fields: bytes, body: bytes, note: str) -> None:
    reader = read(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n\r\n" + body)
    assert (reader.body, reader.note, reader.keep_alive) == (b"ok", note, False)


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (b"content-length: 002", b"ok"),
        (b"transfer-encoding: chunked", b"02;name=value\r\nok\r\n000\r\ntrailer: x\r\n\r\n"),
        (b"transfer-encoding: gzip, Chunked", b"1 \r\no\r\n1\r\nk\r\n0\r\n\r\n"),
    ],
)
def test_a_whole_body_leaves_the_connection_for_the_next_request(fields: bytes, body: bytes) -> None:
    reader = read(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n\r\n" + body, end=False)
    assert (reader.body, reader.note, reader.keep_alive, reader.done) == (b"ok", None, True, True)


def test_a_length_of_many_digits_is_one() -> None:
    reader = read(b"HTTP/1.1 200 OK\r\ncontent-length: " + b"9" * 5_000 + b"\r\n\r\nok")
    assert (reader.head is not None, reader.note) == (True, "the answer's body was cut short")


def test_bytes_behind_an_answer_close_the_connection() -> None:
    together = read(OK + b"\r\n", end=False)
    apart = read(OK, b"\r\n", end=False)
    assert (together.keep_alive, together.body, together.note) == (False, b"ok", None)
    assert verdict(apart) == verdict(together)


def test_an_answer_until_the_close_that_breaks_is_cut_short() -> None:
    assert read(b"HTTP/1.1 200 OK\r\n\r\nok", broken=True).note == "the answer's body was cut short"
    assert read(b"HTTP/1.1 200 OK\r\n\r\nok").note is None


def test_no_more_is_read_or_kept_than_the_limits() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n"
    fits = read(head % READ_LIMIT_BYTES + b"x" * READ_LIMIT_BYTES, end=False)
    over = read(head % (READ_LIMIT_BYTES + 1) + b"x" * READ_LIMIT_BYTES, end=False)
    assert (len(fits.body), fits.keep_alive, fits.note) == (RESPONSE_BODY_BYTES, True, None)
    assert (len(over.body), over.keep_alive, over.done) == (RESPONSE_BODY_BYTES, False, True)
    assert over.note == "only the first 16 KiB of the answer were read"


def test_a_reader_that_is_reset_remembers_nothing() -> None:
    reader = read(b"HTTP/1.1 500 No\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhe")
    reader.reset()
    reader.feed(OK)
    assert verdict(reader) == verdict(read(OK, end=False))
