"""What a process says about itself and to whom: metrics, stats, reference, hosts, and a Redis that is missing."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import asyncpg
import pytest
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from monitor import __version__
from monitor.adapters.postgres.engine import Database, DatabaseConfig
from monitor.adapters.postgres.migrate import newest_revision
from monitor.adapters.postgres.peers import warn_of_missing_redis
from monitor.bootstrap.container import Container
from monitor.domain.vocab import Role
from monitor.http.routes.prometheus import negotiated
from monitor.settings.schema import Http
from tests.integration.support import API, Api, api_of, assert_problem, served, settings
from tests.servers import free_port

URL = "http://127.0.0.1:9/hook"


@pytest.mark.parametrize(
    ("accept", "parse"),
    [
        ("*/*", text_string_to_metric_families),
        ("text/plain;version=0.0.4;q=0.5, application/openmetrics-text;version=1.0.0", openmetrics_families),
    ],
)
async def test_metrics_come_in_the_format_that_is_accepted(
    accept: str, parse: Callable[[str], Iterable[Metric]], api: Api
) -> None:
    await api.create(URL)
    answer = await api.get("/metrics", headers={"Accept": accept})
    assert answer.headers["content-type"] == negotiated(accept)
    assert set(answer.headers["vary"].split(", ")) == {"Accept", "Accept-Encoding"}
    samples = {(sample.name, *sample.labels.values()) for family in parse(answer.text) for sample in family.samples}
    assert samples >= {("monitor_webhooks", "unknown"), ("monitor_sockets_opened_total",)}
    assert ("monitor_http_request_seconds_count", "POST", "/api/v1/webhooks", "201") in samples


async def test_the_reference_can_be_switched_off(parts: Container) -> None:
    async with Container(settings(parts.database.dsn, http=Http(serve_schema=False))) as own, api_of(own) as api:
        for path in ("/schema", "/schema/openapi.json", "/schema/swagger", "/schema/assets/x/open.js"):
            assert_problem(await api.get(path, role=None), 404, "not_found")
        assert (await api.client.get("/")).status_code == 200


async def test_only_the_configured_hosts_are_served(parts: Container) -> None:
    listed = settings(parts.database.dsn, http=Http(allowed_hosts=("monitor.example.com",)))
    async with Container(listed) as own, served(own) as api:
        for host, status in (("Monitor.Example.com:8443", 401), ("127.0.0.1", 421), ("evil.example.com", 421)):
            answer = await api.client.get(f"{API}/webhooks", headers={"Host": host})
            assert_problem(answer, status)
            assert answer.headers["x-request-id"]
        assert (await api.client.get("/health/live")).status_code == 200


async def test_stats_show_what_the_cache_saves_by_view_and_tier(api: Api) -> None:
    for _ in range(4):
        await api.read("dashboard/overview")
    stats = await api.read("system/stats", role=Role.OPERATOR)
    (overview,) = [view for view in stats["views"] if view["view"] == "overview"]
    assert overview["reads"] >= 4
    assert 0 < overview["memory_ratio"] <= overview["hit_ratio"] <= 1
    assert (stats["sockets"], stats["users"]) == (0, [])


async def test_stats_name_the_processes_that_have_sessions(api: Api, parts: Container) -> None:
    async with own_peer(parts, "monitor work elsewhere:7"), own_peer(parts, "psql"):
        stats = await api.read("system/stats", role=Role.OPERATOR)
    database = stats["database"]
    names = [process["name"] for process in database["processes"]]
    assert "work elsewhere:7" in names
    assert f"serve {socket.gethostname()[:36]}:{os.getpid()}" in names
    assert not any("psql" in name for name in names)
    assert all(process["sessions"] >= 1 and process["since_at"] for process in database["processes"])
    assert (database["read_only"], database["size_bytes"] > 0) == (False, True)
    assert database["schema_revision"] == newest_revision()
    assert stats["version"] == __version__
    assert stats["retention_d"]["attempts_d"] == parts.settings.retention.attempts_d
    assert stats["redis"] == ("connected" if parts.settings.redis_url else None)
    assert all(stats["tasks"].values())


async def test_stats_come_without_the_database() -> None:
    gone = settings(f"postgresql://postgres@127.0.0.1:{free_port()}/monitor")
    async with Container(gone) as own, api_of(own) as api:
        own.revoked = set()
        stats = await api.read("system/stats", role=Role.OPERATOR)
    assert stats["database"] is None
    assert stats["cache"]["entries"] >= 0


async def test_a_start_beside_other_processes_says_that_redis_is_missing(parts: Container) -> None:
    async with Container(parts.settings) as own, own_peer(parts, "monitor elsewhere:1"):
        with capture_logs() as logs:
            assert await warn_of_missing_redis(own.database) >= 1
    (line,) = [line for line in logs if line["event"] == "redis_missing"]
    assert (line["log_level"], line["setting"]) == ("warning", "MONITOR_REDIS_URL")


async def test_a_start_alone_says_nothing_of_redis(own_parts: Container) -> None:
    async with own_peer(own_parts, "psql"):
        with capture_logs() as logs:
            assert await warn_of_missing_redis(own_parts.database) == 0
    assert logs == []
    gone = Database(DatabaseConfig(f"postgresql://postgres@127.0.0.1:{free_port()}/monitor"))
    async with gone:
        assert await warn_of_missing_redis(gone) == 0


@asynccontextmanager
async def own_peer(parts: Container, name: str) -> AsyncIterator[None]:
    """A session of another program on the same database."""
    connection = await asyncpg.connect(parts.database.dsn, server_settings={"application_name": name})
    try:
        yield
    finally:
        await connection.close()
