"""The dashboard's routes: what they answer, to whom, and what they refuse."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from monitor.bootstrap.container import Container
from monitor.domain.anomaly import Evidence, Signal
from monitor.domain.events import AnomalyOpened
from monitor.domain.ports.repositories.detection import AnomalyRecord
from monitor.domain.views.dashboard import INITIAL_ROWS, WINDOWS
from monitor.domain.vocab import Role, Severity, WebhookStatus
from tests.integration.detection_support import Watch, alert, fail
from tests.integration.support import Api, api_of, assert_problem, execute

URL = "http://127.0.0.1:9/hook"
ROUTES = ["dashboard", "dashboard/overview", "dashboard/webhooks", "dashboard/performance", "dashboard/anomalies"]
LATENCY = "monitor_attempt_latency_seconds_last_hour"
TAGS = ["dashboard", "health", "alerts", "anomalies", "webhooks"]


class Seen:
    """Reads that never show what was cached before."""

    def __init__(self, api: Api, parts: Container) -> None:
        self.api = api
        self._parts = parts

    async def read(self, path: str = "", **params: Any) -> Any:
        await self._parts.cache.invalidate(TAGS, acknowledged=True)
        return await self.api.read(f"dashboard{path}", params=params)

    async def rows(self, **params: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = (await self.read("/webhooks", **params))["items"]
        return rows

    async def depart(self, webhook_id: str, *, at: datetime | None = None) -> None:
        """Open the webhook's anomaly of failures, or close it at *at*."""
        clock = self._parts.clock
        async with self._parts.unit_of_work() as uow:
            known = await uow.detection.open_anomalies([UUID(webhook_id)])
            evidence = Evidence(observed=0.5, expected=0.01, n=20, window_s=300.0, p_value=1e-9)
            record = known[0] if known else AnomalyRecord(
                id=clock.new_id(), webhook_id=UUID(webhook_id), signal=Signal.FAILURES, severity=Severity.CRITICAL,
                sentence="10 of 20 attempts failed.", evidence=evidence, opened_at=uow.now,
            )  # fmt: skip
            await uow.detection.save_anomalies([msgspec.structs.replace(record, closed_at=at)])
            uow.record(AnomalyOpened(record.id, record.webhook_id, record.signal, record.severity, record.sentence))
            await uow.commit()

    async def report(self, webhook_id: str, *attempts: tuple[float, int, float]) -> None:
        """Report attempts, each so many minutes ago, with its status and milliseconds."""
        now = await self._parts.queries.now()
        minute = now.replace(second=0, microsecond=0)
        body = [
            {"delivered_at": _ago(minute, minutes).isoformat(), "status_code": status, "latency_ms": ms}
            for minutes, status, ms in attempts
        ]
        answer = await self.api.post(f"webhooks/{webhook_id}/attempts", json={"attempts": body}, role=Role.PUBLISHER)
        assert answer.status_code == 202, answer.text


def counted(**counts: int) -> dict[str, int]:
    return dict.fromkeys([status.value for status in WebhookStatus], 0) | counts


def _ago(minute: datetime, minutes: float) -> datetime:
    return minute - timedelta(minutes=minutes)


@pytest.fixture
def seen(api: Api, parts: Container) -> Seen:
    return Seen(api, parts)


async def test_an_empty_system_has_an_empty_dashboard(seen: Seen) -> None:
    first = await seen.read()
    overview = first["overview"]
    assert overview["webhooks"] == counted()
    assert overview["traffic"] == {
        "window_s": 3600, "attempts": 0, "throughput_per_s": 0.0, "success_ratio": None,
        "p50_ms": None, "p95_ms": None, "p99_ms": None,
    }  # fmt: skip
    assert overview["queue"] == {
        "pending": 0, "in_flight": 0, "oldest_lease_age_s": 0.0, "oldest_due_age_s": 0.0,
        "fan_outs": 0, "oldest_fan_out_age_s": 0.0,
    }  # fmt: skip
    assert overview["alerts"] == {"info": 0, "warning": 0, "critical": 0}
    assert [first[name] for name in ("webhooks", "anomalies", "alerts")] == [[], [], []]
    assert first["performance"]["series"] == []


async def test_the_overview_counts_what_there_is(seen: Seen, api: Api, parts: Container) -> None:
    good, bad, off, held = [(await api.create(URL, name=name))["id"] for name in ("good", "bad", "off", "held")]
    await seen.report(good, *[(1, 200, 10.0)] * 20, *[(1, 200, 200.0)] * 10)
    await seen.report(bad, *[(1, 503, 9_000.0)] * 10)
    await api.call("PATCH", f"webhooks/{off}", json={"enabled": False})
    await api.post(f"webhooks/{held}/pause")
    await api.publish(1, 2, 3)
    await execute(parts, "UPDATE deliveries SET due_at = now() - interval '40 s'")
    await execute(
        parts,
        "UPDATE deliveries SET leased_by = 'w', leased_at = now() - interval '50 s', due_at = now() + interval '30 s'"
        " WHERE webhook_id = $1",
        bad,
    )
    overview = await seen.read("/overview")
    assert overview["webhooks"] == counted(healthy=1, unavailable=1, paused=1, disabled=1)
    assert (overview["disabled"], overview["paused"]) == (1, 1)
    traffic = overview["traffic"]
    assert (traffic["attempts"], traffic["success_ratio"], traffic["throughput_per_s"]) == (40, 0.75, 0.011)
    assert traffic["p50_ms"] == pytest.approx(10, rel=0.025)
    assert traffic["p95_ms"] == traffic["p99_ms"] == pytest.approx(200, rel=0.025)
    text = (await api.get("/metrics")).text
    assert f"# HELP {LATENCY} Latency of the successful attempts of the last hour\n" in text
    shown = {quantile: float(s) for quantile, s in re.findall(rf'\n{LATENCY}{{quantile="(.+)"}} (.+)', text)}
    assert shown == {name: traffic[f"p{name[2:]:0<2}_ms"] / 1000 for name in ("0.5", "0.95", "0.99")}
    # Three webhooks of the four get the events; what the paused one holds is not late.
    assert (overview["queue"]["pending"], overview["queue"]["in_flight"]) == (9, 3)
    assert 40 <= overview["queue"]["oldest_due_age_s"] < 60
    assert 50 <= overview["queue"]["oldest_lease_age_s"] < 80


async def test_alerts_are_counted_by_severity_until_they_are_acknowledged(
    seen: Seen, api: Api, parts: Container
) -> None:
    ids = [(await api.create(URL, name=f"w{i}"))["id"] for i in range(5)]
    await fail(api, ids[0])
    await Watch(parts).look()
    await seen.depart(ids[0])
    raised = await alert(api, ids[0])
    overview = await seen.read("/overview")
    assert sum(overview["alerts"].values()) == overview["alerts"][raised["severity"]] == 1
    assert overview["anomalies"] == len((await seen.read("/anomalies"))["items"]) == 1
    assert [found["id"] for found in (await seen.read())["alerts"]] == [raised["id"]]
    (row, *_) = await seen.rows()
    assert (row["id"], row["alerts"], row["anomalies"]) == (ids[0], 1, 1)
    await api.post(f"alerts/{raised['id']}/ack")
    # Not dropped by hand: acknowledging does it.
    after = await api.read("dashboard/overview")
    assert (sum(after["alerts"].values()), after["acknowledged"]) == (0, 1)
    assert (await api.read("dashboard"))["alerts"] == []


async def test_anomalies_are_listed_while_open_and_afterwards(seen: Seen, api: Api, parts: Container) -> None:
    one, other = [(await api.create(URL, name=name))["id"] for name in ("one", "other")]
    await seen.depart(one)
    await seen.depart(other)
    found = (await seen.read("/anomalies"))["items"]
    assert [anomaly["webhook_name"] for anomaly in found] == ["other", "one"]
    assert {(a["signal"], a["severity"], a["sentence"], a["closed_at"]) for a in found} == {
        ("failures", "critical", "10 of 20 attempts failed.", None)
    }
    assert found[0]["evidence"] == {"observed": 0.5, "expected": 0.01, "n": 20, "window_s": 300.0, "p_value": 1e-9}
    assert [a["webhook_id"] for a in (await seen.read("/anomalies", webhook_id=one))["items"]] == [one]
    page = await seen.read("/anomalies", limit=1)
    rest = await seen.read("/anomalies", limit=1, cursor=page["next_cursor"])
    assert [page["items"][0], rest["items"][0], rest["next_cursor"]] == [*found, None]
    await seen.depart(one, at=parts.clock.now())
    assert [a["webhook_id"] for a in (await seen.read("/anomalies"))["items"]] == [other]
    closed = (await seen.read("/anomalies", state="closed"))["items"]
    assert [(a["webhook_id"], a["closed_at"] is not None) for a in closed] == [(one, True)]


async def test_webhooks_are_listed_worst_first(seen: Seen, api: Api) -> None:
    names = ["fine", "off", "new", "dead", "shaky"]
    ids = {name: (await api.create(URL, name=name))["id"] for name in names}
    await seen.report(ids["fine"], *[(1, 200, 10.0)] * 20)
    await seen.report(ids["dead"], *[(1, 503, 10.0)] * 20)
    await seen.report(ids["off"], *[(1, 503, 10.0)] * 20)
    await seen.report(ids["shaky"], *[(1, 200, 10.0), (1, 503, 10.0), (1, 200, 10.0)] * 6)
    await api.call("PATCH", f"webhooks/{ids['off']}", json={"enabled": False})
    rows = await seen.rows()
    assert [(row["name"], row["health"]["status"]) for row in rows] == [
        ("dead", "unavailable"),
        ("shaky", "degraded"),
        ("new", "unknown"),
        ("fine", "healthy"),
        ("off", "unavailable"),
    ]
    assert [row["status"] for row in rows] == ["unavailable", "degraded", "unknown", "healthy", "disabled"]
    assert [row["name"] for row in await seen.rows(status="unavailable")] == ["dead"]
    assert [row["name"] for row in await seen.rows(status="disabled")] == ["off"]
    assert (await seen.read())["webhooks"] == await seen.rows()


async def test_pages_go_through_equals_without_a_gap_or_a_repeat(seen: Seen, api: Api) -> None:
    ids = [(await api.create(URL, name=f"w{i}"))["id"] for i in range(9)]
    await seen.report(ids[4], *[(1, 503, 10.0)] * 20)
    whole = [row["id"] for row in await seen.rows()]
    assert whole == [ids[4], *sorted(set(ids) - {ids[4]})]
    for limit in (1, 2, 4, 9):
        pages = [[row["id"] for row in page] async for page in api.pages("dashboard/webhooks", limit=limit)]
        assert [id_ for page in pages for id_ in page] == whole
        assert {len(page) for page in pages[:-1]} <= {limit}
    pages = [page async for page in api.pages("dashboard/webhooks", limit=3, status="unknown")]
    assert [len(page) for page in pages] == [3, 3, 2]


async def test_a_row_draws_the_last_hour(seen: Seen, api: Api) -> None:
    id_ = (await api.create(URL, name="shop"))["id"]
    await seen.report(
        id_,
        (1, 200, 10.0),
        (2, 503, 10.0),
        (6, 200, 10.0),
        (7, 200, 400.0),
        (7, 503, 9_000.0),
        (56, 503, 10.0),
        (70, 200, 1.0),
    )
    (row,) = await seen.rows()
    spark = row["sparkline"]
    assert spark["step_s"] == 300
    assert spark["attempts"] == [1, *[0] * 9, 3, 2]
    assert spark["failures"] == [1, *[0] * 9, 1, 1]
    hour = row["last_hour"]
    assert (hour["attempts"], hour["success_ratio"]) == (6, 0.5)
    assert hour["p95_ms"] == pytest.approx(400, rel=0.025)


async def test_performance_is_held_against_the_window_before(seen: Seen, api: Api) -> None:
    id_ = (await api.create(URL, name="shop"))["id"]
    await seen.report(id_, *[(5, 200, 20.0)] * 90, *[(6, 503, 9_000.0)] * 10, *[(80, 200, 50.0)] * 40)
    found = await seen.read("/performance")
    assert (found["window_s"], found["step_s"]) == (3600, 60)
    current, previous = found["current"], found["previous"]
    assert (current["attempts"], current["success_ratio"], current["throughput_per_s"]) == (100, 0.9, 0.028)
    assert (previous["attempts"], previous["success_ratio"]) == (40, 1.0)
    assert current["p95_ms"] == pytest.approx(20, rel=0.025)
    assert previous["p95_ms"] == pytest.approx(50, rel=0.025)
    assert [(point["attempts"], point["failures"], point["errors"]) for point in found["series"]] == [
        (10, 10, {"503": 10}),
        (90, 0, {}),
    ]
    assert (await seen.read())["performance"]["current"] == current


@pytest.mark.parametrize("window", WINDOWS)
async def test_every_window_counts_what_lies_in_it(window: str, seen: Seen, api: Api) -> None:
    id_ = (await api.create(URL, name="shop"))["id"]
    ages = [2, 20, 75, 8 * 60, 22 * 60]
    await seen.report(id_, *[(age, 200, 20.0) for age in ages])
    window_s, step_s = WINDOWS[window]  # type: ignore[index]
    found = await seen.read("/performance", window=window)
    assert (found["window_s"], found["step_s"]) == (window_s, step_s)
    inside = [age for age in ages if age * 60 < window_s - step_s]
    before = [age for age in ages if window_s < age * 60 < 2 * window_s - step_s]
    assert found["current"]["attempts"] == sum(point["attempts"] for point in found["series"]) == len(inside)
    assert found["previous"]["attempts"] == len(before)


async def test_the_first_paint_is_the_routes_together(seen: Seen, api: Api) -> None:
    for i in range(INITIAL_ROWS + 1):
        await api.create(URL, name=f"w{i}")
    first = await seen.read()
    assert len(first["webhooks"]) == INITIAL_ROWS
    assert first["webhooks"] == (await seen.rows())[:INITIAL_ROWS]
    assert first["overview"]["webhooks"]["unknown"] == INITIAL_ROWS + 1
    assert first["performance"]["window_s"] == 3600


async def test_metrics_tell_of_the_cache_the_alerts_and_the_sockets(seen: Seen, api: Api, parts: Container) -> None:
    id_ = (await api.create(URL))["id"]
    await api.create(URL, name="another")
    await fail(api, id_)
    await Watch(parts).look()
    await seen.depart(id_)
    raised = await alert(api, id_)
    await seen.read("/overview")
    await api.read("dashboard/overview")
    lines = (await api.get("/metrics")).text.splitlines()
    samples = {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}
    assert samples['monitor_cache_reads_total{source="created",view="overview"}'] >= 1
    assert samples['monitor_cache_reads_total{source="memory",view="overview"}'] >= 1
    assert samples['monitor_cache_creations_total{view="overview"}'] >= 1
    assert samples['monitor_cache_creation_seconds_total{view="overview"}'] > 0
    assert samples['monitor_cache_creation_failures_total{view="overview"}'] == 0
    assert samples['monitor_cache_invalidations_total{view="overview"}'] >= 1
    assert samples["monitor_cache_entries"] >= 1
    assert samples["monitor_cache_bytes"] > 1000
    assert (samples["monitor_cache_trusted"], samples["monitor_cache_pending_invalidations"]) == (1, 0)
    assert samples[f'monitor_alerts_pending{{severity="{raised["severity"]}"}}'] == 1
    assert samples["monitor_anomalies_open"] == 1
    assert samples["monitor_sockets"] == 0
    assert samples['monitor_webhooks{status="unavailable"}'] == 1


@pytest.mark.parametrize("path", ROUTES)
async def test_whoever_holds_the_current_answer_is_told_so(path: str, api: Api) -> None:
    for role in (Role.VIEWER, Role.OPERATOR, Role.ADMIN):
        answer = await api.get(path, role=role)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "private, no-cache"
        unchanged = await api.get(path, role=role, headers={"If-None-Match": answer.headers["etag"]})
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        assert unchanged.headers["etag"] == answer.headers["etag"]


@pytest.mark.parametrize("path", ROUTES)
async def test_nobody_else_reads_the_dashboard(path: str, api: Api) -> None:
    await api.read(path)
    assert_problem(await api.get(path, role=None), 401, "missing_token")
    assert_problem(await api.get(path, headers={"Authorization": "Bearer nonsense"}), 401, "invalid_token")
    assert_problem(await api.get(path, role=Role.PUBLISHER), 403, "insufficient_scope")


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("webhooks", {"status": "ill"}),
        ("webhooks", {"limit": "0"}),
        ("webhooks", {"limit": "201"}),
        ("webhooks", {"cursor": "nonsense"}),
        ("webhooks", {"cursor": "AAAAAAAAAAAAAAAAAAAAAQ"}),
        ("webhooks", {"cursor": "x" * 200}),
        ("performance", {"window": "2h"}),
        ("anomalies", {"state": "all"}),
        ("anomalies", {"webhook_id": "7"}),
        ("anomalies", {"cursor": "nonsense"}),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(path: str, params: dict[str, str], api: Api) -> None:
    assert_problem(await api.get(f"dashboard/{path}", params=params), 400)


async def test_a_large_answer_is_packed_for_who_can_unpack_it(seen: Seen, api: Api, parts: Container) -> None:
    for i in range(10):
        await api.create(URL, name=f"w{i}")
    async with api_of(parts) as other:
        for _ in range(2):
            packed = await other.get("dashboard/webhooks", headers={"Accept-Encoding": "gzip"})
            plain = await other.get("dashboard/webhooks", headers={"Accept-Encoding": "identity"})
            assert packed.headers["content-encoding"] == "gzip"
            assert packed.headers["vary"] == "Accept-Encoding"
            assert "content-encoding" not in plain.headers
            assert packed.content == plain.content
            assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 3
