"""What holds for every route: the audit log, problems, limits, probes, and a database that is away."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from monitor.bootstrap.container import Container
from monitor.domain.vocab import Role
from monitor.settings.schema import Egress, Http, Log
from tests.integration.detection_support import Watch, alert, fail
from tests.integration.support import API, Api, Receiver, api_of, assert_problem, execute, served, settings
from tests.integration.test_authorization import routes
from tests.servers import free_port

URL = "http://127.0.0.1:9/hook"
NOBODY = "00000000-0000-7000-8000-000000000000"
CASES: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "cases" / "egress_urls.json").read_text())
JSON = {"Content-Type": "application/json"}

NOT_AUDITED = {
    f"POST {API}/events": "an event is its own record",
    f"POST {API}/silences/preview": "nothing is changed",
    f"POST {API}/session": "nothing is stored",
    f"DELETE {API}/session": "nothing is stored",
}
"""Calls that are not reads and have no row in the audit log, with the reason, which the documents give as well."""


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


async def _alert_changes(api: Api, parts: Container, change: Callable[..., Awaitable[Any]]) -> None:
    """Do all that a person can do to alerts and silences."""
    another = raised = ""
    for ids in ("ack", "{alert_id}/resolve", "{alert_id}/ack"):
        another = (await api.create(URL, name=ids))["id"]
        await fail(api, another)
        await Watch(parts).look()
        raised = (await alert(api, another))["id"]
        body: dict[str, Any] = {"json": {"ids": [raised]}} if ids == "ack" else {}
        row, _ = await change("POST", f"alerts/{ids.format(alert_id=raised)}", f"alerts/{ids}", 200, **body)
        action = "acknowledge" if ids.endswith("ack") else "resolve"
        assert (row["action"], row["target"]) == (f"alert.{action}", f"alert:{raised}")
    for path, action in (("unack", "unacknowledge"), ("comments", "comment")):
        body = {"json": {"text": "Looking."}} if action == "comment" else {}
        status = 201 if action == "comment" else 200
        row, _ = await change("POST", f"alerts/{raised}/{path}", f"alerts/{{alert_id}}/{path}", status, **body)
        assert (row["action"], row["target"]) == (f"alert.{action}", f"alert:{raised}")
    sample = "notifications/destinations/{webhook_id}/test"
    row, _ = await change("POST", sample.format(webhook_id=another), sample, 200)
    assert (row["action"], row["target"]) == ("webhook.test", f"webhook:{another}")
    until = (parts.clock.now() + timedelta(hours=1)).isoformat()
    silence = {"reason": "moving", "ends_at": until, "kind": "latency"}
    row, made = await change("POST", "silences", "silences", 201, json=silence)
    assert row["action"] == "silence.create"
    row, _ = await change("DELETE", f"silences/{made.json()['id']}", "silences/{silence_id}", 204)
    assert row["action"] == "silence.end"


async def test_every_mutating_call_leaves_one_row_in_the_audit_log(
    api: Api, parts: Container, receiver: Receiver
) -> None:
    called = set()

    async def change(method: str, path: str, template: str, status: int, **options: Any) -> Any:
        before = len((await api.read("audit-log", params={"limit": 200}))["items"])
        response = await api.call(method, path, subject="grace", headers={"X-Request-ID": "req-1"}, **options)
        assert response.status_code == status, response.text
        rows = (await api.read("audit-log", params={"limit": 200}))["items"]
        assert len(rows) == before + 1, template
        assert (rows[0]["subject"], rows[0]["role"], rows[0]["request_id"]) == ("grace", "admin", "req-1")
        called.add(f"{method} {API}/{template}")
        return rows[0], response

    row, created = await change("POST", "webhooks", "webhooks", 201, json={"name": "n", "url": receiver.url})
    id_ = created.json()["id"]
    assert (row["action"], row["target"], row["before"]) == ("webhook.create", f"webhook:{id_}", None)
    assert row["after"]["name"] == "n"
    hook, template = f"webhooks/{id_}", "webhooks/{webhook_id}"
    row, _ = await change("PATCH", hook, template, 200, json={"name": "m", "headers": {"X-A": "canary"}})
    assert (row["action"], row["before"]["name"], row["after"]["name"]) == ("webhook.update", "n", "m")
    await change("PUT", hook, template, 200, json={"name": "p", "url": receiver.url})
    for action in ("rotate-secret", "test", "pause", "resume", "send-now"):
        row, _ = await change("POST", f"{hook}/{action}", f"{template}/{action}", 200)
        assert row["action"] == f"webhook.{action.replace('-', '_')}"
    (event,) = await api.publish(1)
    (delivery,) = await api.ids("deliveries", event_id=event)
    for action in ("cancel", "retry"):
        row, _ = await change("POST", f"deliveries/{delivery}/{action}", f"deliveries/{{delivery_id}}/{action}", 200)
        assert (row["action"], row["target"]) == (f"delivery.{action}", f"delivery:{delivery}")
    await _alert_changes(api, parts, change)
    past = {"from": created.json()["created_at"], "to": parts.clock.now().isoformat(), "states": ["failed"]}
    row, _ = await change("POST", f"{hook}/replay", f"{template}/replay", 202, json=past)
    assert row["action"] == "webhook.replay"
    (job,) = await api.ids("jobs")
    row, _ = await change("POST", f"jobs/{job}/cancel", "jobs/{job_id}/cancel", 200)
    assert (row["action"], row["target"]) == ("job.cancel", f"job:{job}")
    await _changes_of_many(change, event, id_)
    await _changes_of_machines(change, id_, parts.clock.now())
    row, _ = await change("DELETE", hook, template, 204)
    assert row["after"] == {"cancelled_deliveries": 1}
    mutating = {f"{method} {path}" for method, path, _ in routes(api.app) if method != "GET"}
    assert called == mutating - NOT_AUDITED.keys()
    log = (await api.get("audit-log", params={"limit": 200})).text
    assert "canary" not in log
    assert "whsec_" not in log


async def _changes_of_many(change: Callable[..., Any], event: str, webhook_id: str) -> None:
    row, _ = await change("POST", f"events/{event}/resend", "events/{event_id}/resend", 202)
    assert (row["action"], row["target"]) == ("event.resend", f"event:{event}")
    bulk = {"action": "cancel", "filter": {"webhook_id": webhook_id}}
    row, answer = await change("POST", "deliveries/bulk", "deliveries/bulk", 202, json=bulk)
    assert (row["action"], row["target"]) == ("deliveries.cancel", f"job:{answer.json()['id']}")


async def _changes_of_machines(change: Callable[..., Any], webhook_id: str, now: datetime) -> None:
    attempts = [{"delivered_at": now.isoformat(), "latency_ms": 1, "status_code": 200}] * 2
    path, template = f"webhooks/{webhook_id}/attempts", "webhooks/{webhook_id}/attempts"
    row, _ = await change("POST", path, template, 202, json={"attempts": attempts})
    assert (row["action"], row["target"]) == ("attempts.report", f"webhook:{webhook_id}")
    assert (row["before"], row["after"]) == (None, {"recorded": 2})
    row, made = await change("POST", *["tokens/revocations"] * 2, 200, json={"jti": "leaked"})
    assert (row["action"], row["target"]) == ("token.revoke", "token:leaked")
    assert row["after"] == {"expires_at": made.json()["expires_at"]}


async def test_the_documents_name_what_has_no_audit_row(api: Api) -> None:
    text = (Path(__file__).parents[2] / "docs" / "API_DOCUMENTATION.md").read_text()
    section = text[text.index("## Audit log") : text.index("## System routes")]
    for route in NOT_AUDITED:
        method, _, path = route.partition(" ")
        assert f"`{method} {path.removeprefix(API)}`" in section


async def test_a_change_that_fails_leaves_no_row_in_the_audit_log(api: Api, parts: Container) -> None:
    created = await api.create(URL)
    await api.call("PATCH", f"webhooks/{created['id']}", json={"url": None})
    await api.call("PATCH", f"webhooks/{NOBODY}", json={"name": "x"})
    await api.post(f"deliveries/{NOBODY}/retry")
    assert len((await api.read("audit-log"))["items"]) == 1
    # And no change without its row.
    await execute(parts, "ALTER TABLE audit_log ADD CONSTRAINT full_ CHECK (false) NOT VALID")
    try:
        refused = await api.client.request(
            "DELETE",
            f"{API}/webhooks/{created['id']}",
            headers={"Authorization": f"Bearer {api._sign(Role.ADMIN, 'ada')}"},
        )
    finally:
        await execute(parts, "ALTER TABLE audit_log DROP CONSTRAINT full_")
    assert_problem(refused, 500, "internal")
    assert await api.ids("webhooks") == [created["id"]]


async def test_the_audit_log_has_pages(api: Api) -> None:
    for i in range(7):
        await api.create(URL, name=f"w{i}")
    pages = [[row["after"]["name"] for row in rows] async for rows in api.pages("audit-log", limit=3)]
    assert pages == [["w6", "w5", "w4"], ["w3", "w2", "w1"], ["w0"]]


async def test_audit_rows_are_found_by_each_filter(api: Api) -> None:
    first = (await api.create(URL, name="first"))["id"]
    second = (await api.create(URL, name="second"))["id"]
    await api.post(f"webhooks/{first}/pause", subject="grace")
    rows = (await api.read("audit-log"))["items"]
    paused, made, made_first = rows
    assert (paused["action"], paused["subject"]) == ("webhook.pause", "grace")
    for params, expected in (
        ({"subject": "grace"}, [paused]),
        ({"action": "webhook.create"}, [made, made_first]),
        ({"action": "webhook.*"}, rows),
        ({"action": "silence.*"}, []),
        ({"target": f"webhook:{second}"}, [made]),
        ({"target": f"webhook:{first}", "action": "webhook.create"}, [made_first]),
        ({"from": paused["at"]}, [paused]),
        ({"to": made["at"]}, [made_first]),
    ):
        assert (await api.read("audit-log", params=params))["items"] == expected, params
    pages = [[row["id"] for row in page] async for page in api.pages("audit-log", limit=1, action="webhook.create")]
    assert [row for page in pages for row in page] == [made["id"], made_first["id"]]
    for params in ({"action": "webhook.%"}, {"subject": "x" * 257}, {"from": "yesterday"}):
        assert_problem(await api.get("audit-log", params=params), 400)


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
            if path.startswith(API):
                assert re.search(r"Role: (viewer|operator|admin|publisher)\.", operation["description"]), where
                # What a process says about itself needs no database.
                everywhere = {"400", "401", "403", "429"} | (set() if path == f"{API}/system/stats" else {"503"})
                assert everywhere <= operation["responses"].keys(), where
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    (example,) = response["content"]["application/problem+json"]["examples"].values()
                    assert example["value"]["status"] == int(status), where
