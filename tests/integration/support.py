"""The product as a test sees it: an API to call, receivers that remember, workers that run."""

from __future__ import annotations

import asyncio
import base64
import inspect
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Self
from uuid import UUID

import asyncpg
import httpx
import msgspec
from aiohttp import web
from litestar import Litestar
from standardwebhooks import Webhook

from monitor.adapters.clock import SystemClock
from monitor.adapters.key_factory import sign_v1a
from monitor.adapters.postgres.engine import Database
from monitor.adapters.postgres.unit_of_work import PostgresUnitOfWork
from monitor.adapters.secret_box import SecretBox
from monitor.auth.tokens import issue
from monitor.bootstrap.container import Container
from monitor.bootstrap.server import build_app, http_bounds
from monitor.bootstrap.worker import build_fan_outs, build_worker
from monitor.cli.openapi import document
from monitor.domain.ids import id_millis
from monitor.domain.ports.clock import Clock
from monitor.domain.services.deliver import Deliverer
from monitor.domain.services.leases import DeliverConfig
from monitor.domain.vocab import Role
from monitor.http.server.server import Server
from monitor.settings.schema import Db, Egress, Http, Jwt, JwtKey, SecretKey, Secrets, Settings, Worker
from monitor.worker.delivery_loop import DeliveryWorker
from tests.pgbouncer import database_config, through

API = "/api/v1"
WITHIN_S = 60.0
"""Longest wait for something that should take milliseconds: generous, since only a failure takes as long."""

JWT_KEY = base64.urlsafe_b64encode(bytes(range(1, 33))).decode()
SECRET_KEY = base64.urlsafe_b64encode(bytes(range(33, 65))).decode()
ONCE: dict[str, Any] = {"schedule_s": [0], "jitter_ratio": 0}
"""A retry policy of a single attempt."""


def settings(dsn: str, **changes: Any) -> Settings:
    """Return settings for *dsn* that may deliver to loopback; *changes* replace whole sections."""
    url, direct_url = through(dsn)
    made = msgspec.structs.replace(
        Settings(
            database_url=url,
            jwt=Jwt(keys=(JwtKey("test", "HS256", JWT_KEY),)),
            secrets=Secrets(keys=(SecretKey("test", SECRET_KEY),)),
            # A busy machine is slow, not down.
            db=Db(acquire_timeout_s=WITHIN_S),
            egress=Egress(profile="local"),
            http=Http(rate_limit_per_s=1e6, rate_burst=1_000_000),
            worker=Worker(poll_s=0.1),
        ),
        **changes,
    )
    return msgspec.structs.replace(made, db=msgspec.structs.replace(made.db, direct_url=direct_url))


async def eventually(holds: Callable[[], Any], *, within_s: float = WITHIN_S) -> Any:
    """Wait until *holds*, which may be async, returns something true, and return that."""
    deadline = time.monotonic() + within_s
    while True:
        found = holds()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return found
        assert time.monotonic() < deadline, f"still not so after {within_s} s: {inspect.getsource(holds).strip()}"
        await asyncio.sleep(0.01)


# The API ---------------------------------------------------------------------------------------------------------


class Api:
    """Calls routes: ``await api.get("webhooks")`` stands for ``/api/v1/webhooks``, a leading slash for the root.

    Each answer is held to what every answer must be: documented, a problem if it is an error, and without secrets
    unless a secret was asked for.
    """

    def __init__(self, client: httpx.AsyncClient, app: Litestar, sign: Callable[[Role, str], str]) -> None:
        self.client = client
        self.app = app
        self._sign = sign
        self._documented = _documented()

    async def call(
        self, method: str, path: str, *, role: Role | None = Role.ADMIN, subject: str = "ada", **options: Any
    ) -> httpx.Response:
        headers = dict(options.pop("headers", {}))
        if role is not None:
            headers.setdefault("Authorization", f"Bearer {self._sign(role, subject)}")
        url = path if path.startswith("/") else f"{API}/{path}"
        response = await self.client.request(method, url, headers=headers, **options)
        self._check(method, response)
        return response

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.call("GET", path, **options)

    async def post(self, path: str, **options: Any) -> httpx.Response:
        return await self.call("POST", path, **options)

    async def read(self, path: str, **options: Any) -> Any:
        """Return the body of a GET that must succeed."""
        response = await self.get(path, **options)
        assert response.status_code == 200, response.text
        return response.json()

    async def create(self, url: str, **members: Any) -> dict[str, Any]:
        """Register a webhook and return the answer, secret included."""
        response = await self.post("webhooks", json={"name": "test", "url": url, **members})
        assert response.status_code == 201, response.text
        created: dict[str, Any] = response.json()
        return created

    async def publish(self, *payloads: Any, type: str = "order.paid", **members: Any) -> list[str]:  # noqa: A002
        """Post one event for each payload in a single batch, and return their ids."""
        events = [{"type": type, "payload": payload, **members} for payload in payloads]
        response = await self.post("events", json={"events": events}, role=Role.PUBLISHER)
        assert response.status_code == 202, response.text
        return [event["id"] for event in response.json()["events"]]

    async def pages(self, path: str, *, limit: int, **params: Any) -> AsyncIterator[list[dict[str, Any]]]:
        """Yield the items of each page until there is no next one."""
        cursor: str | None = None
        while True:
            page = await self.read(path, params={"limit": limit, **params, **({"cursor": cursor} if cursor else {})})
            yield page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    async def ids(self, path: str, **params: Any) -> list[str]:
        """Return the ids of one page."""
        return [item["id"] for item in (await self.read(path, params=params))["items"]]

    def _check(self, method: str, response: httpx.Response) -> None:
        assert "x-request-id" in response.headers
        if response.status_code >= 400:
            assert_problem(response)
        path = response.request.url.path
        # The document of the API shows what a secret looks like.
        if method == "GET" and not path.startswith("/schema"):
            assert "whsec_" not in response.text
        for template, methods in self._documented:
            if template.fullmatch(path) and method.lower() in methods:
                assert response.status_code in methods[method.lower()], f"undocumented: {method} {path} {response}"


def assert_problem(response: httpx.Response, status: int | None = None, slug: str | None = None) -> dict[str, Any]:
    """Check that *response* is an RFC 9457 problem, and return its members."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    problem: dict[str, Any] = response.json()
    assert problem["status"] == response.status_code
    assert problem["type"].startswith("urn:monitor:problem:")
    assert problem["title"]
    assert problem["detail"]
    assert problem["request_id"] == response.headers["x-request-id"]
    if status is not None:
        assert response.status_code == status, problem
    if slug is not None:
        assert problem["type"] == f"urn:monitor:problem:{slug}", problem
    return problem


def no_cookies() -> CookieJar:
    """Return a jar that keeps nothing: a session of one call must not authenticate the next one."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))


@asynccontextmanager
async def api_of(parts: Container) -> AsyncIterator[Api]:
    """Call the application on *parts*, which are open, without a socket and without its background refresh."""
    # As after the first read of a process that starts; none refreshes it here.
    parts.revoked = parts.revoked or set()
    app = build_app(parts, owns_container=False)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://monitor.test", cookies=no_cookies()) as client:
        yield Api(client, app.litestar, signer(parts))


@asynccontextmanager
async def served(parts: Container) -> AsyncIterator[Api]:
    """The same on a real uvicorn and a real socket."""
    app = build_app(parts, owns_container=False)
    http = parts.settings.http
    server = Server(app, bounds=http_bounds(http), trusted_proxies=http.trusted_proxies, host="127.0.0.1", port=0)
    serving = asyncio.create_task(server.serve())
    try:
        await eventually(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", cookies=no_cookies()) as client:
            yield Api(client, app.litestar, signer(parts))
    finally:
        server.stop()
        await serving


def signer(parts: Container) -> Callable[[Role, str], str]:
    """Return what makes tokens that *parts* accept."""

    def sign(role: Role, subject: str) -> str:
        id_ = parts.clock.new_id().hex
        return issue(parts.ring, parts.token_policy, subject=subject, role=role, ttl_s=3600, now=time.time(), jti=id_)

    return sign


@cache
def _documented() -> list[tuple[re.Pattern[str], dict[str, set[int]]]]:
    """Return the statuses that each documented operation may answer, by the pattern of its path."""
    found = []
    for path, item in msgspec.json.decode(document())["paths"].items():
        methods = {
            method: {int(status) for status in operation["responses"]}
            for method, operation in item.items()
            if method in {"get", "post", "put", "patch", "delete"}
        }
        found.append((re.compile(re.sub(r"\{[^}]*\}", "[^/]+", path)), methods))
    return found


# Receivers -------------------------------------------------------------------------------------------------------


class Received(msgspec.Struct, frozen=True):
    """One request that reached a receiver; ``at`` is monotonic seconds."""

    at: float
    body: bytes
    headers: Mapping[str, str]
    number: int

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


Answer = Callable[[Received], Awaitable[web.Response]]


async def ok(_: Received) -> web.Response:
    return web.Response(text="thank you")


def answering(*statuses: int, headers: Mapping[str, str] | None = None) -> Answer:
    """Answer the first request with the first status and so on; the last one for ever."""

    async def answer(received: Received) -> web.Response:
        return web.Response(status=statuses[min(received.number, len(statuses)) - 1], headers=headers)

    return answer


class Receiver:
    """A webhook receiver on a loopback socket. ``answer`` may be changed while it runs."""

    def __init__(self, answer: Answer = ok) -> None:
        self.answer = answer
        self.requests: list[Received] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=1 << 24)
        app.router.add_post("/hook", self._take)
        # A handler that still waits when the test is over is cut off, not waited for.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/hook"
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        received = Received(time.monotonic(), body, headers, len(self.requests) + 1)
        self.requests.append(received)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self.answer(received)
        finally:
            self.in_flight -= 1

    @property
    def ids(self) -> list[str]:
        """The message ids in the order of arrival."""
        return [request.id for request in self.requests]

    async def takes(self, count: int, *, within_s: float = WITHIN_S) -> list[Received]:
        """Wait for the first *count* requests."""
        await eventually(lambda: len(self.requests) >= count, within_s=within_s)
        return self.requests[:count]


def verify(secret: str, received: Received) -> None:
    """Check the signature as an independent implementation of Standard Webhooks does. Raises if it is wrong."""
    Webhook(secret).verify(received.body, dict(received.headers), json_parse=False)


# Workers ---------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def working(parts: Container, name: str = "worker") -> AsyncIterator[DeliveryWorker]:
    """Run a delivery worker; it drains at the end and must not have failed."""
    fan_outs = build_fan_outs(parts)
    worker = build_worker(parts, name=name, fan_outs=fan_outs)
    async with parts.supervisor.running({**worker.loops(), **fan_outs.loops()}):
        running = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            worker.stop()
            await running


def deliverer(
    parts: Container, name: str, *, lease_s: float = 30.0, lanes_per_claim: int = 200, clock: Clock | None = None
) -> Deliverer:
    """Return the three steps of a delivery, to be taken one by one."""
    return Deliverer(
        parts.unit_of_work,
        parts.queries,
        parts.sender,
        clock or parts.clock,
        sign_v1a,
        DeliverConfig(worker=name, lease_s=lease_s, lanes_per_claim=lanes_per_claim, policy=parts.policy),
    )


@asynccontextmanager
async def lost_after_commit(dsn: str) -> AsyncIterator[PostgresUnitOfWork]:
    """A unit of work of a process that ends right after its commit, before it dispatches what it recorded."""
    async with (
        Database(database_config(dsn, read_pool=1, write_pool=1)) as database,
        PostgresUnitOfWork(database, SecretBox([("test", bytes(32))]), SystemClock()) as uow,
    ):
        yield uow


@asynccontextmanager
async def sql(parts: Container) -> AsyncIterator[asyncpg.Connection]:
    """A connection for what no route does."""
    connection = await asyncpg.connect(parts.database.dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def execute(parts: Container, statement: str, *args: object) -> None:
    async with sql(parts) as connection:
        await connection.execute(statement, *args)


async def finished(api: Api, count: int, *, within_s: float = WITHIN_S) -> list[dict[str, Any]]:
    """Wait until nothing is pending, and return the newest *count* deliveries."""

    async def none_pending() -> bool:
        return not (await api.read("deliveries", params={"state": "pending", "limit": 1}))["items"]

    await eventually(none_pending, within_s=within_s)
    found: list[dict[str, Any]] = (await api.read("deliveries", params={"limit": count}))["items"]
    return found


async def delivery_of(api: Api, event_id: str) -> dict[str, Any]:
    """Return the one delivery of an event, with its attempts."""
    (id_,) = await api.ids("deliveries", event_id=event_id)
    found: dict[str, Any] = await api.read(f"deliveries/{id_}")
    return found


def uuid_ms(id_: str) -> int:
    """Return the Unix milliseconds of a version 7 UUID."""
    return id_millis(UUID(id_))
