"""Page sizes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from litestar.testing import TestClient

from monitor.http.middleware.stack import Application


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
