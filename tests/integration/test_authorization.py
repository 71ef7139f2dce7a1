"""Who may call what: every route with every role, against the table of the specification."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute

from monitor.bootstrap.container import Container
from monitor.domain.vocab import Role
from tests import servers
from tests.integration.detection_support import Watch, alert, fail
from tests.integration.support import API, Api, assert_problem, settings
from tests.unit.http.support import undeclared_routes

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "cases" / "jwt.json").read_text())["authz"]
NOBODY = "00000000-0000-7000-8000-000000000000"

# The specification, section 3; None is open to all. Written down again here, so that the code cannot vouch for itself.
TABLE: dict[str, str | None] = {
    "GET /webhooks": "viewer",
    "POST /webhooks": "admin",
    "GET /webhooks/{webhook_id}": "viewer",
    "PUT /webhooks/{webhook_id}": "admin",
    "PATCH /webhooks/{webhook_id}": "admin",
    "DELETE /webhooks/{webhook_id}": "admin",
    "POST /webhooks/{webhook_id}/rotate-secret": "admin",
    "POST /webhooks/{webhook_id}/test": "operator",
    "POST /webhooks/{webhook_id}/pause": "operator",
    "POST /webhooks/{webhook_id}/resume": "operator",
    "POST /webhooks/{webhook_id}/send-now": "operator",
    "POST /webhooks/{webhook_id}/replay": "operator",
    "GET /replays/{replay_id}": "viewer",
    "POST /deliveries/bulk": "operator",
    "GET /jobs": "viewer",
    "GET /jobs/{job_id}": "viewer",
    "POST /jobs/{job_id}/cancel": "operator",
    "GET /webhooks/{webhook_id}/attempts": "viewer",
    "GET /webhooks/{webhook_id}/attempts/{attempt_id}": "viewer",
    "POST /webhooks/{webhook_id}/attempts": "publisher",
    "GET /webhooks/{webhook_id}/metrics": "viewer",
    "GET /webhooks/{webhook_id}/uptime": "viewer",
    "GET /webhooks/{webhook_id}/annotations": "viewer",
    "POST /events": "publisher",
    "GET /events": "viewer",
    "GET /events/{event_id}": "viewer",
    "POST /events/{event_id}/resend": "operator",
    "GET /deliveries": "viewer",
    "GET /deliveries/{delivery_id}": "viewer",
    "POST /deliveries/{delivery_id}/retry": "operator",
    "POST /deliveries/{delivery_id}/cancel": "operator",
    "GET /alerts": "viewer",
    "GET /alerts/{alert_id}": "viewer",
    "POST /alerts/{alert_id}/ack": "operator",
    "POST /alerts/{alert_id}/resolve": "operator",
    "POST /alerts/{alert_id}/unack": "operator",
    "POST /alerts/{alert_id}/comments": "operator",
    "GET /notifications/destinations": "viewer",
    "GET /notifications/coverage": "viewer",
    "POST /notifications/destinations/{webhook_id}/test": "operator",
    "POST /alerts/ack": "operator",
    "GET /alerts/stats/summary": "viewer",
    "GET /silences": "operator",
    "POST /silences": "operator",
    "POST /silences/preview": "operator",
    "GET /silences/{silence_id}": "operator",
    "DELETE /silences/{silence_id}": "operator",
    "POST /silences/{silence_id}/end-occurrence": "operator",
    "GET /dashboard": "viewer",
    "GET /dashboard/overview": "viewer",
    "GET /dashboard/webhooks": "viewer",
    "GET /dashboard/performance": "viewer",
    "GET /dashboard/anomalies": "viewer",
    "GET /dashboard/activity": "viewer",
    "GET /system/stats": "operator",
    "GET /session": "viewer",
    "POST /session": "viewer",
    "DELETE /session": None,
    "GET /audit-log": "admin",
    "GET /tokens/revocations": "admin",
    "POST /tokens/revocations": "admin",
}
MAY = {
    "viewer": {"viewer", "operator", "admin"},
    "operator": {"operator", "admin"},
    "admin": {"admin"},
    "publisher": {"publisher", "admin"},
}


@pytest.fixture(scope="module")
async def module_parts(postgres: servers.Postgres) -> AsyncIterator[Container]:
    """With a public URL, without which there are no links that act."""
    async with postgres.database() as dsn, Container(settings(dsn, public_url="https://monitor.example.com/")) as parts:
        yield parts


def routes(app: Litestar) -> Iterator[tuple[str, str, Any]]:
    """Yield method, path template and declared role of every HTTP route."""
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for handler in route.route_handlers:
                for method in handler.http_methods - {"OPTIONS", "HEAD"}:
                    yield str(method), re.sub(r":\w+\}", "}", route.path), handler.opt.get("role", "undeclared")


def test_every_route_has_the_role_that_the_specification_gives_it(api: Api) -> None:
    assert undeclared_routes(api.app) == []
    found = {
        f"{method} {path.removeprefix(API)}": role for method, path, role in routes(api.app) if path.startswith(API)
    }
    assert found == {route: None if role is None else Role(role) for route, role in TABLE.items()}


def test_outside_the_api_only_metrics_wants_a_token_and_only_a_link_acts(api: Api) -> None:
    outside = {(method, path, role) for method, path, role in routes(api.app) if not path.startswith(API)}
    assert {(method, path) for method, path, role in outside if role is not None} == {("GET", "/metrics")}
    # The token of the link is the authority. Nothing else that is open takes more than a question.
    assert ("GET", "/act/{token}", None) in outside
    assert {(method, path) for method, path, _ in outside if method != "GET"} == {("POST", "/act/{token}")}


async def test_every_role_is_admitted_and_refused_as_the_table_says(api: Api) -> None:
    for method, path, declared in routes(api.app):
        if declared is None:
            continue
        address = re.sub(r"\{[^}]*\}", NOBODY, path)
        body: dict[str, Any] = {"json": {}} if method in {"POST", "PUT", "PATCH"} else {}
        nobody = await api.call(method, address, role=None, **body)
        assert_problem(nobody, 401, "missing_token")
        assert nobody.headers["www-authenticate"] == "Bearer"
        for role in Role:
            response = await api.call(method, address, role=role, **body)
            if role in MAY[declared]:
                assert response.status_code not in {401, 403, 500}, (method, path, role, response.text)
            else:
                assert_problem(response, 403, "insufficient_scope")


async def test_a_refused_call_changes_nothing(api: Api) -> None:
    created = await api.create("http://127.0.0.1:9/hook")
    path = f"webhooks/{created['id']}"
    for role in (Role.VIEWER, Role.OPERATOR, Role.PUBLISHER):
        for method, sub in (("DELETE", ""), ("PATCH", ""), ("POST", "/rotate-secret")):
            body: dict[str, Any] = {"json": {"name": "x"}} if method == "PATCH" else {}
            assert_problem(await api.call(method, path + sub, role=role, **body), 403)
    assert (await api.read(path))["version"] == 1
    assert len((await api.read("audit-log"))["items"]) == 1


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['id']} {case['name']}")
async def test_a_call_of_the_attack_list_is_judged_as_listed(case: dict[str, Any], api: Api, parts: Container) -> None:
    sent = case["send"]
    method, path = sent["method"], sent["path"]
    id_ = (await api.create("http://127.0.0.1:9/hook"))["id"]
    body: dict[str, Any] = {"json": {"name": "n", "url": "http://127.0.0.1:9/"}} if method in {"POST", "PATCH"} else {}
    if "/alerts/" in path:
        await fail(api, id_)
        await Watch(parts).look()
        id_, body = (await alert(api, id_))["id"], {}
    response = await api.call(method, path.replace("{id}", id_), role=_role(sent), **body)
    assert response.status_code == case["expect"]["status"]


async def test_a_hundred_subjects_at_once_are_each_named_in_the_audit_log(api: Api) -> None:
    await asyncio.gather(
        *(
            api.post("webhooks", json={"name": f"w{i}", "url": "http://127.0.0.1:9/"}, subject=f"user-{i}")
            for i in range(100)
        )
    )
    rows = (await api.read("audit-log", params={"limit": 200}))["items"]
    assert {(row["subject"], row["after"]["name"]) for row in rows} == {(f"user-{i}", f"w{i}") for i in range(100)}


def _role(sent: dict[str, Any]) -> Role | None:
    return None if sent["role"] is None else Role(sent["role"])
