"""Uptime by hour and day, and the annotations of a webhook's charts."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from monitor.adapters.postgres.maintenance.rollup_compaction import RollupCompactor
from monitor.adapters.postgres.queries.history import ALERT_CHANGES, AUDITED_CHANGES
from monitor.adapters.postgres.queries.metrics import series
from monitor.adapters.postgres.queries.series import COUNTS, levels
from monitor.bootstrap.container import Container
from monitor.domain.ids import id_floor
from monitor.domain.monitoring.metrics import DAY_S, HOUR_S
from monitor.domain.views.history import ALERTED, AUDITED
from monitor.domain.vocab import Role
from tests.integration.detection_support import Watch, alert, fail
from tests.integration.plans import plan_of
from tests.integration.rollup_support import START, TODAY, fold_all, made_up, one_at, store
from tests.integration.support import Api, assert_problem, execute, sql
from tests.integration.test_bounded import looked_at

URL = "http://127.0.0.1:9/hook"
NOBODY = "00000000-0000-7000-8000-000000000000"


def seen(buckets: list[dict[str, Any]]) -> dict[datetime, tuple[int, int]]:
    return {datetime.fromisoformat(b["at"]): (b["attempts"], b["failures"]) for b in buckets if b["attempts"]}


async def test_uptime_is_the_series_by_hour_and_day(own_api: Api, own_parts: Container) -> None:
    webhook_id = (await own_api.create(URL))["id"]
    await store(own_parts, made_up(Random(3), [UUID(webhook_id)], 800))
    before = await own_api.read(f"webhooks/{webhook_id}/uptime", role=Role.VIEWER)
    until = TODAY + timedelta(days=1)
    for step_s, name in ((HOUR_S, "hours"), (DAY_S, "days")):
        expected = await series(own_parts.database, UUID(webhook_id), START, until, step_s)
        points = {point.at: (point.attempts, point.failures) for point in expected.points}
        oldest = datetime.fromisoformat(before[name][0]["at"])
        assert seen(before[name]) == {at: counts for at, counts in points.items() if at >= oldest}
    assert (len(before["hours"]), len(before["days"])) == (72, 90)
    attempts, failures = (sum(day[name] for day in before["days"]) for name in ("attempts", "failures"))
    assert attempts == 800
    assert before["success_ratios"]["last_7d"] == round(1 - failures / attempts, 6)
    # Compacted rows are read instead of minutes, to the same end.
    await fold_all(RollupCompactor(own_parts.database))
    await own_parts.cache.invalidate([f"webhook:{webhook_id}"], acknowledged=True)
    after = await own_api.read(f"webhooks/{webhook_id}/uptime", role=Role.VIEWER)
    assert [after[name] for name in ("hours", "days")] == [before[name] for name in ("hours", "days")]


async def test_a_webhook_without_attempts_is_unknown_and_not_up(api: Api) -> None:
    uptime = await api.read(f"webhooks/{(await api.create(URL))['id']}/uptime", role=Role.VIEWER)
    assert {bucket["status"] for bucket in uptime["hours"] + uptime["days"]} == {"unknown"}
    assert set(uptime["success_ratios"].values()) == {None}
    assert_problem(await api.get(f"webhooks/{NOBODY}/uptime"), 404, "not_found")


async def test_uptime_looks_at_hours_however_many_attempts_there_were(own_api: Api, own_parts: Container) -> None:
    webhook_id = UUID((await own_api.create(URL))["id"])
    # Ten million attempts: 90 days of hours, all sealed.
    await execute(
        own_parts,
        "INSERT INTO rollups_hour (webhook_id, bucket_at, attempts, failures, latency_sum_ms, errors)"
        " SELECT $1, at, 5000, 3, 1, '{}' FROM generate_series("
        "   greatest(date_trunc('hour', now()) - interval '60 days', date_trunc('month', now())),"
        "   now() - interval '1 hour', interval '1 hour') AS at",
        webhook_id,
    )
    await one_at(own_parts, webhook_id, datetime.now(TODAY.tzinfo) - timedelta(minutes=1), count=50)
    await fold_all(RollupCompactor(own_parts.database))
    async with sql(own_parts) as connection:
        since = TODAY - timedelta(days=89)
        args = ([webhook_id], since, TODAY + timedelta(days=1), float(HOUR_S), levels(HOUR_S))
        assert max(looked_at(await plan_of(connection, COUNTS, *args))) < 90 * 24 + 200


async def test_what_people_and_monitor_changed_is_annotated(api: Api) -> None:
    webhook = await api.create(URL, name="orders", headers={"X-Key": "abc-secret"})
    path = f"webhooks/{webhook['id']}"
    patch = {"Content-Type": "application/merge-patch+json"}
    for body in ({"name": "Orders", "timeout_s": 9}, {"enabled": False}, {"enabled": True}):
        assert (await api.call("PATCH", path, json=body, headers=patch)).status_code == 200
    await api.post(f"{path}/pause", role=Role.OPERATOR, subject="ben")
    await api.post(f"{path}/resume", role=Role.OPERATOR, subject="ben")
    await api.post(f"{path}/rotate-secret", json={})
    response = await api.get(f"{path}/annotations", role=Role.VIEWER)
    found = response.json()
    assert [(item["kind"], item["actor"], item["members"]) for item in found["items"]] == [
        ("secret_rotated", "ada", []),
        ("resumed", "ben", []),
        ("paused", "ben", []),
        ("enabled", "ada", ["enabled"]),
        ("disabled", "ada", ["enabled"]),
        ("updated", "ada", ["name", "timeout_s"]),
        ("created", "ada", []),
    ]
    assert found["complete"]
    assert "abc-secret" not in response.text
    # Half-open: from is included, to is not.
    times = [item["at"] for item in found["items"]]
    window = {"from": times[4], "to": times[2]}
    kinds = [item["kind"] for item in (await api.read(f"{path}/annotations", params=window))["items"]]
    assert kinds == ["enabled", "disabled"]


async def test_alerts_are_annotated_with_who_acknowledged_them(api: Api, parts: Container) -> None:
    webhook_id = (await api.create(URL))["id"]
    other_id = (await api.create(URL))["id"]
    await fail(api, webhook_id, other_id)
    await Watch(parts).look()
    raised = await alert(api, webhook_id)
    await api.post(f"alerts/{raised['id']}/ack", json={"note": "mine"}, role=Role.OPERATOR, subject="ben")
    await api.post(f"alerts/{raised['id']}/resolve", json={}, role=Role.OPERATOR, subject="ben")
    found = (await api.read(f"webhooks/{webhook_id}/annotations", role=Role.VIEWER))["items"]
    about = [item for item in found if item["alert_id"] == raised["id"]]
    assert [(item["kind"], item["actor"], item["severity"]) for item in about] == [
        ("alert_resolved", "ben", raised["severity"]),
        ("alert_acknowledged", "ben", raised["severity"]),
        ("alert_raised", "system", raised["severity"]),
    ]
    assert {item["title"] for item in about} == {raised["title"]}
    # Of this webhook alone, and only what happened in the range.
    assert {item["alert_id"] for item in found} == {None, raised["id"]}
    until = {"to": found[-1]["at"]}
    assert (await api.read(f"webhooks/{webhook_id}/annotations", params=until))["items"] == []


async def test_annotations_of_nothing_and_of_no_time(api: Api) -> None:
    assert_problem(await api.get(f"webhooks/{NOBODY}/annotations"), 404, "not_found")
    window = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}
    path = f"webhooks/{(await api.create(URL))['id']}/annotations"
    assert_problem(await api.get(path, params=window), 422, "invalid")


async def test_annotations_are_found_among_many_audit_rows(own_api: Api, own_parts: Container) -> None:
    webhook_id = (await own_api.create(URL))["id"]
    await execute(
        own_parts,
        "INSERT INTO audit_log (id, at, subject, action, target) SELECT gen_random_uuid(), now() - n * interval '1 s',"
        " 'ada', CASE WHEN n % 2 = 0 THEN 'attempts.report' ELSE 'webhook.update' END,"
        " CASE WHEN n % 2 = 0 THEN $1 ELSE 'webhook:other' END FROM generate_series(1, 20000) AS n",
        f"webhook:{webhook_id}",
    )
    await execute(own_parts, "ANALYZE audit_log")
    now = await own_parts.queries.now()
    since, until = now - timedelta(days=2), now + timedelta(seconds=1)
    async with sql(own_parts) as connection:
        audited = await plan_of(connection, AUDITED_CHANGES, f"webhook:{webhook_id}", list(AUDITED), since, until)
        alerted = await plan_of(connection, ALERT_CHANGES, webhook_id, id_floor(until), list(ALERTED), since, until)
    assert max(looked_at(audited)) < 100
    assert max(looked_at(alerted)) < 100
    assert len((await own_api.read(f"webhooks/{webhook_id}/annotations"))["items"]) == 1
