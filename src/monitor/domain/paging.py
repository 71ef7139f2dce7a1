"""Keyset pages, cut from a query for one row more than a page. A cursor encodes the position of the last row."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar
from uuid import UUID

import msgspec

from monitor.domain.errors import FieldError, Malformed
from monitor.domain.vocab import Page

DEFAULT_LIMIT = 50
MAX_LIMIT = 200


class Identified(Protocol):
    @property
    def id(self) -> UUID: ...


Row = TypeVar("Row")
IdentifiedRow = TypeVar("IdentifiedRow", bound=Identified)
Position = TypeVar("Position")


class Look(msgspec.Struct, Generic[Row], frozen=True):
    """What a bounded number of rows had of those wanted, newest first.

    ``last`` is the last row looked at, null if there are no more.
    """

    rows: list[Row]
    last: UUID | None = None


def page_of(look: Look[IdentifiedRow], limit: int) -> Page[IdentifiedRow]:
    """Cut a page of *limit* rows. It is shorter, with a cursor, if the rows looked at have no more and others may."""
    whole = page(look.rows, limit)
    if whole.next_cursor is None and look.last is not None:
        return Page(whole.items, encode_cursor(look.last.bytes))
    return whole


def page(rows: Sequence[IdentifiedRow], limit: int) -> Page[IdentifiedRow]:
    """Cut a page of *limit* rows in the order of their ids."""
    return page_by(rows, limit, lambda row: row.id.bytes)


def page_by(rows: Sequence[Row], limit: int, position: Callable[[Row], bytes]) -> Page[Row]:
    """Cut a page of *limit* rows; *position* returns a row's position in the order."""
    following = encode_cursor(position(rows[limit - 1])) if len(rows) > limit else None
    return Page(list(rows[:limit]), following)


def encode_cursor(position: bytes) -> str:
    """Return the cursor of the page after *position*: opaque to clients."""
    return base64.urlsafe_b64encode(position).rstrip(b"=").decode()


def decode_cursor(cursor: str | None) -> UUID | None:
    """
    Return the id after which the page begins; ``None`` for the first page.

    Raises:
        Malformed: not the cursor of a page in the order of ids.
    """
    if cursor is None:
        return None
    try:
        return UUID(bytes=decode_cursor_bytes(cursor))
    except ValueError:
        raise malformed_cursor() from None


def decode_position(cursor: str | None, type_: type[Position]) -> Position | None:
    """
    Return the position after which the page begins, encoded as MessagePack; ``None`` for the first page.

    Raises:
        Malformed: not a cursor of this list.
    """
    if cursor is None:
        return None
    try:
        return msgspec.msgpack.decode(decode_cursor_bytes(cursor), type=type_)
    except msgspec.DecodeError:
        raise malformed_cursor() from None


def decode_cursor_bytes(cursor: str) -> bytes:
    """
    Inverse of :func:`encode_cursor`.

    Raises:
        Malformed: not an output of it.
    """
    try:
        position = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except (binascii.Error, ValueError):
        raise malformed_cursor() from None
    # Encoded again to compare, since the decoder skips foreign characters and ignores spare bits.
    if encode_cursor(position) != cursor:
        raise malformed_cursor()
    return position


def malformed_cursor() -> Malformed:
    """Return the error of a cursor that cannot be read."""
    detail = "Pass next_cursor unchanged, or leave it out."
    return Malformed("The cursor cannot be read.", errors=(FieldError("/query/cursor", detail),))
