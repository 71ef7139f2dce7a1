"""What happened lately, as the live view starts with it: from the stored changes, not from what a page saw."""

from __future__ import annotations

from datetime import timedelta

import pytest

from monitor.adapters.postgres.maintenance.housekeeping import PostgresHousekeeping
from monitor.bootstrap.container import Container
from monitor.bootstrap.retention import retention
from monitor.domain.views.activity import MAX_ACTIVITY
from monitor.domain.vocab import Role
from tests.integration.detection_support import Watch, alert, fail, recover
from tests.integration.support import Api, assert_problem, execute, sql

NOWHERE = "http://127.0.0.1:9/hook"


@pytest.fixture
def watch(parts: Container) -> Watch:
    return Watch(parts)


async def test_what_happened_is_told_newest_first_with_what_it_is_about(api: Api, watch: Watch) -> None:
    webhook_id = (await api.create(NOWHERE, name="Orders"))["id"]
    await fail(api, webhook_id)
    await watch.look()
    alert_id = (await alert(api, webhook_id))["id"]
    await api.post(f"alerts/{alert_id}/ack")
    told = (await api.read("dashboard/activity", role=Role.VIEWER))["items"]
    assert [(one["kind"], one["action"], one["level"]) for one in reversed(told)] == [
        ("health", "changed", "unavailable"),
        ("alert", "raised", "critical"),
        ("alert", "notified", "critical"),
        ("alert", "acknowledged", "critical"),
    ]
    assert {one["webhook_id"] for one in told} == {webhook_id}
    assert {one["webhook_name"] for one in told} == {"Orders"}
    assert [one["alert_id"] for one in told] == [alert_id] * 3 + [None]
    assert told[-1]["text"] == "All of the last 5 attempts failed: HTTP 503."
    assert told[0]["text"] == "Orders is unavailable: all of the last 5 attempts failed: HTTP 503."
    assert sorted((one["at"] for one in told), reverse=True) == [one["at"] for one in told]


async def test_an_anomaly_is_told_when_it_opens_and_when_it_closes(api: Api, parts: Container) -> None:
    webhook_id = (await api.create(NOWHERE, name="Orders"))["id"]
    await execute(
        parts,
        "INSERT INTO anomalies (id, webhook_id, signal, severity, sentence, evidence, opened_at, closed_at)"
        " SELECT gen_random_uuid(), $1::text::uuid, 'latency', 'warning', 'p50 is 4 times its normal.', '{}',"
        " now() - interval '5 min', now()",
        webhook_id,
    )
    told = (await api.read("dashboard/activity", params={"kind": "anomaly"}))["items"]
    assert [(one["action"], one["level"], one["webhook_name"]) for one in told] == [
        ("closed", "warning", "Orders"),
        ("opened", "warning", "Orders"),
    ]
    assert (await api.read("dashboard/activity", params={"kind": "health"}))["items"] == []


async def test_the_name_of_a_deleted_webhook_is_gone(api: Api, watch: Watch) -> None:
    webhook_id = (await api.create(NOWHERE, name="Orders"))["id"]
    await fail(api, webhook_id)
    await api.call("DELETE", f"webhooks/{webhook_id}")
    told = (await api.read("dashboard/activity", params={"kind": "health"}))["items"]
    assert [one["webhook_name"] for one in told] == [None]


async def test_the_list_is_bounded(api: Api, parts: Container) -> None:
    await execute(
        parts,
        "INSERT INTO health_changes (id, webhook_id, at, status, reason) SELECT gen_random_uuid(), gen_random_uuid(),"
        " now() - make_interval(secs => n), 'healthy', n::text FROM generate_series(1, 250) AS n",
    )
    told = (await api.read("dashboard/activity"))["items"]
    assert [one["text"] for one in told] == [str(n) for n in range(1, MAX_ACTIVITY + 1)]
    assert len((await api.read("dashboard/activity", params={"limit": 3}))["items"]) == 3
    for params in ({"limit": 201}, {"limit": 0}, {"kind": "cache"}):
        assert_problem(await api.get("dashboard/activity", params=params), 400)


async def test_changes_of_health_go_with_the_attempts_they_came_from(api: Api, parts: Container) -> None:
    webhook_id = (await api.create(NOWHERE))["id"]
    await fail(api, webhook_id)
    await recover(api, webhook_id)
    kept = timedelta(days=retention(parts.settings).attempts_d)
    async with sql(parts) as db:
        await db.execute(
            "UPDATE health_changes SET at = at - $1::interval - interval '1 min' WHERE status = 'unavailable'", kept
        )
    before = (await api.read("dashboard/activity", params={"kind": "health"}))["items"]
    days = retention(parts.settings)
    await PostgresHousekeeping(parts.database, parts.secret_box, days, audit_d=365, alerts_d=365).purge()
    after = (await api.read("dashboard/activity", params={"kind": "health"}))["items"]
    assert after == [one for one in before if one["level"] != "unavailable"]
    assert len(after) == len(before) - 1
