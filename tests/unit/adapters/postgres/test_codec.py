"""Rows that cannot be read are set aside: once in the log, once in the count, and never in the way of others."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from monitor.adapters.postgres import codec
from monitor.adapters.postgres.codec import RowReader
from monitor.log import redact

Row = dict[str, Any]


def read(row: Row) -> int:
    return int(row["value"])


def rows_of(values: list[str]) -> list[Row]:
    return [{"id": number, "value": value} for number, value in enumerate(values)]


VALUES = st.lists(st.sampled_from(["1", "2", "x", ""]), max_size=12)


@given(VALUES)
def test_what_can_be_read_is_read_in_its_order(values: list[str]) -> None:
    """readable(rows) = the rows for which read succeeds, in order; unreadable counts the others."""
    rows = RowReader()
    found = rows.readable(rows_of(values), read, "t")
    assert found == {number: int(value) for number, value in enumerate(values) if value.isdigit()}
    assert rows.unreadable["t"] == len(values) - len(found)


@given(VALUES, st.integers(1, 5))
async def test_a_page_is_full_of_what_can_be_read(values: list[str], limit: int) -> None:
    """page(limit) = the first limit rows that can be read."""

    async def fetch(skipped: list[Any]) -> list[Row]:
        return [row for row in rows_of(values) if row["id"] not in skipped][:limit]

    found = await RowReader().page(fetch, read, "t", limit)
    assert list(found) == [number for number, value in enumerate(values) if value.isdigit()][:limit]


def test_a_row_is_reported_once_and_its_contents_are_not() -> None:
    rows = RowReader()
    with capture_logs() as lines:
        for _ in range(3):
            assert rows.readable([{"id": 7, "value": "x", "secret": "s3cret"}], read, "t") == {}
    (line,) = lines
    # As it is written: the log masks what stands under a name that promises a secret, such as `key`.
    written = redact(None, "error", line)
    assert (written["event"], written["table"], written["row"]) == ("row_unreadable", "t", "7")
    assert "s3cret" not in str(line)
    assert rows.unreadable == {"t": 1}


def test_the_memory_of_reported_rows_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "REPORTED_MAX", 3)
    rows = RowReader()
    for number in range(10):
        rows.readable([{"id": number, "value": "x"}], read, "t")
    assert len(rows._reported) <= 3
    assert rows.unreadable["t"] == 10


async def test_a_table_of_unreadable_rows_costs_a_bounded_number_of_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "ROUNDS", 4)
    queries = 0

    async def fetch(skipped: list[Any]) -> list[Row]:
        nonlocal queries
        queries += 1
        return [{"id": len(skipped), "value": "x"}]

    assert await RowReader().page(fetch, read, "t", 1) == {}
    assert queries == 4
