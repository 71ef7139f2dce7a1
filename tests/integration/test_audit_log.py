"""Every change leaves one row in the audit log, and the rows are found again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from monitor.bootstrap.container import Container
from monitor.domain.vocab import Role
from tests.integration.detection_support import Watch, alert, fail
from tests.integration.support import API, Api, Receiver, assert_problem, execute, served, settings
from tests.integration.test_authorization import routes

URL = "http://127.0.0.1:9/hook"
NOBODY = "00000000-0000-7000-8000-000000000000"

NOT_AUDITED = {
    f"POST {API}/events": "an event is its own record",
    f"POST {API}/silences/preview": "nothing is changed",
    f"POST {API}/session": "nothing is stored",
    f"DELETE {API}/session": "nothing is stored",
}
"""Calls that are not reads and have no row in the audit log, with the reason, which the documents give as well."""


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
    one = made.json()["id"]
    row, _ = await change("POST", f"silences/{one}/end-occurrence", "silences/{silence_id}/end-occurrence", 200)
    assert (row["action"], row["target"]) == ("silence.end_occurrence", f"silence:{one}")
    made = await api.post("silences", json=silence)
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


PROXIED = [
    pytest.param(("127.0.0.0/8",), "203.0.113.9", id="trusted"),
    pytest.param(("192.0.2.7",), "127.0.0.1", id="not the proxy of the setting"),
    pytest.param((), "127.0.0.1", id="no proxy"),
]


@pytest.mark.parametrize(("trusted", "client"), PROXIED)
async def test_a_row_states_the_address_that_a_trusted_proxy_passes_on_and_that_of_the_peer_otherwise(
    trusted: tuple[str, ...], client: str, parts: Container
) -> None:
    made = settings(parts.database.dsn)
    made = msgspec.structs.replace(made, http=msgspec.structs.replace(made.http, trusted_proxies=trusted))
    async with Container(made) as behind, served(behind) as api:
        id_ = (await api.create(URL))["id"]
        claimed = {"X-Forwarded-For": "198.51.100.1, 203.0.113.9"}
        assert (await api.post(f"webhooks/{id_}/pause", headers=claimed)).status_code == 200
        newest, oldest = (await api.read("audit-log"))["items"]
    assert (newest["action"], newest["client"]) == ("webhook.pause", client)
    assert oldest["client"] == "127.0.0.1"


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
