"""An application of cached views whose answers a test may change, count and compare."""

from __future__ import annotations

import asyncio
import gzip
import itertools
from typing import Any

import httpx
import msgspec
from litestar import Litestar, Request, Response, get

from monitor.auth.tokens import TokenVerifier
from monitor.domain.digest import body_digest
from monitor.domain.errors import Unavailable
from monitor.domain.vocab import Role
from monitor.http.middleware.authentication import OPEN, requires
from monitor.http.middleware.cached_fast_path import CachedFastPath
from monitor.http.middleware.rate_limit import LocalRateLimiter
from monitor.http.middleware.stack import Application, build_edge, litestar_options
from monitor.http.requests.query import Limit
from monitor.http.responses.cached import cached_response, versioned_response
from monitor.http.responses.conditional import encoded_response
from tests.unit.http.support import NOW

ORIGIN = "https://dash.example.com"
LARGE = msgspec.json.encode({"version": 3, "text": "x" * 3000})
SMALL = b'{"version":3}'


class FakeAnswer:
    """See :class:`monitor.http.responses.conditional.Representation`."""

    def __init__(self, body: bytes, *, stale: bool = False, age_s: float = 0.0) -> None:
        self.body = body
        self.stale = stale
        self.age_s = age_s
        self.packings = 0
        self._packed = b""

    @property
    def digest(self) -> str:
        return body_digest(self.body)

    def gzipped(self) -> bytes:
        if not self._packed:
            self.packings += 1
            self._packed = gzip.compress(self.body, mtime=0)
        return self._packed


class FakeViews:
    """See :class:`monitor.http.responses.cached.CachedViews`. ``warm`` says whether memory may be answered from."""

    def __init__(self, body: bytes = LARGE) -> None:
        self.now = FakeAnswer(body)
        self.peeked: list[str] = []
        self.warm = True
        self.asked: list[tuple[str, dict[str, Any]]] = []

    @property
    def long(self) -> int:
        """How often the long way was taken to the end."""
        return len(self.asked)

    async def answer(self, name: str, **scope: Any) -> FakeAnswer:
        self.asked.append((name, scope))
        return self.now

    def text(self, name: str, **scope: Any) -> str:
        return f"{name}?{scope}"

    def peek(self, text: str) -> FakeAnswer | None:
        assert text.startswith("things")
        self.peeked.append(text)
        return self.now if self.warm else None


class Site:
    """A small application with both ways, and what it counted and wrote."""

    def __init__(
        self, views: FakeViews, verifier: TokenVerifier, token: str, *, burst: int = 10_000, **edge: Any
    ) -> None:
        @get("/things", opt=requires(Role.VIEWER))
        async def things(request: Request[Any, Any, Any], limit: Limit = 50) -> Response[Any]:
            return await cached_response(request, views, "things", limit=limit)

        @get("/roles", opt=requires(Role.VIEWER))
        async def roles(request: Request[Any, Any, Any]) -> Response[Any]:
            return await cached_response(request, views, "things", by_role=True)

        @get("/admins", opt=requires(Role.ADMIN))
        async def admins(request: Request[Any, Any, Any]) -> Response[Any]:
            return await cached_response(request, views, "things")

        @get("/open", opt=OPEN)
        async def open_route(request: Request[Any, Any, Any]) -> Response[Any]:
            return await cached_response(request, views, "things")

        @get("/thing", opt=requires(Role.VIEWER))
        async def thing(request: Request[Any, Any, Any]) -> Response[Any]:
            return versioned_response(request, await views.answer("thing"))

        @get("/fresh", opt=requires(Role.VIEWER))
        async def fresh(request: Request[Any, Any, Any]) -> Response[Any]:
            return encoded_response(request, {"fresh": True})

        @get("/down", opt=requires(Role.VIEWER))
        async def down(request: Request[Any, Any, Any]) -> Response[Any]:
            raise Unavailable("Not now.")

        self.views = views
        self.token = token
        self.counted: list[tuple[str, str, int]] = []
        self.lines: list[tuple[str, str | None, int, str, str | None]] = []
        numbers, ticks = itertools.count(1), itertools.count()
        limiter = LocalRateLimiter(per_s=1, burst=burst, ticks_s=lambda: 0.0)
        litestar = Litestar(
            [things, roles, admins, open_route, thing, fresh, down],
            openapi_config=None,
            **litestar_options(verifier=verifier, now=lambda: NOW, limiter=limiter, https=edge.get("https", False)),
        )
        edge_layer = build_edge(
            litestar,
            new_id=lambda: f"made-{next(numbers)}",
            ticks_s=lambda: float(next(ticks)),
            observe=lambda method, route, status, _: self.counted.append((method, route, status)),
            write_line=lambda *line: self.lines.append((line[0], line[1], line[2], line[4], line[5])),
            **edge,
        )
        self.hot = CachedFastPath(
            edge_layer,
            views,
            verifier,
            limiter,
            now=lambda: NOW,
            ticks_s=lambda: 0.0,
            cors="cors_origins" in edge,
            hosts=edge.get("hosts"),
            https=edge.get("https", False),
        )
        self._transport = httpx.ASGITransport(Application(litestar, self.hot))  # type: ignore[arg-type]

    def call(self, target: str = "/things", *, method: str = "GET", headers: Any = None) -> httpx.Response:
        """Send exactly *headers*, pairs or a mapping, and the token."""
        sent = [("authorization", f"Bearer {self.token}"), *dict(headers or {}).items()]
        return self.send(sent, target, method=method)

    def send(self, headers: list[tuple[str, str]], target: str = "/things", *, method: str = "GET") -> httpx.Response:
        async def send() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url="http://monitor.test") as client:
                client.headers.clear()
                return await client.request(method, target, headers=headers)

        return asyncio.run(send())

    def is_hot(self, **call: Any) -> bool:
        """Whether a call is answered without the framework."""
        before = self.views.long
        assert self.call(**call).status_code in {200, 304}
        return self.views.long == before
