"""
What users do to a webhook with a million waiting and a million finished deliveries, and how long each statement takes.

The short form has few of them and asks nothing of time. ``MONITOR_TEST_LONG=1`` runs the long one, on a quiet machine:
``MONITOR_TEST_LONG=1 pytest -s tests/integration/test_bounded_million.py``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

import pytest

from monitor.adapters.postgres.connection import PostgresConnection
from monitor.bootstrap.container import Container
from monitor.domain.services import jobs as service
from monitor.domain.services.jobs import JobCommands
from monitor.domain.vocab import Role
from tests.integration.support import Api, api_of, settings, sql
from tests.integration.test_bounded import ADD_FINISHED, ADD_WAITING, COUNT_CHANGES, add

LONG = bool(os.environ.get("MONITOR_TEST_LONG"))
ROWS = 1_000_000 if LONG else 2_000
REPLAYED_CHUNKS = 20
SLOWEST_MS = 100.0
TIMED = "log_min_duration_statement=0&client_min_messages=log"
DURATION = re.compile(r"duration: ([\d.]+) ms +(.*)", re.DOTALL)


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, list[float]]]:
    """Collects the milliseconds of each statement of the product, by its text, as the server measured them."""
    taken: dict[str, list[float]] = {}

    def note(_connection: object, fields: dict[str, str], _last_query: object) -> None:
        if found := DURATION.match(fields["M"]):
            text = " ".join(re.sub(r"__asyncpg_\w+__", "", found[2]).split())
            taken.setdefault(text[:110], []).append(float(found[1]))

    monkeypatch.setattr(PostgresConnection, "_process_log_message", note)
    yield taken
    for text, ms in sorted(taken.items(), key=lambda item: -max(item[1]))[:10]:
        line = f"{max(ms):8.1f} ms at most, {median(ms):6.1f} ms as a rule, {len(ms):5} times: {text}"
        print(line)  # noqa: T201 - what the long form is run for


async def replay(api: Api, webhook_id: str, states: list[str]) -> dict[str, Any]:
    now = datetime.now(UTC)
    body = {"from": (now - timedelta(days=1)).isoformat(), "to": (now + timedelta(hours=1)).isoformat()}
    started: dict[str, Any] = (await api.post(f"webhooks/{webhook_id}/replay", json=body | {"states": states})).json()
    return started


async def run_to_end(api: Api, jobs: JobCommands, job_id: str) -> dict[str, Any]:
    while await jobs.step():
        pass
    over: dict[str, Any] = await api.read(f"jobs/{job_id}")
    assert over["state"] == "done"
    return over


async def test_no_statement_of_a_user_follows_the_backlog(
    database_url: str, statements: dict[str, list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "LEAD_S", 3600)
    async with Container(settings(f"{database_url}&{TIMED}")) as parts, api_of(parts) as api:
        webhook = await api.create("http://127.0.0.1:9/")
        path = f"webhooks/{webhook['id']}"
        for statement in (ADD_WAITING, ADD_FINISHED):
            await add(parts, statement, webhook["id"], ROWS)
        async with sql(parts) as db:
            await db.execute(COUNT_CHANGES)
        statements.clear()
        for action in ("pause", "resume"):
            assert (await api.post(f"{path}/{action}", role=Role.OPERATOR)).status_code == 200
        for change in ({"enabled": False}, {"enabled": True}, {"ordered": True, "skip_after": 3}, {"ordered": False}):
            assert (await api.call("PATCH", path, json=change)).status_code == 200
        for page in ("dashboard/overview", "dashboard/webhooks", "deliveries", path, f"{path}/attempts"):
            assert (await api.get(page)).status_code == 200

        jobs = JobCommands(parts.unit_of_work)
        while await jobs.step():
            pass
        failed = await replay(api, webhook["id"], ["failed"])
        assert (await run_to_end(api, jobs, failed["id"]))["done"] == 0
        delivered = await replay(api, webhook["id"], ["delivered"])
        for _ in range(REPLAYED_CHUNKS):
            await jobs.step()
        job = await api.read(f"jobs/{delivered['id']}")
        assert job["done"] == min(REPLAYED_CHUNKS * service.CHUNK, ROWS)
        if job["state"] == "running":
            assert (await api.post(f"jobs/{job['id']}/cancel", role=Role.OPERATOR)).status_code == 200

        assert (await api.call("DELETE", path)).status_code == 204
        deletion = (await api.read("jobs"))["items"][0]
        assert (await run_to_end(api, jobs, deletion["id"]))["done"] == ROWS + job["done"]
        async with sql(parts) as db:
            assert await db.fetchval("SELECT max(rows) FROM changes") == service.CHUNK
    if LONG:
        assert {text: max(ms) for text, ms in statements.items() if max(ms) > SLOWEST_MS} == {}
