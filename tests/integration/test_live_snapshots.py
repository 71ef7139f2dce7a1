"""The snapshot of a live feed is the dashboard as it is: never the last good one that stands in during an outage."""

from __future__ import annotations

import pytest
import structlog.testing
from websockets.asyncio.client import connect

from monitor.bootstrap.container import Container
from monitor.domain.errors import Unavailable
from monitor.domain.vocab import Role
from tests.integration.live_support import receive
from tests.integration.support import eventually, served, signer

URL = "http://127.0.0.1:9/hook"


async def test_a_socket_waits_for_a_dashboard_that_is_computed_after_it_connected(
    own_parts: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = signer(own_parts)(Role.VIEWER, "ada")
    async with served(own_parts) as api:
        url = f"ws://127.0.0.1:{api.client.base_url.port}/ws/dashboard"
        assert (await api.read("dashboard"))["webhooks"] == []
        with monkeypatch.context() as patch, structlog.testing.capture_logs() as logs:
            patch.setattr(own_parts.dashboards, "overview", away)
            created = await api.create(URL)
            stands_in = await api.get("dashboard")
            assert (stands_in.status_code, stands_in.json()["webhooks"]) == (200, [])
            async with connect(url, additional_headers={"Authorization": f"Bearer {token}"}, proxy=None) as socket:
                await eventually(lambda: any(line["event"] == "live_snapshot_failed" for line in logs))
                patch.undo()
                first = await receive(socket)
    assert first["type"] == "snapshot"
    assert [row["id"] for row in first["data"]["webhooks"]] == [created["id"]]


async def away() -> None:
    raise Unavailable("The database does not answer; try again in a moment.")
