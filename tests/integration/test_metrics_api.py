"""Reported attempts, and the series, percentiles and totals that come of all attempts."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from monitor.adapters.postgres import wakeups
from monitor.adapters.postgres.queries import metrics as metrics_queries
from monitor.adapters.postgres.wakeups import PostgresWakeups
from monitor.bootstrap.container import Container
from monitor.cache.server import ROOT
from monitor.domain.vocab import Role
from tests.integration.lease_support import cut_connections
from tests.integration.support import WITHIN_S, Api, Receiver, assert_problem, eventually, execute, finished, working

URL = "http://127.0.0.1:9/hook"
ACCURACY = 0.025


def made_up(dice: Random, now: datetime, count: int) -> list[dict[str, Any]]:
    """Return attempts of the last three hours, with latencies over five orders of magnitude."""
    attempts = []
    for _ in range(count):
        ending: dict[str, Any] = dice.choice(
            [{"status_code": 200}] * 6 + [{"status_code": 503}, {"status_code": 404}, {"error": "timeout"}]
        )
        at = now - timedelta(seconds=dice.uniform(60, 3 * 3600))
        attempts.append({"delivered_at": at.isoformat(), "latency_ms": math.exp(dice.uniform(-1, 10)), **ending})
    return attempts


def label(attempt: dict[str, Any]) -> str:
    if "error" in attempt:
        return str(attempt["error"])
    return "ok" if attempt["status_code"] == 200 else str(attempt["status_code"])


def assert_point(point: dict[str, Any], attempts: list[dict[str, Any]]) -> None:
    """Check one point of a series against the attempts that belong to it."""
    labels = Counter(label(attempt) for attempt in attempts)
    ok = labels.pop("ok", 0)
    assert point["attempts"] == len(attempts)
    assert point["failures"] == len(attempts) - ok
    assert point["errors"] == dict(labels)
    assert point["success_ratio"] == pytest.approx(ok / len(attempts), abs=1e-6)
    latencies = sorted(attempt["latency_ms"] for attempt in attempts if label(attempt) == "ok")
    failed = [attempt["latency_ms"] for attempt in attempts if label(attempt) != "ok"]
    if failed:
        assert point["failed_mean_ms"] == pytest.approx(sum(failed) / len(failed), abs=2e-3)
    if not latencies:
        assert [point[name] for name in ("mean_ms", "p50_ms", "p95_ms", "p99_ms")] == [None] * 4
        return
    assert point["mean_ms"] == pytest.approx(sum(latencies) / len(latencies), abs=2e-3)
    for name, q in (("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99)):
        exact = latencies[max(math.ceil(q * len(latencies)) - 1, 0)]
        assert point[name] == pytest.approx(exact, rel=ACCURACY, abs=1e-3)


@pytest.mark.parametrize("step", [60, 300, 3600])
async def test_a_series_is_what_the_attempts_add_up_to(api: Api, step: int) -> None:
    now = datetime.now(UTC)
    path = f"webhooks/{(await api.create(URL))['id']}"
    other = f"webhooks/{(await api.create(URL))['id']}"
    attempts = made_up(Random(step), now, 2000)
    for part in (attempts[:1000], attempts[1000:]):
        answer = await api.post(f"{path}/attempts", json={"attempts": part}, role=Role.PUBLISHER)
        assert (answer.status_code, answer.json()) == (202, {"recorded": 1000})
    await api.post(f"{other}/attempts", json={"attempts": attempts[:10]}, role=Role.PUBLISHER)
    # Not aligned to the hour: steps count from where the range begins, which is at a whole hour if they are hours.
    start = (now - timedelta(hours=2, minutes=17)).replace(minute=17, second=0, microsecond=0)
    end = start + timedelta(hours=2)
    window = {"from": start.isoformat(), "to": end.isoformat(), "step": step}
    series = await api.read(f"{path}/metrics", params=window)
    if step == 3600:
        start, end = start - timedelta(minutes=17), end + timedelta(minutes=43)
    expected: dict[datetime, list[dict[str, Any]]] = {}
    for attempt in attempts:
        at = datetime.fromisoformat(attempt["delivered_at"])
        if start <= at < end:
            offset_s = (at - start).total_seconds() // step * step
            expected.setdefault(start + timedelta(seconds=offset_s), []).append(attempt)
    assert [datetime.fromisoformat(point["at"]) for point in series["points"]] == sorted(expected)
    for point in series["points"]:
        assert_point(point, expected[datetime.fromisoformat(point["at"])])
    assert_point(series["total"], [attempt for part in expected.values() for attempt in part])
    answered = (series["step_s"], *(datetime.fromisoformat(series[name]) for name in ("from_at", "to_at")))
    assert answered == (step, start, end)


async def test_reported_attempts_are_listed_by_their_own_time(api: Api) -> None:
    webhook = await api.create(URL)
    path = f"webhooks/{webhook['id']}/attempts"
    now = datetime.now(UTC)
    attempts = made_up(Random(7), now, 130)
    attempts[0] |= {"event_type": "order.paid", "event_id": webhook["id"]}
    await api.post(path, json={"attempts": attempts}, role=Role.PUBLISHER)
    listed = [item async for items in api.pages(path, limit=50) for item in items]
    assert len({item["id"] for item in listed}) == 130
    times = [datetime.fromisoformat(item["at"]) for item in listed]
    assert times == sorted(times, reverse=True)
    assert {item["kind"] for item in listed} == {"reported"}
    expected = sorted(datetime.fromisoformat(attempt["delivered_at"]) for attempt in attempts)
    for at, true in zip(times[::-1], expected, strict=True):
        assert abs(at - true) <= timedelta(milliseconds=1)
    (known,) = [item for item in listed if item["event_id"]]
    assert (known["event_id"], known["event_type"]) == (webhook["id"], "order.paid")
    middle = times[60]
    recent = await api.read(path, params={"from": middle.isoformat(), "limit": 200})
    assert {item["id"] for item in recent["items"]} == {
        i["id"] for i, at in zip(listed, times, strict=True) if at >= middle
    }
    for params, keep in (
        ({"ok": "true"}, lambda a: label(a) == "ok"),
        ({"ok": "false"}, lambda a: label(a) != "ok"),
        ({"error": "503"}, lambda a: label(a) == "503"),
        ({"error": "timeout"}, lambda a: label(a) == "timeout"),
        ({"error": "status"}, lambda a: label(a) in {"503", "404"}),
    ):
        found = (await api.read(path, params={"limit": 200, **params}))["items"]
        assert len(found) == sum(map(keep, attempts)), params


async def test_reported_attempts_move_health_but_not_the_breaker(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    webhook = await api.create(receiver.url)
    now = datetime.now(UTC)
    failures = [
        {"delivered_at": (now - timedelta(seconds=i)).isoformat(), "latency_ms": 1, "status_code": 500}
        for i in range(20)
    ]
    await api.post(f"webhooks/{webhook['id']}/attempts", json={"attempts": failures}, role=Role.PUBLISHER)
    assert (await api.read(f"webhooks/{webhook['id']}"))["health"]["status"] == "unavailable"
    async with working(parts):
        await api.publish(1)
        await finished(api, 1)
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    ("attempt", "pointer"),
    [
        ({}, "/attempts/0"),
        ({"status_code": 200, "error": "timeout"}, "/attempts/0"),
        ({"status_code": 99}, "/attempts/0/status_code"),
        ({"error": "hunger"}, "/attempts/0/error"),
        ({"status_code": 200, "latency_ms": -1}, "/attempts/0/latency_ms"),
        ({"status_code": 200, "delivered_at": "2001-01-01T00:00:00Z"}, "/attempts/0/delivered_at"),
        ({"status_code": 200, "delivered_at": "2999-01-01T00:00:00Z"}, "/attempts/0/delivered_at"),
    ],
    ids=str,
)
async def test_a_report_with_a_bad_attempt_is_refused_whole(api: Api, attempt: dict[str, Any], pointer: str) -> None:
    path = f"webhooks/{(await api.create(URL))['id']}/attempts"
    good = {"delivered_at": datetime.now(UTC).isoformat(), "latency_ms": 1}
    for attempts in ([{**good, **attempt}],):
        problem = assert_problem(await api.post(path, json={"attempts": attempts}), 422, "invalid")
        assert [error["pointer"] for error in problem["errors"]] == [pointer]
    ok = {**good, "status_code": 200}
    assert_problem(await api.post(path, json={"attempts": [ok, {**good, **attempt}]}), 422)
    assert_problem(await api.post(path, json={"attempts": [ok] * 1001}), 422)
    assert_problem(await api.post(path, json={"attempts": []}), 422)
    assert (await api.read(path))["items"] == []


async def test_a_range_that_makes_no_sense_is_refused(api: Api) -> None:
    webhook = await api.create(URL)
    path = f"webhooks/{webhook['id']}/metrics"
    now = datetime.now(UTC)
    for params, status in (
        ({"from": now.isoformat(), "to": (now - timedelta(hours=1)).isoformat()}, 422),
        ({"from": (now - timedelta(days=10)).isoformat()}, 422),
        ({"from": "2026-01-01T00:00:00"}, 422),
        ({"from": "soon"}, 400),
        ({"step": "61"}, 400),
        ({"step": "0"}, 400),
    ):
        assert_problem(await api.get(path, params=params), status)
    assert_problem(await api.get("webhooks/01900000-0000-7000-8000-000000000000/metrics"), 404, "not_found")
    assert (await api.read(path))["points"] == []


async def test_the_overview_counts_what_happened(own_api: Api, receiver: Receiver, own_parts: Container) -> None:
    healthy = await own_api.create(receiver.url)
    await own_api.create(URL, enabled=False)
    paused = await own_api.create(receiver.url)
    await own_api.post(f"webhooks/{paused['id']}/pause")
    async with working(own_parts):
        await own_api.publish(*range(30))
        await receiver.takes(30)

        async def is_healthy() -> bool:
            return bool((await own_api.read(f"webhooks/{healthy['id']}"))["health"]["status"] == "healthy")

    assert await is_healthy()
    overview = await own_api.read("dashboard/overview")
    none = dict.fromkeys(("throttled", "degraded", "unavailable", "unknown"), 0)
    assert overview["webhooks"] == none | {"healthy": 1, "disabled": 1, "paused": 1}
    assert (overview["disabled"], overview["paused"]) == (1, 1)
    assert overview["traffic"]["attempts"] == 30
    assert overview["traffic"]["success_ratio"] == 1
    assert 0 < overview["traffic"]["p50_ms"] <= overview["traffic"]["p95_ms"] <= overview["traffic"]["p99_ms"]
    lag = {"oldest_lease_age_s": 0, "oldest_due_age_s": 0, "oldest_fan_out_age_s": 0}
    assert overview["queue"] == {"pending": 30, "in_flight": 0, "fan_outs": 0} | lag
    metrics = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families((await own_api.get("/metrics", role=Role.VIEWER)).text)
        for sample in family.samples
    }
    assert metrics["monitor_webhooks", "healthy"] == 1
    assert metrics["monitor_webhooks_paused",] == 1
    assert metrics["monitor_deliveries_pending",] == 30
    assert metrics["monitor_attempts_last_hour",] == 30
    assert metrics["monitor_http_request_seconds_count", "POST", "/api/v1/webhooks", "201"] == 3


async def gauge(api: Api, name: str) -> float | None:
    """Return a gauge of the exposition, ``None`` if it is not there."""
    samples = {
        sample.name: sample.value
        for family in text_string_to_metric_families((await api.get("/metrics", role=Role.VIEWER)).text)
        for sample in family.samples
    }
    return samples.get(f"monitor_{name}")


async def test_a_lease_that_is_held_for_long_shows_in_the_metrics(own_api: Api, own_parts: Container) -> None:
    """Of a worker that renews its leases and settles nothing, nothing else grows."""
    await own_api.create(URL)
    await own_api.publish(1, 2)
    leased = "UPDATE deliveries SET leased_by = 'w', due_at = now() + interval '30 s', leased_at = now()"
    await execute(own_parts, f"{leased} - interval '50 s' WHERE id = (SELECT id FROM deliveries ORDER BY id LIMIT 1)")
    assert 50 <= (await gauge(own_api, "oldest_lease_age_seconds") or 0) < 50 + WITHIN_S
    await execute(own_parts, "UPDATE deliveries SET leased_by = NULL, due_at = now()")
    await own_parts.cache.invalidate([ROOT], acknowledged=True)
    assert await gauge(own_api, "oldest_lease_age_seconds") == 0


async def test_whether_wake_ups_arrive_shows_in_the_metrics(
    own_api: Api, own_parts: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def shows(value: float) -> bool:
        return await gauge(own_api, "wakeups_connected") == value

    assert await gauge(own_api, "wakeups_connected") is None
    # Once the connection is lost, it stays so for the rest of this test.
    monkeypatch.setattr(wakeups, "RETRY_S", 3_600.0)
    listening = asyncio.create_task(PostgresWakeups(own_parts.database, probe_s=3_600.0).listen(lambda _: None))
    await eventually(lambda: shows(1))
    await cut_connections(own_parts, "query LIKE 'LISTEN%'")
    await eventually(lambda: shows(0))
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def test_the_queue_tells_how_late_its_oldest_delivery_is(api: Api, receiver: Receiver) -> None:
    await api.create(receiver.url)
    await api.publish(1)
    queue = (await api.read("dashboard/overview"))["queue"]
    assert queue["pending"] == 1
    assert queue["oldest_due_age_s"] > 0


async def test_what_a_pause_held_is_late_from_its_turn_on(api: Api, parts: Container) -> None:
    await api.create(URL)
    await api.publish(1)
    await execute(parts, "UPDATE deliveries SET due_at = now() - interval '10 min'")
    for turn_s, low, high in ((30, 0, 0), (-40, 40, 60)):
        await execute(
            parts,
            "UPDATE webhook_lanes SET resumed_at = now() - interval '5 min',"
            " release_at = now() + make_interval(secs => $1)",
            float(turn_s),
        )
        queue = (await metrics_queries.overview(parts.database)).queue
        assert low <= queue.oldest_due_age_s <= high


async def test_what_a_breaker_holds_back_is_late_from_the_end_of_its_pause_on(api: Api, parts: Container) -> None:
    await api.create(URL)
    await api.publish(1)
    await execute(parts, "UPDATE deliveries SET due_at = now() - interval '10 min'")
    for seconds_ago, low, high in ((-30, 0, 0), (40, 40, 60)):
        await execute(
            parts,
            "UPDATE webhook_lanes SET breaker_state = 'open', breaker_until = now() - make_interval(secs => $1)",
            float(seconds_ago),
        )
        queue = (await metrics_queries.overview(parts.database)).queue
        assert low <= queue.oldest_due_age_s <= high
