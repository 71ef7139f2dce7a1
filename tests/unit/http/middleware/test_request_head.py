"""Requests that are refused by their head: for another host, or with a single header twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from monitor.auth.tokens import TokenVerifier
from monitor.http.middleware.request_head import CheckHead
from monitor.http.middleware.stack import build_edge
from monitor.http.requests.hosts import ServedHosts
from tests.unit.http.middleware.fast_path_site import FakeViews, Site

ORIGIN = ("origin", "https://dash.example.com")


def problem_of(answer: httpx.Response) -> tuple[int, str]:
    """Return status and slug of a problem that has the headers of every response."""
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == answer.json()["request_id"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["instance"] == "/things"
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


@pytest.mark.parametrize("name", ["authorization", "origin", "content-type", "idempotency-key", "if-match", "host"])
@pytest.mark.parametrize("edge", [{}, {"cors_origins": [ORIGIN[1]]}])
def test_a_header_sent_twice_is_a_problem_on_both_ways(
    name: str, edge: dict[str, Any], verifier: TokenVerifier, token: Callable[..., str]
) -> None:
    site = Site(FakeViews(), verifier, token(), **edge)
    good = [("host", "monitor.test"), ("authorization", f"Bearer {site.token}")]
    values = {**dict(good), "origin": ORIGIN[1]}
    for _ in range(2):
        assert site.send(good).status_code == 200
        twice = [pair for pair in good if pair[0] != name] + [(name, values.get(name, "a"))] * 2
        assert problem_of(site.send(twice)) == (400, "malformed")
        assert problem_of(site.send(twice, method="OPTIONS")) == (400, "malformed")
    assert site.views.long == 1
    assert site.lines[-1][:3] == ("OPTIONS", None, 400)


def test_a_request_for_another_host_is_misdirected_on_both_ways(
    verifier: TokenVerifier, token: Callable[..., str]
) -> None:
    site = Site(FakeViews(), verifier, token(), hosts=ServedHosts(["monitor.test"]))
    bearer = ("authorization", f"Bearer {site.token}")
    for _ in range(2):
        assert site.send([("host", "Monitor.test:8443"), bearer]).status_code == 200
        refused = site.send([("host", "rebound.evil.test"), bearer])
        assert problem_of(refused) == (421, "misdirected")
        assert "MONITOR_HTTP__ALLOWED_HOSTS" in refused.json()["detail"]
        assert "evil" not in refused.text
    assert site.views.long == 1


async def send(app: Any, **scope: Any) -> list[Any]:
    sent: list[Any] = []

    async def collect(message: Any) -> None:
        sent.append(message)

    async def nothing() -> Any:
        """Receives nothing."""

    await app({"type": "http", "method": "GET", "path": "/", "headers": [], **scope}, nothing, collect)
    return sent


async def reached(scope: Any, _receive: Any, send: Any) -> None:
    await send(scope["type"])


async def test_probes_answer_any_host_and_sockets_refuse_by_themselves() -> None:
    app: Any = CheckHead(reached, ServedHosts(["monitor.test"]))
    assert await send(app, path="/health/ready") == ["http"]
    assert await send(app, type="websocket") == ["websocket"]
    assert (await send(app, path="/healthy"))[0]["status"] == 421


def test_head_is_refused_without_a_body() -> None:
    edge: Any = build_edge(reached, new_id=lambda: "made", ticks_s=lambda: 0.0, hosts=ServedHosts(["monitor.test"]))
    start, body = asyncio.run(send(edge, method="HEAD"))
    assert (start["status"], body["body"]) == (421, b"")
    _, told = asyncio.run(send(edge))
    assert json.loads(told["body"])["status"] == 421
