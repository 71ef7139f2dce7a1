"""The order of the list of revoked tokens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.errors import Malformed
from monitor.domain.paging import decode_position, encode_cursor
from monitor.domain.views.tokens import Revocation, RevocationPosition, revocation_position

FIRST, LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9998, 12, 31, tzinfo=UTC)
CURSOR_MAX_CHARS = 128

revocations = st.builds(
    lambda jti, at: Revocation(jti, at, at + timedelta(days=30)),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=255),
    st.timedeltas(timedelta(0), LAST - FIRST).map(lambda age: FIRST + age),
)


@given(revocations)
def test_a_cursor_holds_the_position_of_a_revocation(revocation: Revocation) -> None:
    """Law: a cursor of any revocation is short enough for a query, and gives its position back."""
    cursor = encode_cursor(revocation_position(revocation))
    assert len(cursor) <= CURSOR_MAX_CHARS
    position = decode_position(cursor, RevocationPosition)
    assert position == revocation.position
    assert position is not None
    assert position.revoked_at == revocation.revoked_at


def test_without_a_cursor_the_list_begins_at_its_first_row() -> None:
    assert decode_position(None, RevocationPosition) is None


@pytest.mark.parametrize(
    "position", [b"", b"x", msgspec.msgpack.encode([-1, bytes(32)]), msgspec.msgpack.encode([1, bytes(31)])]
)
def test_another_cursor_is_refused(position: bytes) -> None:
    with pytest.raises(Malformed):
        decode_position(encode_cursor(position), RevocationPosition)
