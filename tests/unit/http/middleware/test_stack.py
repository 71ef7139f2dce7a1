"""What surrounds every answer: request id, headers, log line, origins, compression, rate."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar.testing import TestClient
from structlog.testing import capture_logs

from monitor.auth.tokens import TokenVerifier
from monitor.http.middleware.cors import Cors
from monitor.http.middleware.edge import Edge
from monitor.http.middleware.rate_limit import LocalRateLimiter
from monitor.http.middleware.stack import Application
from monitor.http.responses.headers import request_id_of
from tests.unit.http.support import make_app

ORIGIN = "https://dash.example.com"
PATHS = ["/open", "/nowhere", "/broken", "/admin"]


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_carries_an_id_and_the_security_headers(path: str, client: TestClient[Application]) -> None:
    headers = client.get(path).headers
    assert headers["x-request-id"] == "made-1"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["cache-control"] == "no-store"
    assert "strict-transport-security" not in headers


def test_https_asks_browsers_to_stay_on_it(verifier: TokenVerifier) -> None:
    app = make_app(verifier, LocalRateLimiter(per_s=1, burst=1, ticks_s=lambda: 0.0), https=True)
    with TestClient(app) as client:
        assert client.get("/open").headers["strict-transport-security"].startswith("max-age=")


@pytest.mark.parametrize("sent", ["a", "A-b_c.9", "x" * 128])
def test_a_plain_request_id_is_kept(sent: str, client: TestClient[Application]) -> None:
    assert client.get("/open", headers={"X-Request-ID": sent}).headers["x-request-id"] == sent


@pytest.mark.parametrize(
    "sent", ["", "a b", "x" * 129, "a\tb", 'a"b', "a{b", "whsec_canary5f2e", "eyJhbGciOiJub25lIn0.e30."]
)
def test_any_other_request_id_is_replaced(sent: str, client: TestClient[Application]) -> None:
    assert client.get("/open", headers={"X-Request-ID": sent}).headers["x-request-id"] == "made-1"


def http_lines(logs: list[Any]) -> list[dict[str, Any]]:
    return [line for line in logs if line["event"] == "http_request"]


@pytest.fixture
def logging_app(verifier: TokenVerifier) -> Callable[[], Application]:
    return lambda: make_app(verifier, LocalRateLimiter(per_s=1, burst=9, ticks_s=lambda: 0.0))


def test_one_line_tells_a_request_by_its_route_and_subject(
    logging_app: Callable[[], Application], token: Callable[..., str]
) -> None:
    with capture_logs() as logs, TestClient(logging_app()) as client:
        client.get(
            "/viewer/00000000-0000-7000-8000-000000000000?q=s3cret",
            headers={"Authorization": f"Bearer {token()}", "X-Request-ID": "r-1"},
        )
    assert http_lines(logs) == [
        {
            "event": "http_request",
            "log_level": "info",
            "method": "GET",
            "route": "/viewer/{id}",
            "status": 200,
            "ms": 1000.0,
            "request_id": "r-1",
            "subject": "user-1",
            # Litestar's test client has none.
            "client": None,
        }
    ]


@pytest.mark.parametrize(("path", "route", "status"), [("/nowhere", None, 404), ("/admin", "/admin", 401)])
def test_a_refused_request_has_its_line_too(
    path: str, route: str | None, status: int, logging_app: Callable[[], Application]
) -> None:
    with capture_logs() as logs, TestClient(logging_app()) as client:
        client.get(path)
    (line,) = http_lines(logs)
    assert (line["route"], line["status"], line["subject"]) == (route, status, None)


def test_head_is_logged_with_its_route_and_subject(
    logging_app: Callable[[], Application], token: Callable[..., str]
) -> None:
    with capture_logs() as logs, TestClient(logging_app()) as client:
        client.head("/rows", headers={"Authorization": f"Bearer {token()}"})
    [line] = http_lines(logs)
    assert (line["method"], line["route"], line["status"], line["subject"]) == ("HEAD", "/rows", 200, "user-1")


def test_a_refused_role_is_logged_with_its_subject(
    logging_app: Callable[[], Application], token: Callable[..., str]
) -> None:
    with capture_logs() as logs, TestClient(logging_app()) as client:
        client.get("/admin", headers={"Authorization": f"Bearer {token()}"})
    (line,) = http_lines(logs)
    assert (line["status"], line["subject"]) == (403, "user-1")


def test_a_line_is_written_even_if_the_application_breaks_down() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("no answer")

    async def nothing(*_: Any) -> Any:
        """Neither receives nor sends."""

    with capture_logs() as logs:
        edge = Edge(broken, new_id=lambda: "made-1", ticks_s=lambda: 0.0)
        scope: Any = {"type": "http", "method": "GET", "headers": []}
        with pytest.raises(RuntimeError):
            asyncio.run(edge(scope, nothing, nothing))
    assert [line["status"] for line in http_lines(logs)] == [0]
    assert request_id_of(scope) == "made-1"


@pytest.mark.parametrize(("method", "slug"), [("GET", "unavailable"), ("POST", "unknown_outcome")])
async def test_a_request_that_outlasts_the_stop_of_the_server_is_a_problem(method: str, slug: str) -> None:
    begun = asyncio.Event()
    sent: list[Any] = []

    async def endless(*_: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def send(message: Any) -> Any:
        sent.append(message)

    scope: Any = {"type": "http", "method": method, "path": "/open", "headers": []}
    with capture_logs() as logs:
        edge = Edge(endless, new_id=lambda: "made-1", ticks_s=lambda: 0.0)
        request = asyncio.create_task(edge(scope, send, send))
        await begun.wait()
        request.cancel()
        await request
    start, body = sent
    assert start["status"] == 503
    assert dict(start["headers"])[b"retry-after"] == b"1"
    assert json.loads(body["body"])["type"] == f"urn:monitor:problem:{slug}"
    assert [line["status"] for line in http_lines(logs)] == [503]


async def test_an_answer_that_has_begun_is_cut_short_when_the_server_stops() -> None:
    sent: list[Any] = []

    async def cut(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise asyncio.CancelledError

    async def send(message: Any) -> Any:
        sent.append(message)

    scope: Any = {"type": "http", "method": "GET", "path": "/open", "headers": []}
    with pytest.raises(asyncio.CancelledError):
        await Edge(cut, new_id=lambda: "made-1", ticks_s=lambda: 0.0)(scope, send, send)
    assert [message["type"] for message in sent] == ["http.response.start"]


async def test_a_socket_passes_through_unlogged_and_untouched() -> None:
    seen: list[Any] = []

    async def inner(*call: Any) -> None:
        seen.append(call)

    async def nothing(*_: Any) -> Any:
        """Neither receives nor sends."""

    scope: Any = {"type": "websocket", "headers": []}
    with capture_logs() as logs:
        await Edge(Cors(inner, [ORIGIN]), new_id=lambda: "made-1", ticks_s=lambda: 0.0)(scope, nothing, nothing)
    assert seen == [({"type": "websocket", "headers": []}, nothing, nothing)]
    assert logs == []


def test_no_request_id_exists_outside_the_edge() -> None:
    scope: Any = {"type": "http"}
    assert request_id_of(scope) is None


def test_a_listed_origin_may_read_the_answer(client: TestClient[Application]) -> None:
    headers = client.get("/nowhere", headers={"Origin": ORIGIN}).headers
    assert headers["access-control-allow-origin"] == ORIGIN
    assert "X-Request-ID" in headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in headers


@pytest.mark.parametrize("origin", ["https://DASH.example.com", f"{ORIGIN}:443"])
def test_an_origin_is_listed_in_any_case_and_with_its_default_port(
    origin: str, client: TestClient[Application]
) -> None:
    assert client.get("/open", headers={"Origin": origin}).headers["access-control-allow-origin"] == origin


@pytest.mark.parametrize(
    "origin", ["https://evil.test", "http://dash.example.com", f"{ORIGIN}.evil.test", f"{ORIGIN}:8443", "null", ""]
)
def test_another_origin_may_not(origin: str, client: TestClient[Application]) -> None:
    for method in ("GET", "OPTIONS"):
        sent = {"Origin": origin, "Access-Control-Request-Method": "GET"}
        headers = client.request(method, "/open", headers=sent).headers
        assert "access-control-allow-origin" not in headers
        assert "Origin" in headers["vary"]


def test_a_preflight_of_a_listed_origin_names_methods_and_headers(client: TestClient[Application]) -> None:
    sent = {"Origin": ORIGIN, "Access-Control-Request-Method": "PATCH"}
    response = client.options("/admin", headers=sent)
    assert response.status_code == 204
    assert "PATCH" in response.headers["access-control-allow-methods"]
    assert "Authorization" in response.headers["access-control-allow-headers"]
    assert response.headers["x-request-id"] == "made-1"


def test_long_answers_are_compressed_and_short_ones_are_not(client: TestClient[Application]) -> None:
    sent = {"Accept-Encoding": "gzip", "Origin": ORIGIN}
    long, short = client.get("/open", headers=sent), client.get("/nowhere", headers=sent)
    assert long.headers["content-encoding"] == "gzip"
    assert {"Accept-Encoding", "Origin"} <= set(long.headers["vary"].split(", "))
    assert "content-encoding" not in short.headers


@pytest.mark.parametrize(
    ("codings", "is_compressed"),
    [
        ("gzip", True), ("br, GZIP;q=0.5", True), ("x-gzip", True), ("*", True), ("br, *;q=0.1", True),
        ("gzip;q=0", False), ("gzip; q=0.000", False), ("*, gzip;q=0", False), ("*;q=0", False), ("identity", False),
        ("notgzip", False), ("", False), ("gzip;q=0.5, identity", False), ("gzip;q=0.5, identity;q=0.5", True),
        ("gzip;q=0.5, *;q=1", False), ("gzip;q=0.1, identity;q=0", True), ("gzip;q=none", False),
        ("identity;q=0", False),
    ],
)  # fmt: skip
def test_gzip_is_sent_only_where_it_is_acceptable(
    codings: str, *, is_compressed: bool, client: TestClient[Application]
) -> None:
    answer = client.get("/open", headers={"Accept-Encoding": codings})
    assert ("content-encoding" in answer.headers) is is_compressed
    assert answer.headers["vary"] == "Accept-Encoding, Origin"
    assert answer.text == "x" * 2000


@given(waits=st.lists(st.floats(0, 5), min_size=1, max_size=60), burst=st.integers(1, 5), per_s=st.floats(0.1, 10))
def test_a_bucket_never_admits_more_than_burst_and_rate_allow(waits: list[float], burst: int, per_s: float) -> None:
    """Law: in any run of requests at most ``burst + rate * time`` are admitted, and the told wait is enough."""
    now_s = 0.0
    admitted = 0
    limiter = LocalRateLimiter(per_s=per_s, burst=burst, ticks_s=lambda: now_s)
    for wait_s in waits:
        now_s += wait_s
        told_s = limiter.check("u")
        admitted += told_s is None
        assert told_s is None or 0 < told_s <= 1 / per_s + 1e-9
    assert admitted <= burst + now_s * per_s + 1e-6
    told_s = limiter.check("u")
    now_s += (told_s or 0.0) + 1 / per_s + 1e-9
    assert limiter.check("u") is None


def test_subjects_do_not_share_a_bucket_and_the_longest_unused_is_forgotten() -> None:
    limiter = LocalRateLimiter(per_s=1, burst=1, ticks_s=lambda: 0.0, max_subjects=2)
    assert [limiter.check(subject) for subject in ("a", "b")] == [None, None]
    assert limiter.check("a") == 1.0
    assert limiter.check("c") is None
    assert limiter.check("a") == 1.0
    assert limiter.check("b") is None
