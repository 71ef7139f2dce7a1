"""A path prefix: taken off requests whether the proxy left it or not, and put before ``Location``."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.http.middleware.root_path import UnderRootPath


async def pass_through(path: str, *, location: bytes = b"", kind: str = "http") -> tuple[Any, list[Any]]:
    """Return the scope that the application saw, and what was sent."""
    seen: list[Any] = []
    sent: list[Any] = []

    async def application(scope: Any, _receive: Any, send: Any) -> None:
        seen.append(scope)
        if kind == "http":
            headers = [(b"content-type", b"text/plain"), *([(b"location", location)] if location else [])]
            await send({"type": "http.response.start", "status": 200, "headers": headers})

    async def collect(message: Any) -> None:
        sent.append(message)

    scope: Any = {"type": kind, "path": path, "raw_path": path.encode(), "headers": []}
    await UnderRootPath(application, "/tools/monitor")(scope, None, collect)  # type: ignore[arg-type]
    assert scope["path"] == path
    return seen[0], sent


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    ("path", "inner"),
    [
        ("/tools/monitor/api/v1/webhooks", "/api/v1/webhooks"),
        ("/api/v1/webhooks", "/api/v1/webhooks"),
        ("/tools/monitor/", "/"),
        ("/tools/monitor", "/"),
        ("/", "/"),
        ("/tools/monitoring", "/tools/monitoring"),
        ("/tools/monitor/tools/monitor/x", "/tools/monitor/x"),
    ],
)
async def test_the_prefix_is_taken_off_where_it_stands(kind: str, path: str, inner: str) -> None:
    scope, _ = await pass_through(path, kind=kind)
    assert (scope["path"], scope["raw_path"]) == (inner, inner.encode())


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        (b"/api/v1/webhooks/1", b"/tools/monitor/api/v1/webhooks/1"),
        (b"https://elsewhere.example/", b"https://elsewhere.example/"),
    ],
)
async def test_a_location_is_one_that_clients_can_follow(location: bytes, shown: bytes) -> None:
    _, sent = await pass_through("/tools/monitor/api", location=location)
    assert dict(sent[0]["headers"]) == {b"content-type": b"text/plain", b"location": shown}


async def test_other_scopes_pass() -> None:
    scope, sent = await pass_through("/tools/monitor", kind="lifespan")
    assert (scope["path"], sent) == ("/tools/monitor", [])
