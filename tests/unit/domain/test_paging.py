"""Cursors and pages."""

from __future__ import annotations

from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.errors import Malformed
from monitor.domain.paging import Look, decode_cursor, decode_cursor_bytes, encode_cursor, page, page_by, page_of
from monitor.domain.vocab import Page


class Row(msgspec.Struct, frozen=True):
    id: UUID


@given(st.uuids())
def test_a_cursor_round_trips(last_id: UUID) -> None:
    """Law: decoding inverts encoding."""
    assert decode_cursor(encode_cursor(last_id.bytes)) == last_id


@given(st.binary(max_size=60))
def test_a_place_round_trips(place: bytes) -> None:
    """Law: decoding inverts encoding for any position."""
    assert decode_cursor_bytes(encode_cursor(place)) == place


@given(st.text(max_size=30))
def test_any_other_text_is_malformed(text: str) -> None:
    """Law: only output of ``encode_cursor`` is accepted."""
    try:
        last_id = decode_cursor(text)
    except Malformed:
        return
    assert last_id is not None
    assert encode_cursor(last_id.bytes) == text


def test_no_cursor_is_the_first_page() -> None:
    assert decode_cursor(None) is None


@pytest.mark.parametrize("cursor", ["", "a", "é" * 22, "A" * 21 + "B", "A" * 22 + "=="])
def test_a_damaged_cursor_is_malformed(cursor: str) -> None:
    with pytest.raises(Malformed) as refused:
        decode_cursor(cursor)
    assert [error.pointer for error in refused.value.errors] == ["/query/cursor"]


@given(st.lists(st.uuids(), unique=True, max_size=30), st.integers(1, 10))
def test_pages_put_together_are_the_list(ids: list[UUID], limit: int) -> None:
    """Law: following the cursors shows every row once, in order, in full pages but the last."""
    rows = [Row(id_) for id_ in sorted(ids)]
    found: list[Row] = []
    cursor: str | None = None
    while True:
        after = decode_cursor(cursor)
        asked = [row for row in rows if after is None or row.id > after][: limit + 1]
        cut = page(asked, limit)
        found += cut.items
        cursor = cut.next_cursor
        if cursor is None:
            break
        assert len(cut.items) == limit
    assert found == rows


def test_a_page_may_have_another_order_than_that_of_ids() -> None:
    cut = page_by(["pear", "fig", "apple"], 2, lambda fruit: b"%d" % len(fruit))
    assert cut == Page(["pear", "fig"], encode_cursor(b"3"))


def test_a_page_that_holds_the_last_row_has_no_next_one() -> None:
    rows = [Row(UUID(int=n)) for n in range(3)]
    assert page(rows, 3).next_cursor is None
    assert page(rows, 2).next_cursor == encode_cursor(rows[1].id.bytes)


def test_a_page_of_a_bounded_look_is_short_with_a_cursor_if_others_may_match() -> None:
    rows = [Row(UUID(int=n)) for n in (9, 8, 7)]
    last = UUID(int=3)
    assert page_of(Look(rows, last), 2) == Page(rows[:2], encode_cursor(rows[1].id.bytes))
    assert page_of(Look(rows, last), 5) == Page(rows, encode_cursor(last.bytes))
    assert page_of(Look(rows), 5) == Page(rows, None)
