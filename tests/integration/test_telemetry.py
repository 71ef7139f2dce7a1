"""
Debian's Prometheus scrapes real processes under the rules that are shipped, every query of the dashboard has an answer,
and traces reach a collector. One installation for all of it.

Skipped where the program is missing: on Debian it comes with the package ``prometheus``.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from tests import servers
from tests.integration.processes import PLAIN, Client, Running, production, run, running
from tests.integration.support import Received, Receiver, eventually
from tests.servers import free_port

PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "monitor.rules.yml"
DASHBOARD = json.loads((DEPLOY / "grafana" / "monitor.json").read_text(encoding="utf-8"))
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
START_S = 120.0

METRIC = re.compile(r"\b(?:monitor|process|python)_[a-z0-9_]+\b")
OF_OTHERS = {"up", "process"}

pytestmark = [
    pytest.mark.telemetry,
    pytest.mark.skipif(PROMETHEUS is None or PROMTOOL is None, reason="no Prometheus on PATH (Debian: prometheus)"),
]


class Collector:
    """An OTLP/HTTP endpoint that keeps spans."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Any]] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        message = ExportTraceServiceRequest()
        message.ParseFromString(await request.read())
        for resource in message.resource_spans:
            names = {one.key: one.value.string_value for one in resource.resource.attributes}
            self.spans += ((names["service.name"], span) for scope in resource.scope_spans for span in scope.spans)
        return web.Response()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_post("/v1/traces", self.take)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield
        finally:
            await runner.cleanup()


OF_A_REPLICA = {
    f"monitor_replica_{name}" for name in ("used", "lag_bytes", "lag_seconds", "reads_total", "reads_passed_on_total")
}
"""Metrics of a server that reads from a replica, which the installation here has not."""


class Prometheus:
    """Its API."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def get(self, path: str, **params: str) -> Any:
        answer = (await self.http.get(f"/api/v1/{path}", params=params)).json()
        assert answer["status"] == "success", (params, answer)
        return answer["data"]

    async def is_ready(self) -> bool:
        try:
            return (await self.http.get("/-/ready")).status_code == 200
        except httpx.TransportError:
            return False

    async def up(self) -> dict[str, str]:
        return {target["labels"]["job"]: target["health"] for target in (await self.get("targets"))["activeTargets"]}

    async def rules(self) -> list[dict[str, Any]]:
        return [rule for group in (await self.get("rules"))["groups"] for rule in group["rules"]]

    async def firing(self) -> set[str]:
        return {alert["labels"]["alertname"] for alert in (await self.get("alerts"))["alerts"]}


class Installation:
    """``serve`` with two processes, a worker, a receiver, a collector, and Prometheus over them."""

    def __init__(self, api: Client, worker: Running, receiver: Receiver, collector: Collector, port: int) -> None:
        self.api = api
        self.worker = worker
        self.receiver = receiver
        self.collector = collector
        self.worker_port = port
        self.prometheus: Prometheus

    async def exposed(self) -> set[str]:
        """Return the names of all samples of both jobs."""
        async with httpx.AsyncClient(verify=PLAIN) as client:
            of_worker = (await client.get(f"http://127.0.0.1:{self.worker_port}/metrics")).text
        text = f"{(await self.api.call('GET', '/metrics')).text}"
        names = set(OF_A_REPLICA)
        for part in (text, of_worker):
            for family in text_string_to_metric_families(part):
                names.add(f"{family.name}_total" if family.type == "counter" else family.name)
                names |= {sample.name for sample in family.samples}
                if family.type == "histogram":
                    names |= {f"{family.name}_{suffix}" for suffix in ("bucket", "count", "sum")}
        return names


def config(directory: Path, token: str, serve: int, work: int) -> Path:
    """Return the example as it is shipped, for this installation and in a hurry."""
    text = (DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8")
    (directory / "token").write_text(token, encoding="utf-8")
    for before, after in (
        ("/etc/prometheus/monitor-token", str(directory / "token")),
        ("monitor-1.internal:8000, monitor-2.internal:8000", f"127.0.0.1:{serve}"),
        ("monitor-1.internal:9464, monitor-2.internal:9464", f"127.0.0.1:{work}"),
        ("scrape_interval: 15s", "scrape_interval: 500ms\n  scrape_timeout: 500ms"),
        ("evaluation_interval: 15s", "evaluation_interval: 500ms"),
    ):
        assert before in text
        text = text.replace(before, after)
    (directory / "prometheus.yml").write_text(text, encoding="utf-8")
    rules = re.sub(r"for: \d+m", "for: 1s", RULES.read_text(encoding="utf-8"))
    (directory / "monitor.rules.yml").write_text(rules, encoding="utf-8")
    return directory / "prometheus.yml"


@asynccontextmanager
async def scraping(directory: Path, token: str, serve: int, work: int) -> AsyncIterator[Prometheus]:
    port = free_port()
    with (directory / "prometheus.log").open("wb") as log:
        program = await asyncio.create_subprocess_exec(
            str(PROMETHEUS),
            f"--config.file={config(directory, token, serve, work)}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            stdout=log,
            stderr=log,
        )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", verify=PLAIN, timeout=30) as http:
            prometheus = Prometheus(http)
            await eventually(prometheus.is_ready)
            yield prometheus
    finally:
        program.terminate()
        await program.wait()


@pytest.fixture(scope="module")
async def installation(
    postgres: servers.Postgres, own_redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Installation]:
    directory, collector = tmp_path_factory.mktemp("telemetry"), Collector()
    serving, working = free_port(), free_port()
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(postgres.database())
        receiver = await stack.enter_async_context(Receiver())
        await stack.enter_async_context(collector.serving())
        env = production(dsn, REDIS_URL=own_redis_url, TRACING__ENABLED="true", METRICS__PER_WEBHOOK="10") | {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        token = (await run("token", "--role", "admin", "--subject", "ci", env=env)).out.strip()
        serve = ("serve", "--port", str(serving), "--processes", "2")
        await stack.enter_async_context(running(*serve, env=env, log=directory / "serve.log"))
        work = running("work", "--port", str(working), env=env, log=directory / "work.log")
        worker = await stack.enter_async_context(work)
        api = Client(serving, token)
        await eventually(api.ready, within_s=START_S)
        made = Installation(api, worker, receiver, collector, working)
        made.prometheus = await stack.enter_async_context(scraping(directory, token, serving, working))
        yield made


async def published(installation: Installation, **headers: str) -> str:
    accepted = await installation.api.call(
        "POST", "events", json={"type": "order.paid", "payload": {}}, headers=headers
    )
    assert accepted.status_code == 202, accepted.text
    id_: str = accepted.json()["id"]
    return id_


async def test_one_trace_leads_from_the_producer_over_every_attempt_to_the_receiver(installation: Installation) -> None:
    async def fails_once(request: Received) -> web.Response:
        return web.Response(status=503 if request.number == 1 else 200)

    receiver, collector = installation.receiver, installation.collector
    receiver.answer = fails_once
    retry = {"schedule_s": [0, 1], "jitter_ratio": 0}
    made = await installation.api.call(
        "POST", "webhooks", json={"name": "orders", "url": f"{receiver.url}?token=canary", "retry": retry}
    )
    assert made.status_code == 201, made.text
    event = await published(installation, traceparent=TRACEPARENT)
    first, second = await receiver.takes(2, within_s=START_S)
    sent = [request.headers["traceparent"] for request in (first, second)]
    assert [header.split("-")[1] for header in sent] == [TRACE, TRACE]

    def of_trace() -> list[Any]:
        return [span for _, span in collector.spans if span.trace_id.hex() == TRACE]

    await eventually(lambda: len(of_trace()) == 3)
    assert {service for service, _ in collector.spans} == {"monitor"}
    spans = {span.span_id.hex(): span for span in of_trace()}
    attempts = [spans[header.split("-")[2]] for header in sent]
    [request] = [span for span in spans.values() if span.name == "publish events"]
    assert request.parent_span_id.hex() == TRACEPARENT.split("-")[2]
    assert {span.parent_span_id.hex() for span in attempts} == {request.span_id.hex()}
    values = [{one.key: one.value for one in span.attributes} for span in attempts]
    assert [value["http.response.status_code"].int_value for value in values] == [503, 200]
    assert {value["messaging.message.id"].string_value for value in values} == {event}
    assert not any(b"canary" in span.SerializeToString() for span in spans.values())
    # What the producer does not sample, is recorded nowhere and goes on so.
    await published(installation, traceparent=f"{TRACEPARENT[:-2]}00")
    third = (await receiver.takes(3, within_s=START_S))[2]
    assert third.headers["traceparent"].startswith(f"00-{TRACE}-")
    assert third.headers["traceparent"].endswith("-00")
    assert len(of_trace()) == 3


async def test_every_rule_is_evaluated_and_none_fires(installation: Installation) -> None:
    prometheus = installation.prometheus

    async def scraped() -> bool:
        return await prometheus.up() == {"monitor-serve": "up", "monitor-work": "up"}

    await eventually(scraped)
    await published(installation)

    async def evaluated() -> bool:
        return all(rule["health"] == "ok" for rule in await prometheus.rules())

    await eventually(evaluated)
    assert len(await prometheus.rules()) > 25

    async def none_fires() -> bool:
        # Before the first scrape no worker was seen, which is over by the next evaluation.
        return not await prometheus.firing()

    await eventually(none_fires)


def expressions() -> Iterator[tuple[str, str]]:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


async def test_every_query_of_the_dashboard_is_about_metrics_that_there_are(installation: Installation) -> None:
    prometheus = installation.prometheus
    exposed = await installation.exposed()
    for title, query in expressions():
        assert set(METRIC.findall(query)) - exposed == set(), title
        await prometheus.get("query", query=query.replace("$__rate_interval", "5m"))
    recorded = {rule["name"] for rule in await prometheus.rules() if rule["type"] == "recording"}
    for rule in await prometheus.rules():
        used = set(METRIC.findall(rule["query"]))
        assert used - exposed - recorded == set(), rule["name"]


async def test_a_panel_of_each_row_has_data(installation: Installation) -> None:
    prometheus = installation.prometheus
    for query in (
        "sum by (outcome) (rate(monitor_worker_attempts_total[5m]))",
        "sum by (status) (rate(monitor_http_request_seconds_count[5m]))",
        "max by (status) (monitor_webhooks)",
        "max by (webhook, name) (monitor_webhook_deliveries_pending)",
        "sum by (job, instance) (monitor_processes)",
    ):

        async def has_data(query: str = query) -> bool:
            return bool((await prometheus.get("query", query=query))["result"])

        await eventually(has_data)


async def test_the_checklist_names_metrics_that_there_are(installation: Installation) -> None:
    exposed = await installation.exposed()
    checklist = (DEPLOY.parent / "docs" / "DEPLOYMENT_CHECKLIST.md").read_text(encoding="utf-8")
    section = checklist.partition("## Watch Monitor itself")[2].partition("\n## ")[0]
    names = set(re.findall(r"\bmonitor_[a-z0-9_*]+", section))
    assert len(names) > 20
    for name in names:
        pattern = re.compile(name.replace("*", ".*"))
        assert any(map(pattern.fullmatch, exposed)), name
    runbooks = set(re.findall(r"runbook: (\w+)", RULES.read_text(encoding="utf-8")))
    assert {name for name in runbooks if name not in section} == set()


async def test_doctor_says_whether_the_collector_takes_spans(
    installation: Installation, database_url: str, own_redis_url: str
) -> None:
    for endpoint, state in ((installation.collector.url, "ok"), (f"http://127.0.0.1:{free_port()}", "warning")):
        env = production(database_url, REDIS_URL=own_redis_url, TRACING__ENABLED="true")
        found = await run("doctor", "--json", env=env | {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint})
        states = {finding["check"]: finding["state"] for finding in json.loads(found.out)}
        assert states["traces"] == state


async def test_an_alert_fires_once_the_worker_is_killed(installation: Installation) -> None:
    prometheus = installation.prometheus
    installation.worker.process.kill()
    await installation.worker.process.wait()

    async def fires() -> bool:
        return {"MonitorDown", "MonitorNoWorker"} <= await prometheus.firing()

    await eventually(fires)


def test_the_rules_pass_their_own_tests_and_the_example_is_valid(tmp_path: Path) -> None:
    for command in (
        ("check", "rules", "monitor.rules.yml"),
        ("check", "config", "--syntax-only", "prometheus.yml"),
        ("test", "rules", "monitor.rules.test.yml"),
    ):
        done = subprocess.run(
            [str(PROMTOOL), *command], cwd=DEPLOY / "prometheus", capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
