"""Cursors and page sizes."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar import Litestar
from litestar.testing import TestClient

from monitor.domain.errors import Malformed
from monitor.domain.paging import decode_cursor, encode_cursor


@given(st.uuids())
def test_a_cursor_round_trips(last_id: UUID) -> None:
    """Law: decoding inverts encoding."""
    assert decode_cursor(encode_cursor(last_id.bytes)) == last_id


@given(st.text(max_size=30))
def test_any_other_text_is_malformed(text: str) -> None:
    """Law: only what ``encode_cursor`` writes is read; there is no second spelling."""
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
    with pytest.raises(Malformed):
        decode_cursor(cursor)


def test_a_page_has_fifty_rows_unless_asked(client: TestClient[Litestar], token: Callable[..., str]) -> None:
    headers = {"Authorization": f"Bearer {token()}"}
    assert client.get("/rows", headers=headers).json() == {"limit": 50, "after": None}
    assert client.get("/rows?limit=200", headers=headers).json()["limit"] == 200
