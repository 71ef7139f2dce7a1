"""What holds for every route: problems, limits, probes, and a database that is away."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from monitor.bootstrap.container import Container
from monitor.settings.schema import Egress, Http, Log
from tests.integration.support import API, Api, api_of, assert_problem, served, settings
from tests.servers import free_port

URL = "http://127.0.0.1:9/hook"
NOBODY = "00000000-0000-7000-8000-000000000000"
CASES: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "cases" / "egress_urls.json").read_text())
JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def public(parts: Container) -> AsyncIterator[Api]:
    """The API with the production's egress policy."""
    async with (
        Container(settings(parts.database.dsn, egress=Egress(self_hosts=("hooks.self.example.com",)))) as strict,
        api_of(strict) as api,
    ):
        yield api


async def test_every_listed_url_is_refused_with_its_reason(public: Api) -> None:
    for case in (case for case in CASES if case["stage"] == "parse"):
        refused = await public.post("webhooks", json={"name": "n", "url": case["url"]})
        if len(case["url"]) > 2048 or "\x00" in case["url"]:
            assert_problem(refused, 422, "invalid")
            continue
        problem = assert_problem(refused, 422, "url_refused")
        ((pointer, detail),) = [(error["pointer"], error["detail"]) for error in problem["errors"]]
        assert pointer == "/url", case
        assert problem["detail"] == detail
    assert await public.ids("webhooks") == []


async def test_a_listed_url_is_refused_in_a_change_too(public: Api) -> None:
    created = await public.create("https://hooks.example.com/x")
    path = f"webhooks/{created['id']}"
    for url in ("https://127.0.0.1/", "http://hooks.example.com/", "https://[::ffff:10.0.0.1]/", "https://localhost/"):
        assert_problem(await public.call("PATCH", path, json={"url": url}), 422, "url_refused")
        assert_problem(await public.call("PUT", path, json={"name": "n", "url": url}), 422, "url_refused")
    assert (await public.read(path))["url"] == "https://hooks.example.com/x"


async def test_a_url_is_stored_in_its_one_spelling(public: Api) -> None:
    created = await public.create("HTTPS://Hooks.EXAMPLE.com:443/a?b=c")
    assert created["url"] == "https://hooks.example.com/a?b=c"


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"", JSON, 400),
        (b"{", JSON, 400),
        (b'{"name":"\xff"}', JSON, 400),
        (b"[" * 100_000 + b"]" * 100_000, JSON, 400),
        (b'{"name":"n","url":"' + URL.encode() + b'"}', {"Content-Type": "text/plain"}, 415),
        (b'{"name":"n","url":"' + URL.encode() + b'"}', {"Content-Type": "application/json; charset=latin1"}, 415),
        (b'{"name":"n","url":"' + URL.encode() + b'"}', {}, 415),
        (b'{"name":"a\\u0000b","url":"' + URL.encode() + b'"}', JSON, 422),
        (b'{"name":"n","url":"' + URL.encode() + b'","max_concurrency":99999999999999999999}', JSON, 422),
        (b'{"name":"n","url":"' + URL.encode() + b'","timeout_s":1e999}', JSON, 422),
        (b'{"name":1}', JSON, 422),
        (b"[]", JSON, 422),
        (b"null", JSON, 422),
        (b'{"name":"' + b"x" * 300_000 + b'"}', JSON, 413),
    ],
    ids=lambda value: str(value)[:40],
)
@pytest.mark.parametrize("path", ["webhooks", "events"])
async def test_a_body_that_cannot_be_taken_is_a_problem(
    api: Api, path: str, content: bytes, headers: dict[str, str], status: int
) -> None:
    if path == "events" and status == 413:
        content = b'{"type":"' + b"x" * 5_300_000 + b'"}'
    response = await api.post(path, content=content, headers=headers)
    assert_problem(response, status)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "nothing", 404),
        ("GET", "/nothing", 404),
        ("GET", f"webhooks/{NOBODY}", 404),
        ("GET", "webhooks/not-a-uuid", 404),
        ("DELETE", "webhooks", 405),
        ("PATCH", "events", 405),
        ("GET", "webhooks?limit=0", 400),
        ("GET", "webhooks?limit=201", 400),
        ("GET", "webhooks?limit=x", 400),
        ("GET", "webhooks?cursor=x", 400),
        ("GET", "webhooks?status=ill", 400),
        ("GET", "webhooks?enabled=perhaps", 400),
        ("GET", "deliveries?state=lost", 400),
        ("GET", "deliveries?webhook_id=1", 400),
        ("GET", "deliveries?from=2026-01-01T00:00:00", 422),
        ("GET", "events?to=never", 400),
        ("GET", "webhooks?q=%00", 400),
        ("GET", "webhooks?label=%00", 400),
        ("GET", "events?type=%00", 422),
        ("GET", "webhooks?q=%ff", 200),
        ("GET", f"webhooks/{NOBODY}/attempts?error=70000", 422),
        ("GET", f"webhooks/{NOBODY}/attempts?error=1000", 422),
        ("GET", f"webhooks/{NOBODY}/attempts?error=099", 422),
        ("GET", f"webhooks/{NOBODY}/attempts?error=hunger", 422),
        ("GET", f"webhooks/{NOBODY}/attempts?error=expired", 422),
        ("GET", f"webhooks/{NOBODY}/attempts?error=timeout%0A", 422),
        ("GET", "deliveries?error=%C2%B2", 422),
        ("GET", "deliveries?error=expired", 200),
        ("GET", f"webhooks/{NOBODY}/attempts?error=999", 404),
        ("GET", f"webhooks/{NOBODY}/attempts?error=%D9%A1%D9%A2%D9%A3", 422),
        ("GET", f"webhooks/{NOBODY}/metrics?from=0001-01-01T00:00:00%2B14:00", 422),
        ("GET", "events?from=0001-01-01T00:00:00%2B14:00", 200),
        ("GET", "deliveries?to=9999-12-31T23:59:59-14:00", 200),
        ("PATCH", f"webhooks/{NOBODY}", 404),
    ],
)
async def test_a_request_that_cannot_be_answered_is_a_problem(api: Api, method: str, path: str, status: int) -> None:
    body: dict[str, Any] = {"json": {}} if method == "PATCH" else {}
    response = await api.call(method, path, **body)
    assert response.status_code == status, response.text
    if status == 405:
        assert "GET" in response.headers["allow"]


async def test_odd_filters_find_nothing_and_break_nothing(api: Api) -> None:
    created = await api.create(URL, event_types=["order.paid"])
    attempts = f"webhooks/{created['id']}/attempts"
    for path, params in (
        (attempts, {"error": "418"}),
        ("webhooks", {"label": "="}),
        ("webhooks", {"event_type": "'; DROP TABLE webhooks; --"}),
        ("webhooks", {"q": "\\%_'\""}),
        ("events", {"to": "0001-01-02T00:00:00Z"}),
        ("events", {"from": "9999-12-28T00:00:00-14:00"}),
        ("deliveries", {"to": "1969-01-01T00:00:00Z"}),
    ):
        assert await api.ids(path, **params) == []


async def test_too_many_requests_of_one_subject_are_held_back(parts: Container) -> None:
    limited = settings(parts.database.dsn, http=Http(rate_limit_per_s=0.5, rate_burst=3))
    async with Container(limited) as own, api_of(own) as api:
        statuses = [(await api.get("webhooks")).status_code for _ in range(4)]
        assert statuses == [200, 200, 200, 429]
        refused = await api.get("webhooks")
        assert_problem(refused, 429, "too_many_requests")
        assert int(refused.headers["retry-after"]) in {1, 2}
        assert (await api.get("webhooks", subject="bob")).status_code == 200
        assert (await api.get("/health/live", role=None)).status_code == 200


async def test_without_a_database_calls_fail_fast_with_503(parts: Container) -> None:
    gone = f"postgresql://postgres@127.0.0.1:{free_port()}/monitor"
    async with Container(settings(gone)) as own, api_of(own) as api:
        for method, path in (
            ("GET", "webhooks"),
            ("POST", "events"),
            ("GET", "dashboard/overview"),
        ):
            body: dict[str, Any] = {"json": {"type": "a", "payload": 1}} if method == "POST" else {}
            async with asyncio.timeout(3):
                response = await api.call(method, path, **body)
            assert_problem(response, 503, "unavailable")
            assert int(response.headers["retry-after"]) >= 1
        # What a process says about itself is needed most now.
        metrics = (await api.get("/metrics")).text
        assert 'monitor_cache_creation_failures_total{view="overview"}' in metrics
        assert "monitor_deliveries_pending" not in metrics
        assert (await api.get("system/stats")).json()["database"] is None
        assert (await api.get("session")).json()["subject"] == "ada"
        assert_problem(await api.get("/health/ready", role=None), 503, "unavailable")
        assert (await api.get("/health/live", role=None)).json() == {"status": "live"}


async def test_the_probes_tell_alive_from_ready(api: Api, empty_database_url: str) -> None:
    assert (await api.get("/health/ready", role=None)).json() == {"status": "ready"}
    async with Container(settings(empty_database_url)) as bare, api_of(bare) as unready:
        problem = assert_problem(await unready.get("/health/ready", role=None), 503)
        assert "monitor migrate" in problem["detail"]


async def test_metrics_can_be_opened_by_a_setting(parts: Container) -> None:
    opened = settings(parts.database.dsn, http=Http(metrics_open=True))
    async with Container(opened) as own, api_of(own) as api:
        assert (await api.get("/metrics", role=None)).status_code == 200


async def test_a_request_is_logged_in_one_line_by_its_template(parts: Container) -> None:
    readable = settings(parts.database.dsn, log=Log(format="console"))
    async with Container(readable) as own, api_of(own) as api:
        with capture_logs() as logs:
            created = await api.create(f"{URL}?canary")
            await api.get(f"webhooks/{created['id']}", headers={"X-Request-ID": "req-9"}, params={"canary": "1"})
    requests = [line for line in logs if line["event"] == "http_request"]
    assert [(line["method"], line["route"], line["status"]) for line in requests] == [
        ("POST", "/api/v1/webhooks", 201),
        ("GET", "/api/v1/webhooks/{webhook_id}", 200),
    ]
    assert (requests[1]["request_id"], requests[1]["subject"]) == ("req-9", "ada")
    assert "canary" not in str(logs)


async def test_on_a_real_socket_answers_are_compressed_and_carry_their_headers(parts: Container) -> None:
    async with served(parts) as api:
        for i in range(20):
            await api.create(URL, name=f"w{i}")
        response = await api.get("webhooks")
        assert response.headers["content-encoding"] == "gzip"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert "server" not in response.headers
        assert len(response.json()["items"]) == 20
        assert_problem(await api.get("webhooks", role=None), 401)
        page = await api.get("/", role=None)
        assert page.headers["content-type"].startswith("text/html")
        document = (await api.get("/schema/openapi.json", role=None)).json()
        assert document["openapi"].startswith("3.1")


async def test_every_operation_is_documented_in_full(api: Api) -> None:
    document = (await api.get("/schema/openapi.json", role=None)).json()
    for path, item in document["paths"].items():
        for method, operation in item.items():
            where = f"{method} {path}"
            assert operation["summary"], where
            assert operation["description"], where
            if where == f"delete {API}/session":
                # Of a token that is not good any more, too; see test_few_routes_are_open.
                assert "Open to all" in operation["description"]
                assert {"400"} <= operation["responses"].keys()
            elif path.startswith(API):
                assert re.search(r"Role: (viewer|operator|admin|publisher)\.", operation["description"]), where
                # What a process says about itself, and about a token, needs no database.
                alone = path in {f"{API}/system/stats", f"{API}/session"}
                everywhere = {"400", "401", "403", "429"} | (set() if alone else {"503"})
                assert everywhere <= operation["responses"].keys(), where
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    (example,) = response["content"]["application/problem+json"]["examples"].values()
                    assert example["value"]["status"] == int(status), where
