"""The list of webhooks: what it is filtered and sorted by, its pages, its counts, and what they cost."""

from __future__ import annotations

import asyncio
from typing import Any, get_args
from uuid import UUID

import asyncpg
import pytest

from monitor.adapters.postgres.queries.metrics import OVERVIEW
from monitor.adapters.postgres.queries.webhook_rows import row_counts, rows_look
from monitor.adapters.postgres.summaries import CHUNK, NEXT, SummaryMeasuring
from monitor.bootstrap.container import Container
from monitor.domain.monitoring.status import urgency, webhook_status
from monitor.domain.views.dashboard import RowFilter, RowOrder, RowPosition, RowSort
from monitor.domain.vocab import SEVERITIES, HealthStatus, Role, Severity, WebhookStatus
from tests.integration.detection_support import Watch, alert, fail
from tests.integration.many_webhooks import ADD_FIGURES, ADD_LANES, ADD_MANY
from tests.integration.plans import plan_of
from tests.integration.support import Api, assert_problem, execute, sql
from tests.integration.test_bounded import looked_at
from tests.integration.test_dashboard_api import Seen, counted
from tests.integration.test_index_use import Recorder

URL = "http://127.0.0.1:9/hook"
MANY = 10_000
SORTS: tuple[RowSort, ...] = get_args(RowSort)

OPEN_ALERT = """
INSERT INTO alerts (id, webhook_id, kind, severity, state, title, count, causes, evidence, raised_at, transitions,
    flapping, notified, pending_notification, version)
VALUES (gen_random_uuid(), $1, $2, $3, 'pending', $4, 1, '{}', '{}', now(), '{}', false, false, false, 1)
"""


@pytest.fixture
def seen(api: Api, parts: Container) -> Seen:
    return Seen(api, parts)


async def measure(parts: Container) -> None:
    """Measure all webhooks now."""
    measuring = SummaryMeasuring(parts.database, step_s=0, round_s=0)
    while await measuring.step() == CHUNK:
        pass


async def names(seen: Seen, **params: Any) -> list[str]:
    return [row["name"] for row in await seen.rows(**params)]


async def ids_by_page(api: Api, **params: Any) -> list[str]:
    return [row["id"] async for page in api.pages("dashboard/webhooks", **params) for row in page]


async def test_a_healthy_webhook_with_a_critical_alert_is_degraded_and_comes_first(
    seen: Seen, api: Api, parts: Container
) -> None:
    slow, shaky, _ = [(await api.create(URL, name=name))["id"] for name in ("slow", "shaky", "new")]
    await seen.report(slow, *[(1, 200, 10.0)] * 20)
    await seen.report(shaky, *[(1, 200, 10.0), (1, 503, 10.0), (1, 200, 10.0)] * 6)
    assert await names(seen) == ["shaky", "new", "slow"]
    await execute(parts, OPEN_ALERT, UUID(slow), "latency", "critical", "Latency is 4.4 times its normal.")
    await execute(parts, OPEN_ALERT, UUID(slow), "volume", "warning", "Fewer attempts than usual.")
    first, second, _ = await seen.rows()
    assert (first["name"], first["status"], first["reason"], first["alerts"]) == (
        "slow", "degraded", "Latency is 4.4 times its normal. All of the last 20 attempts succeeded.", 2,
    )  # fmt: skip
    assert (first["health"]["status"], second["name"]) == ("healthy", "shaky")
    assert (await seen.read("/overview"))["webhooks"] == counted(degraded=2, unknown=1)
    details = await api.read(f"webhooks/{slow}")
    assert (details["status"], details["status_reason"]) == ("degraded", first["reason"])
    await execute(parts, "UPDATE alerts SET state = 'resolved', resolved_at = now()")
    assert await names(seen) == ["shaky", "new", "slow"]
    assert (await seen.read("/overview"))["webhooks"] == counted(healthy=1, degraded=1, unknown=1)


async def test_what_the_detector_raises_and_a_user_resolves_changes_the_status(
    seen: Seen, api: Api, parts: Container
) -> None:
    id_ = (await api.create(URL, name="shop"))["id"]
    await fail(api, id_)
    await Watch(parts).look()
    raised = await alert(api, id_)
    async with sql(parts) as db:
        column = raised["severity"]
        assert await db.fetchval(f"SELECT {column} FROM webhook_summaries") == 1
        await api.post(f"alerts/{raised['id']}/ack")
        assert await db.fetchval(f"SELECT {column} FROM webhook_summaries") == 1
        await api.post(f"alerts/{raised['id']}/resolve")
        assert await db.fetchval(f"SELECT {column} FROM webhook_summaries") == 0
    assert (await seen.rows())[0]["alerts"] == 0


async def test_status_and_order_are_those_of_the_pure_functions(api: Api, parts: Container) -> None:
    """Law: on every row, whatever its health, its alerts and its configuration."""
    found: list[tuple[Any, ...]] = []
    async with sql(parts) as db:
        for health in HealthStatus:
            for severities in ([], [Severity.INFO], [Severity.WARNING], [Severity.CRITICAL], list(Severity)):
                for enabled, paused in ((True, False), (True, True), (False, False), (False, True)):
                    id_ = UUID((await api.create(URL))["id"])
                    await db.execute(
                        "UPDATE webhooks SET enabled = $2, paused_at = CASE WHEN $3 THEN now() END WHERE id = $1",
                        id_, enabled, paused,
                    )  # fmt: skip
                    await db.execute(
                        "UPDATE webhook_lanes SET health_status = $2, failure_probability = random()"
                        " WHERE webhook_id = $1",
                        id_, health,
                    )  # fmt: skip
                    for severity in severities:
                        await db.execute(OPEN_ALERT, id_, severity, severity, severity)
                    worst = max(severities, key=SEVERITIES.index, default=None)
                    found.append((id_, health, worst, enabled, paused))
        await measure(parts)
        rows = {row["webhook_id"]: row for row in await db.fetch("SELECT * FROM webhook_summaries")}
        lanes = dict(await db.fetch("SELECT webhook_id, failure_probability FROM webhook_lanes"))
    for id_, health, worst, enabled, paused in found:
        status = webhook_status(health, worst, enabled=enabled, paused=paused)
        assert rows[id_]["status"] == status
        assert rows[id_]["urgency"] == pytest.approx(urgency(status, worst, lanes[id_]))
        view = await parts.queries.webhook(id_)
        assert view.status is status


async def test_alerts_of_two_transactions_are_both_counted(api: Api, parts: Container) -> None:
    id_ = UUID((await api.create(URL))["id"])
    async with sql(parts) as one, sql(parts) as other:
        async with one.transaction():
            await one.execute(OPEN_ALERT, id_, "latency", "critical", "x")
            waits = asyncio.create_task(other.execute(OPEN_ALERT, id_, "volume", "critical", "y"))
            blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%alerts%'"
            async with asyncio.timeout(30):
                while not await one.fetchval(blocked):
                    await one.execute("SELECT pg_stat_clear_snapshot()")
        await waits
        assert await one.fetchval("SELECT critical FROM webhook_summaries") == 2
        await one.execute("DELETE FROM alerts WHERE kind = 'volume'")
        await one.execute("UPDATE alerts SET severity = 'warning'")
        assert tuple(await one.fetchrow("SELECT critical, warning, info FROM webhook_summaries")) == (0, 1, 0)


async def test_a_deleted_webhook_is_in_no_list_and_no_count(seen: Seen, api: Api) -> None:
    gone, kept = [(await api.create(URL, name=name))["id"] for name in ("gone", "kept")]
    await api.call("PATCH", f"webhooks/{kept}", json={"name": "Renamed"})
    assert (await api.call("DELETE", f"webhooks/{gone}")).status_code == 204
    await seen.report(kept, (1, 200, 10.0))
    page = await seen.read("/webhooks")
    assert ([row["name"] for row in page["items"]], page["total"]) == (["Renamed"], 1)
    assert page["counts"] == counted(healthy=1)


@pytest.fixture
async def shop(seen: Seen, api: Api, parts: Container) -> dict[str, str]:
    """Three webhooks that differ in everything."""
    specs: dict[str, dict[str, Any]] = {
        "Archive": {"labels": {"owner": "storage_team", "tier": "2"}, "event_types": ["archive.*"]},
        "billing": {"labels": {"owner": "money"}, "event_types": ["order.paid"], "url": "http://127.0.0.1:9/b%20c"},
        "Cart": {"description": "What people put in.", "event_types": ["cart.*"]},
    }
    made = {name: (await api.create(**{"url": URL, "name": name} | spec))["id"] for name, spec in specs.items()}
    await seen.report(made["Archive"], *[(1, 200, 700.0)] * 5)
    await seen.report(made["billing"], *[(3, 200, 20.0)] * 30, *[(2, 503, 20.0)] * 4, *[(1, 200, 20.0)] * 2)
    await api.post(
        "events", json={"type": "order.paid", "payload": {}, "labels": {"owner": "money"}}, role=Role.PUBLISHER
    )
    await execute(parts, OPEN_ALERT, UUID(made["Archive"]), "latency", "warning", "Slow.")
    await measure(parts)
    return made


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"q": "ARCH"}, ["Archive"]),
        ({"q": "/b%20"}, ["billing"]),
        ({"q": "people put"}, ["Cart"]),
        ({"q": "storage_t"}, ["Archive"]),
        ({"q": "_"}, ["Archive"]),
        ({"q": "%"}, ["billing"]),
        ({"label": "owner"}, ["Archive", "billing"]),
        ({"label": "owner=money"}, ["billing"]),
        ({"event_type": "order.paid"}, ["billing"]),
        ({"failing": True}, ["billing"]),
        ({"failing": False}, ["Archive", "Cart"]),
        ({"alerting": True}, ["Archive"]),
        ({"alerting": False}, ["billing", "Cart"]),
        ({"waiting": True}, ["billing"]),
        ({"waiting": False}, ["Archive", "Cart"]),
        ({"status": "degraded"}, ["Archive", "billing"]),
        ({"status": "unknown"}, ["Cart"]),
        ({"status": "paused"}, []),
        ({"status": "degraded", "label": "owner=money"}, ["billing"]),
        ({"q": "nowhere"}, []),
    ],
)
async def test_a_filter_finds_what_it_says(
    seen: Seen, shop: dict[str, str], params: dict[str, Any], expected: list[str]
) -> None:
    page = await seen.read("/webhooks", sort="name", **params)
    assert ([row["name"] for row in page["items"]], page["total"]) == (expected, len(expected))
    assert sum(page["counts"].values()) >= page["total"]


async def test_counts_are_of_every_status_that_the_other_conditions_leave(seen: Seen, shop: dict[str, str]) -> None:
    page = await seen.read("/webhooks", status="unknown", alerting=False)
    assert (page["total"], page["counts"]) == (1, counted(unknown=1, degraded=1))


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("worst", ["billing", "Archive", "Cart"]),
        ("name", ["Archive", "billing", "Cart"]),
        ("newest", ["Cart", "billing", "Archive"]),
        ("traffic", ["billing", "Archive", "Cart"]),
        ("failures", ["billing", "Archive", "Cart"]),
        ("latency", ["Archive", "billing", "Cart"]),
    ],
)
async def test_a_sort_begins_with_what_it_says(
    seen: Seen, api: Api, shop: dict[str, str], sort: str, expected: list[str]
) -> None:
    assert await names(seen, sort=sort) == expected
    assert await names(seen, sort=sort, reverse=True) == expected[::-1]


async def test_a_row_says_where_it_sends_whose_it_is_and_what_waits(seen: Seen, shop: dict[str, str]) -> None:
    (row,) = await seen.rows(ids=shop["billing"])
    assert (row["url"], row["labels"], row["waiting"]) == ("http://127.0.0.1:9/b%20c", {"owner": "money"}, 1)
    assert row["last_attempt_at"] is not None
    some = await seen.rows(ids=f"{shop['Cart']},{shop['Archive']}", sort="name")
    assert [one["name"] for one in some] == ["Archive", "Cart"]


async def test_a_list_shows_no_secret_of_a_chat_url(seen: Seen, api: Api) -> None:
    await api.create("https://hooks.slack.com/services/T/B/secret", name="chat", body_format="slack")
    (row,) = await seen.rows()
    assert row["url"].startswith("https://hooks.slack.com")
    assert "secret" not in row["url"]
    assert await seen.rows(q="secret") == []


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("sort", SORTS)
async def test_pages_of_each_sort_have_every_webhook_once(
    seen: Seen, api: Api, parts: Container, sort: str, *, reverse: bool
) -> None:
    for i in range(7):
        await api.create(URL, name=f"w{i % 3}")
    await execute(parts, "UPDATE webhook_summaries SET attempts = (random() * 2)::int, p95_ms = (random() * 2)::int")
    whole = [row["id"] for row in await seen.rows(sort=sort, reverse=reverse)]
    assert len(set(whole)) == 7
    for limit in (1, 2, 7):
        assert await ids_by_page(api, limit=limit, sort=sort, reverse=reverse) == whole
    page = await api.read("dashboard/webhooks", params={"limit": 3, "sort": sort, "reverse": reverse})
    params = {"limit": 3, "sort": sort, "reverse": reverse, "cursor": page["next_cursor"]}
    following = await api.read("dashboard/webhooks", params=params)
    assert (page["total"], following["total"], following["counts"]) == (7, None, None)
    other = "name" if sort == "newest" else "newest"
    refused = await api.get("dashboard/webhooks", params=params | {"sort": other})
    assert_problem(refused, 400)


@pytest.mark.parametrize(
    "params",
    [
        {"ids": "7"},
        {"ids": ""},
        {"sort": "size"},
        {"waiting": "3"},
        {"q": "a\0b"},
        {"status": "ill"},
        {"status": "null"},
    ],
)
async def test_a_condition_that_cannot_be_read_is_refused(api: Api, params: dict[str, str]) -> None:
    assert_problem(await api.get("dashboard/webhooks", params=params), 400)


async def test_a_step_measures_a_chunk_and_leaves_alone_what_others_hold(api: Api, parts: Container) -> None:
    one, other = sorted([UUID((await api.create(URL))["id"]) for _ in range(2)])
    await api.publish(1, 2)
    async with sql(parts) as db:
        async with db.transaction():
            await db.execute("SELECT FROM webhook_summaries WHERE webhook_id = $1 FOR UPDATE", one)
            await measure(parts)
            found = "SELECT webhook_id, waiting FROM webhook_summaries"
            assert dict(await db.fetch(found)) == {one: 0, other: 2}
        await measure(parts)
        assert dict(await db.fetch(found)) == {one: 2, other: 2}


async def test_of_two_processes_one_does_the_step_and_rounds_have_a_pace(api: Api, parts: Container) -> None:
    await api.create(URL)
    async with sql(parts) as db:
        await measure(parts)
        async with db.transaction():
            await db.execute("SELECT FROM summary_progress FOR UPDATE")
            assert await SummaryMeasuring(parts.database, step_s=0, round_s=0).step() == 0
        assert await SummaryMeasuring(parts.database, step_s=0, round_s=600).step() == 0
        assert await SummaryMeasuring(parts.database, step_s=600, round_s=0).step() == 0
        # A clock that was set back holds nothing up.
        await db.execute("UPDATE summary_progress SET stepped_at = now() + interval '1 day', round_at = stepped_at")
        assert await SummaryMeasuring(parts.database, step_s=600, round_s=0).step() == 1


async def most(connection: asyncpg.Connection, statement: str, *args: object) -> int:
    return max(looked_at(await plan_of(connection, statement, *args)))


async def test_at_ten_thousand_webhooks_a_page_reads_little(api: Api, parts: Container) -> None:
    await execute(parts, ADD_MANY, MANY)
    await execute(parts, ADD_LANES)
    await execute(parts, ADD_FIGURES)
    limit = 50
    async with sql(parts) as db:
        await db.execute("VACUUM ANALYZE webhook_summaries, webhooks, webhook_lanes, alerts, anomalies, deliveries")
        for sort in SORTS:
            for reverse in (False, True):
                recorder = Recorder(parts.database)
                look = await rows_look(recorder, RowFilter(), RowOrder(sort, reverse), None, limit)
                position = look.following
                assert position is not None
                await rows_look(recorder, RowFilter(), RowOrder(sort, reverse), position, limit)
                lists = [(text, args) for text, args in recorder.statements if "webhook_summaries" in text]
                assert len(lists) == 2
                for text, args in lists:
                    assert await most(db, text, *args) <= 2 * (limit + 1)
        # The few of one status among so many, in the order that people see first.
        recorder = Recorder(parts.database)
        for status in (WebhookStatus.HEALTHY, WebhookStatus.PAUSED, WebhookStatus.UNKNOWN):
            await rows_look(recorder, RowFilter(status), RowOrder(), None, limit)
            text, args = recorder.statements[-3]
            assert await most(db, text, *args) <= 2 * (limit + 1)
        assert await most(db, NEXT, UUID(int=0)) == CHUNK
        counts = await row_counts(parts.database, RowFilter())
        assert (sum(counts.values()), counts[WebhookStatus.PAUSED]) == (MANY, MANY // 100)
        # One narrow row for each webhook, where three tables were read before.
        assert await read_in_all(db, OVERVIEW) <= 1.1 * MANY


async def read_in_all(connection: asyncpg.Connection, statement: str) -> int:
    """Return the rows that the nodes which read tables and indexes returned or left out."""

    def leaves(plan: dict[str, Any]) -> int:
        if plan.get("Plans"):
            return sum(leaves(child) for child in plan["Plans"])
        return max(looked_at(plan)) if "Scan" in plan["Node Type"] else 0

    return leaves(await plan_of(connection, statement))


async def test_a_position_of_any_size_is_read(api: Api, parts: Container) -> None:
    await api.create(URL)
    positions: list[tuple[RowSort, float | str]] = [
        ("traffic", 1e12),
        ("worst", -1.0),
        ("name", "\U0010ffff" * 64),
        ("name", ""),
    ]
    for sort, key in positions:
        after = RowPosition(sort, key, UUID(int=0))
        look = await parts.dashboards.rows(RowFilter(), RowOrder(sort), after=after, limit=1)
        assert len(look.rows) <= 1
