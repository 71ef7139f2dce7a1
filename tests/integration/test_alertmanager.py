"""
Debian's Alertmanager as a destination: each alert of ours is one alert there, raised, acknowledged and resolved.

Skipped where the program is missing: on Debian it comes with the package ``prometheus-alertmanager``.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from monitor.bootstrap.container import Container
from monitor.domain.alerts.notification import RAISED
from monitor.domain.delivery.body_formats import render_body
from monitor.domain.delivery.formats.alertmanager import SAMPLE_FOR
from monitor.domain.vocab import BodyFormat, Severity
from tests.integration.detection_support import Watch, alert, fail, recover
from tests.integration.support import WITHIN_S, Api, eventually, finished, working
from tests.servers import free_port

PROGRAM = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
PAGE = "https://monitor.example.com/"
ALERT = "01a20f62-0000-7000-8000-000000000000"
NOWHERE = "http://127.0.0.1:9/hook"

pytestmark = [
    pytest.mark.pagers,
    pytest.mark.skipif(PROGRAM is None, reason="no Alertmanager on PATH (Debian: prometheus-alertmanager)"),
]

CONFIG = """
global: {resolve_timeout: 1s}
route: {receiver: none, group_wait: 1s, group_interval: 1s, group_by: [alert_id]}
receivers: [{name: none}]
"""


class Alertmanager:
    """Its API on loopback, without a cluster."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.url = f"{http.base_url}api/v2/alerts"

    async def active(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.http.get("api/v2/alerts")).json()
        return found

    async def post(self, body: bytes) -> None:
        answer = await self.http.post("api/v2/alerts", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 200, answer.text


@pytest.fixture
async def alertmanager(tmp_path: Path) -> AsyncIterator[Alertmanager]:
    config, port = tmp_path / "alertmanager.yml", free_port()
    config.write_text(CONFIG, encoding="utf-8")
    program = await asyncio.create_subprocess_exec(
        str(PROGRAM),
        f"--config.file={config}",
        f"--storage.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/", timeout=WITHIN_S) as http:

            async def is_ready() -> bool:
                try:
                    return (await http.get("-/ready")).status_code == 200
                except httpx.TransportError:
                    return False

            await eventually(is_ready)
            yield Alertmanager(http)
    finally:
        program.terminate()
        await program.wait()


@pytest.fixture
def watch(parts: Container) -> Watch:
    return Watch(parts, page=PAGE)


async def test_an_alert_is_one_alert_there_from_raising_to_resolving(
    api: Api, parts: Container, watch: Watch, alertmanager: Alertmanager
) -> None:
    await api.create(alertmanager.url, event_types=["monitor.alert.*"], body_format="alertmanager")
    failing = (await api.create(NOWHERE, name="Orders", event_types=["order.*"]))["id"]
    async with working(parts):
        await fail(api, failing)
        await watch.look()
        await finished(api, 1)
        ours = await alert(api, failing)
        (raised,) = await alertmanager.active()
        assert raised["labels"] == {"alertname": "Monitor failing", "alert_id": ours["id"], "severity": "critical"}
        assert raised["annotations"]["summary"] == ours["title"]
        assert raised["generatorURL"] == f"{PAGE}#/alerts/{ours['id']}"

        await api.post(f"alerts/{ours['id']}/ack", json={"note": "On it."}, subject="grace")
        await watch.tell()
        await finished(api, 2)
        (acknowledged,) = await alertmanager.active()
        assert acknowledged["fingerprint"] == raised["fingerprint"]
        assert acknowledged["startsAt"] == raised["startsAt"]
        assert acknowledged["annotations"]["acknowledged_by"] == "grace"

        await recover(api, failing)
        await watch.look()
        await finished(api, 3)
        assert await alertmanager.active() == []

        await fail(api, failing)
        await watch.look()
        await finished(api, 4)
        (reopened,) = await alertmanager.active()
        assert reopened["fingerprint"] == raised["fingerprint"]


async def test_retries_and_duplicates_make_no_second_alert(
    api: Api, parts: Container, watch: Watch, alertmanager: Alertmanager
) -> None:
    pager = await api.create(alertmanager.url, event_types=["monitor.alert.*"], body_format="alertmanager")
    failing = (await api.create(NOWHERE, name="Orders", event_types=["order.*"]))["id"]
    async with working(parts):
        await fail(api, failing)
        await watch.look()
        (delivery,) = await finished(api, 1)
        await api.post(f"events/{delivery['event_id']}/resend", json={"webhook_ids": [pager["id"]]})
        await finished(api, 2)
        assert len(await alertmanager.active()) == 1
        await recover(api, failing)
        await watch.look()
        await finished(api, 3)
        assert await alertmanager.active() == []


async def test_a_test_message_opens_nothing_and_a_sample_ends_by_itself(api: Api, alertmanager: Alertmanager) -> None:
    pager = (await api.create(alertmanager.url, event_types=["monitor.alert.*"], body_format="alertmanager"))["id"]
    assert (await api.post(f"webhooks/{pager}/test")).json()["ok"]
    assert await alertmanager.active() == []
    assert (await api.post(f"notifications/destinations/{pager}/test")).json()["ok"]
    (sample,) = await alertmanager.active()
    starts, ends = (datetime.fromisoformat(sample[name]) for name in ("startsAt", "endsAt"))
    assert abs(ends - starts - SAMPLE_FOR) < timedelta(seconds=1)


async def test_a_worse_alert_is_active_in_its_new_severity_alone(alertmanager: Alertmanager) -> None:
    now = datetime.now(UTC)
    for severity in (Severity.WARNING, Severity.CRITICAL):
        alert = {"id": ALERT, "title": "x", "severity": severity, "kind": "failing", "count": 1, "raised_at": now}
        payload = msgspec.json.encode({"type": RAISED, "timestamp": now, "data": {"alert": alert}})
        await alertmanager.post(render_body(BodyFormat.ALERTMANAGER, RAISED, payload).body)
    (found,) = await alertmanager.active()
    assert found["labels"]["severity"] == "critical"
