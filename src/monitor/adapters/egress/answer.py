"""
Reads one HTTP/1.1 answer from pieces that may be cut anywhere. Pure.

llhttp (httptools) is not used: it refuses heads that can well be framed, such as a length stated twice, lines without
CR, or a blank before a colon, and with them deliveries that were accepted. The rule instead: a complete status line and
a head that defines where the answer ends are the verdict. What is odd behind both is noted, closes the connection and
changes nothing. The verdict never depends on how the bytes were cut.
"""

from __future__ import annotations

import re

from monitor.adapters.egress.chunks import Chunks
from monitor.adapters.egress.head import CHUNKED, NOT_HTTP, START, UNTIL_CLOSE, Head, read_head, read_status
from monitor.domain.delivery.outcome import RESPONSE_BODY_BYTES

HEAD_LIMIT_BYTES = 65_536
"""All heads of one answer together, interim ones (1xx) included."""
READ_LIMIT_BYTES = 16_384
"""Of a body, as it comes: the framing of chunks included."""
CUT_SHORT = "the answer's body was cut short"

_HEAD_END = re.compile(rb"\n\r?\n")
_INTERIM_HEADS = re.compile(rb"(?:HTTP/1\.[0-9] +1(?!01)[0-9]{2}(?:[ \t][^\n]*)?\r*\n(?:(?!\r?\n)[^\n]*\n)*\r?\n)+")
"""Whole ones that are nothing but skipped: thousands, read one by one, would hold up all other exchanges."""


class AnswerReader:
    """
    The state of one answer; :meth:`reset` makes it ready for the next.

    Attributes:
        head: the final head, once it is complete and valid.
        body: the first bytes of the body, at most ``kept_bytes``.
        problem: why what came is no answer; final.
        note: what is odd about an answer that counts.
        keep_alive: whether the connection may carry another request after this answer.
        done: nothing that comes changes head, body or problem any more.
    """

    __slots__ = (
        "_chunks", "_kept_bytes", "_left", "_limit", "_partial", "_searched", "_spent", "_unread", "body", "done",
        "head", "keep_alive", "note", "problem",
    )  # fmt: skip

    def __init__(self, *, read_bytes: int = READ_LIMIT_BYTES, kept_bytes: int = RESPONSE_BODY_BYTES) -> None:
        self._limit = read_bytes
        self._kept_bytes = kept_bytes
        self.reset()

    def reset(self) -> None:
        self.head: Head | None = None
        self.body = b""
        self.problem: str | None = None
        self.note: str | None = None
        self.keep_alive = False
        self.done = False
        self._partial: bytearray | None = None
        self._searched = 0
        self._spent = 0
        self._left = 0
        self._unread = self._limit
        self._chunks: Chunks | None = None

    def feed(self, data: bytes) -> bool:
        """Take the next piece, which is not empty, and return :attr:`done`."""
        if self.done:
            self.keep_alive = False
        elif self.head is None:
            self._read_heads(data)
        else:
            self._read_body(data)
        return self.done

    def end(self, *, broken: bool = False) -> None:
        """Take note of the connection's end; *broken*: by an error."""
        if self.done:
            return
        if self.head is None:
            self._refuse("the answer ended before its head was complete")
        elif self._left == UNTIL_CLOSE and not broken:
            self.done = True
        else:
            self.cut(CUT_SHORT)

    def cut(self, note: str) -> None:
        """Leave what is still to come of the body."""
        self.note = self.note or note
        self.keep_alive = False
        self.done = True

    def _read_heads(self, data: bytes | bytearray) -> None:
        if self._partial is not None:
            self._partial += data
            data = self._partial
        room = HEAD_LIMIT_BYTES - self._spent
        start = 0
        # The end of a head is three bytes at most, of which two may have been there before.
        while found := _HEAD_END.search(data, max(start, self._searched - 2), room):
            end = found.end()
            head = read_head(bytes(data[start:end]))
            if head.problem is not None:
                self._refuse(head.problem)
                return
            if head.status >= 200:
                self._begin_body(head, bytes(data[end:]))
                return
            start = _after_interim_heads(data, end, room)
        if _cannot_be_http(data, start):
            self._refuse(NOT_HTTP)
        elif len(data) > room:
            self._refuse("the head of the answer is over the limit of 64 KiB")
        else:
            self._spent += start
            self._partial = bytearray(data[start:]) if start or self._partial is None else self._partial
            self._searched = len(self._partial)

    def _begin_body(self, head: Head, rest: bytes) -> None:
        self.head = head
        self.note = head.note
        self.keep_alive = head.keep_alive
        self._left = head.length
        if head.length == CHUNKED:
            self._chunks = Chunks()
        if rest or not head.length:
            self._read_body(rest)

    def _read_body(self, data: bytes) -> None:
        piece = data[: self._unread]
        self._unread -= len(piece)
        taken = len(piece)
        if self._chunks is not None:
            taken = self._read_chunks(self._chunks, piece)
        elif self._left == UNTIL_CLOSE:
            self._keep(piece)
        else:
            taken = min(taken, self._left)
            self._keep(piece[:taken])
            self._left -= taken
            self.done = not self._left
        if self.done:
            if taken < len(data):
                self.keep_alive = False
        elif not self._unread:
            self.cut(f"only the first {self._limit // 1024} KiB of the answer were read")

    def _read_chunks(self, chunks: Chunks, data: bytes) -> int:
        try:
            taken = chunks.feed(data, self._keep)
        except ValueError:
            self.cut("the answer's chunks are malformed")
            return len(data)
        self.done = chunks.done
        return taken

    def _keep(self, content: bytes) -> None:
        if len(self.body) < self._kept_bytes:
            self.body += content[: self._kept_bytes - len(self.body)]

    def _refuse(self, problem: str) -> None:
        self.problem = problem
        self.keep_alive = False
        self.done = True


def _after_interim_heads(data: bytes | bytearray, start: int, room: int) -> int:
    found = _INTERIM_HEADS.match(data, start, room)
    return start if found is None else found.end()


def _cannot_be_http(data: bytes | bytearray, start: int) -> bool:
    """Whether an incomplete head is one that no byte to come makes an answer, so that nothing is waited for."""
    line_end = data.find(b"\n", start)
    if line_end >= 0:
        return read_status(data[start:line_end].decode("latin-1")) is None
    return not START.startswith(bytes(data[start : start + len(START)]))
