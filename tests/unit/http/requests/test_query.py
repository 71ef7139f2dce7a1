"""Times and page sizes in a query string."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from litestar.testing import TestClient

from monitor.domain.errors import Invalid, Malformed
from monitor.domain.services.publish import EARLIEST, LATEST
from monitor.http.middleware.stack import Application
from monitor.http.requests.query import parse_time


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-01-31T23:59:00Z", datetime(2026, 1, 31, 23, 59, tzinfo=UTC)),
        ("2026-01-31T23:59:00+02:00", datetime(2026, 1, 31, 21, 59, tzinfo=UTC)),
        # A plus sign that was not escaped.
        ("2026-01-31T23:59:00 02:00", datetime(2026, 1, 31, 21, 59, tzinfo=UTC)),
        # Before the first and after the last moment of UTC that can be told.
        ("0001-01-01T00:00:00+01:12", EARLIEST),
        ("9999-12-31T23:59:59-00:01", LATEST),
    ],
)
def test_a_time_is_read_in_any_offset(text: str, at: datetime) -> None:
    read = parse_time(text, "from")
    assert read is not None
    assert read.astimezone(UTC) == at


def test_no_time_is_none() -> None:
    assert parse_time(None, "from") is None


@pytest.mark.parametrize("text", ["", "1234567890", "yesterday", "2026-13-01T00:00:00Z", "2026-01-31"])
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(Malformed) as refused:
        parse_time(text, "from")
    (error,) = refused.value.errors
    assert (error.pointer, error.detail) == ("/query/from", "Write it like 2026-01-31T23:59:00Z.")


def test_a_time_without_an_offset_is_refused() -> None:
    with pytest.raises(Invalid, match="lacks its offset"):
        parse_time("2026-01-31T23:59:00", "to")


def test_a_page_has_fifty_rows_unless_asked(client: TestClient[Application], token: Callable[..., str]) -> None:
    headers = {"Authorization": f"Bearer {token()}"}
    assert client.get("/rows", headers=headers).json() == {"limit": 50, "after": None}
    assert client.get("/rows?limit=200", headers=headers).json()["limit"] == 200


@pytest.mark.parametrize("limit", ["0", "-1", "201", "many"])
def test_a_page_has_one_to_two_hundred_rows(
    limit: str, client: TestClient[Application], token: Callable[..., str]
) -> None:
    headers = {"Authorization": f"Bearer {token()}"}
    assert client.get("/rows", headers=headers, params={"limit": limit}).status_code == 400
