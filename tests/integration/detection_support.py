"""Watching as a test drives it: looks when it says so, and trouble that needs no waiting."""

from __future__ import annotations

from typing import Any

from monitor.bootstrap.container import Container
from monitor.domain.alerts import AlertPolicy
from monitor.domain.alerts.evaluation import DetectionPolicy
from monitor.domain.services.detection import Detector
from monitor.domain.services.notifications import AlertNotifier
from tests.integration.support import Api, execute

AT_ONCE = DetectionPolicy(busy_s=0.001, idle_s=0.001, alert=AlertPolicy(unavailable_s=0.001))
"""Who is due for a look is so again at the next one, and unavailable is trouble at once."""


class Watch:
    def __init__(self, parts: Container, policy: DetectionPolicy = AT_ONCE, page: str | None = None) -> None:
        self._parts = parts
        self.watcher = Detector(parts.unit_of_work, parts.clock, policy)
        self._relay = AlertNotifier(parts.unit_of_work, parts.clock, page)

    async def look(self) -> None:
        """Look at every webhook, survey all of them, and publish what is to be told."""
        await execute(self._parts, "UPDATE webhook_lanes SET evaluate_at = now() WHERE evaluate_at IS NOT NULL")
        await self.watcher.tick()
        await self.watcher.check_mass_failure()
        await self.tell()

    async def tell(self) -> None:
        while await self._relay.publish():
            pass


async def report(api: Api, webhook_id: str, *statuses: int) -> None:
    """Report attempts that are made now, as an outside sender would."""
    now = (await api.read("dashboard/overview"))["as_of"]
    attempts = [{"delivered_at": now, "status_code": status, "latency_ms": 5} for status in statuses]
    response = await api.post(f"webhooks/{webhook_id}/attempts", json={"attempts": attempts})
    assert response.status_code == 202, response.text


async def fail(api: Api, *webhook_ids: str) -> None:
    for webhook_id in webhook_ids:
        await report(api, webhook_id, *[503] * 5)


async def recover(api: Api, *webhook_ids: str) -> None:
    for webhook_id in webhook_ids:
        await report(api, webhook_id, *[200] * 20)


async def alerts(api: Api, **params: Any) -> list[dict[str, Any]]:
    """Return alerts in any state, newest first."""
    found: list[dict[str, Any]] = (await api.read("alerts", params={"state": "all", "limit": 200, **params}))["items"]
    return found


async def alert(api: Api, webhook_id: str, kind: str = "failing") -> dict[str, Any]:
    """Return the only alert of a webhook and kind, with its history."""
    (found,) = await alerts(api, webhook_id=webhook_id, kind=kind)
    detailed: dict[str, Any] = await api.read(f"alerts/{found['id']}")
    return detailed


def actions(alert: dict[str, Any]) -> list[str]:
    return [line["action"] for line in alert["history"]]
