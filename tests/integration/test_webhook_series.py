"""Series of single webhooks at /metrics: as many as the setting allows, the busiest first, at a bounded cost."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from monitor.adapters.postgres.summaries import CHUNK, SummaryMeasuring
from monitor.bootstrap.container import Container
from monitor.settings.schema import Metrics
from tests.integration.support import Api, api_of, settings

NAME = 'pay"ments\\ €'
URL = "http://127.0.0.1:9/hook"


@pytest.fixture
async def two(database_url: str) -> AsyncIterator[tuple[Container, Api]]:
    async with (
        Container(settings(database_url, metrics=Metrics(per_webhook=2))) as parts,
        api_of(parts) as api,
    ):
        yield parts, api


async def add(api: Api, name: str, failed: int = 0, ok: int = 0) -> str:
    made = await api.post("webhooks", json={"name": name, "url": URL})
    assert made.status_code == 201, made.text
    id_: str = made.json()["id"]
    at = made.json()["created_at"]
    attempts = [{"delivered_at": at, "latency_ms": 50, "status_code": 503}] * failed
    attempts += [{"delivered_at": at, "latency_ms": 50, "status_code": 200}] * ok
    if attempts:
        reported = await api.post(f"webhooks/{id_}/attempts", json={"attempts": attempts})
        assert reported.status_code < 300, reported.text
    return id_


async def samples(api: Api) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = (await api.get("/metrics")).text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("monitor_webhook_")
    }


async def test_the_busiest_have_series_and_their_names_may_hold_anything(two: tuple[Container, Api]) -> None:
    parts, api = two
    await add(api, "idle")
    some = await add(api, "some", ok=3)
    most = await add(api, NAME, failed=2, ok=4)
    measuring = SummaryMeasuring(parts.database, step_s=0, round_s=0)
    while await measuring.step() == CHUNK:
        pass
    found = await samples(api)
    assert {dict(labels)["webhook"] for _, labels in found} == {some, most}
    of_most = (("name", NAME), ("webhook", most))
    assert found["monitor_webhook_attempts_last_hour", (*of_most[:1], ("outcome", "ok"), *of_most[1:])] == 4
    assert found["monitor_webhook_attempts_last_hour", (*of_most[:1], ("outcome", "failed"), *of_most[1:])] == 2
    assert 0.045 < found["monitor_webhook_latency_p95_seconds_last_hour", of_most] < 0.055
    assert found["monitor_webhook_deliveries_pending", of_most] == 0
    assert found["monitor_webhook_alerts_open", of_most] == 0
    states = {
        dict(labels)["status"]: value
        for (name, labels), value in found.items()
        if name == "monitor_webhook_status" and dict(labels)["webhook"] == some
    }
    assert sum(states.values()) == 1
    # Scrapes that follow read nothing.
    for _ in range(5):
        await samples(api)
    [creations] = [view.creations for view in parts.cache.stats().views if view.view == "busiest_webhooks"]
    assert creations == 1


async def test_by_default_no_webhook_has_any(api: Api) -> None:
    await add(api, "some", ok=1)
    assert await samples(api) == {}
