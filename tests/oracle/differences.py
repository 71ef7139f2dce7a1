"""Where the sender reads an answer otherwise than aiohttp did, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from monitor.domain.delivery.outcome import Outcome
from monitor.domain.vocab import ErrorKind
from tests.answer_scripts import Script


class Difference(NamedTuple):
    """``applies``: to an answer that the sender read as in ``ours``, and aiohttp otherwise."""

    name: str
    reason: str
    applies: Callable[[Script, Outcome], bool]


def _noted(start: str) -> Callable[[Script, Outcome], bool]:
    return lambda _, ours: ours.exchange is not None and (ours.exchange.note or "").startswith(start)


def _refused(detail: str) -> Callable[[Script, Outcome], bool]:
    return lambda _, ours: ours.error is ErrorKind.PROTOCOL and ours.error_detail == detail


def _has(*traits: str) -> Callable[[Script, Outcome], bool]:
    return lambda script, ours: bool(script.traits & {*traits}) and ours.status_code is not None


VERDICT = "a complete head that can be framed is the verdict, and what is odd behind it is noted"

DIFFERENCES = (
    Difference("body cut short", VERDICT, _noted("the answer's body was cut short")),
    Difference("malformed chunks", VERDICT, _noted("the answer's chunks are malformed")),
    Difference("204 or 304 with a body", VERDICT, _noted("a 204 ")),
    Difference("304 with a body", VERDICT, _noted("a 304 ")),
    Difference("length and chunks", VERDICT, _noted("the answer's transfer coding is ambiguous")),
    Difference("the same length twice", VERDICT, _noted("the answer states its length twice")),
    Difference("malformed field", VERDICT, _noted("a header line of the answer is malformed")),
    Difference(
        "bytes behind", "aiohttp fails the answer when they come in the same packet", _has("long", "more_behind")
    ),
    Difference("bytes behind a head without a body", "the same", _has("bodiless")),
    Difference(
        "other minor version", "llhttp reads 1.0 and 1.1; any HTTP/1.x means the same (RFC 9110)", _has("other_version")
    ),
    Difference("large field", "aiohttp: 8,190 bytes a field; here: 64 KiB in all", _has("large")),
    Difference("many fields", "aiohttp: 100; here: 200", _has("many")),
    Difference(
        "heads over 64 KiB",
        "aiohttp bounds single fields, and so a receiver could send as much as it liked",
        _refused("the head of the answer is over the limit of 64 KiB"),
    ),
    Difference(
        "head cut short",
        "bytes that are no answer are a protocol error; aiohttp said `reset`, as without any byte",
        _refused("the answer ended before its head was complete"),
    ),
)
