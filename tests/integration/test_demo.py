"""What a newcomer sees of ``monitor up --demo`` within its first minutes. Slow: it runs in real time."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.integration.processes import Client, environment, running
from tests.integration.support import eventually
from tests.servers import free_port

pytestmark = pytest.mark.demo

PROMISED_S = 120.0
"""Within this time a newcomer sees health changes, anomalies and alerts."""


async def test_a_newcomer_sees_an_outage_a_slowdown_and_a_recovery(tmp_path: Path) -> None:
    port = free_port()
    arguments = ("up", "--demo", "--port", str(port), "--data-dir", str(tmp_path / "data"))
    async with running(*arguments, env=environment(), log=tmp_path / "up.log") as up:
        await up.says("token=")
        token = re.search(r"token=([\w.-]+)", up.output)
        assert token is not None
        client = Client(port, token[1])
        await eventually(client.ready)

        async def alerts(name: str, **wanted: str) -> list[dict[str, Any]]:
            items = (await client.read("alerts?state=all&limit=200"))["items"]
            named = [item for item in items if item["webhook_name"] == f"Demo: {name}"]
            return [item for item in named if all(item[member] == value for member, value in wanted.items())]

        async def anomalies(name: str) -> list[dict[str, Any]]:
            items = (await client.read("dashboard/anomalies"))["items"]
            return [item for item in items if item["webhook_name"] == f"Demo: {name}"]

        (dead,) = await eventually(lambda: alerts("dead", severity="critical", kind="failing"), within_s=PROMISED_S)
        assert dead["state"] == "pending"
        (slow,) = await eventually(lambda: alerts("slow", kind="latency"), within_s=PROMISED_S)
        assert slow["state"] == "pending"
        assert {one["signal"] for one in await anomalies("slow")} <= {"latency", "latency_tail"}
        assert await anomalies("slow")
        (recovered,) = await eventually(
            lambda: alerts("recovering", kind="failing", state="resolved"), within_s=PROMISED_S
        )
        assert recovered["resolved_by"] == "system"

        (still,) = await alerts("dead", kind="failing")
        assert (still["id"], still["state"]) == (dead["id"], "pending")
        assert await alerts("healthy") == []
        assert await up.stop() == 0
