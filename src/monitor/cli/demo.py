"""Receivers on loopback and live traffic, so that a newcomer sees health change within two minutes."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Awaitable, Callable

import msgspec
import structlog
from aiohttp import web

from monitor.domain.errors import MonitorError
from monitor.domain.ports.queries.resources import Queries, WebhookFilter
from monitor.domain.services.publish import EventIn, Publisher
from monitor.domain.services.webhooks import WebhookCommands
from monitor.domain.vocab import Actor, Role
from monitor.domain.webhooks.registration import WebhookSpec

ACTOR = Actor("demo", Role.ADMIN)
LABEL = {"demo": "true"}
EVENTS_PER_S = 6.0
"""Fast enough to learn in half a minute what is normal."""

FLAKY_FAILS_EVERY = 4
"""Counted, not diced: 5 of any 20 attempts fail, which is degraded and never unavailable."""
SLOW_S = 0.6
SLOW_AFTER_CALLS = 250
"""Slowness is a change: until then the slow one is as quick as the healthy one, and that is learned as its normal.
Counted, not timed: learning takes 200 answers, and a busy machine gives fewer a minute."""

RECOVERS_AFTER_S = 90.0
"""After its alert, which takes a minute of failing, and soon enough to see it resolve."""

log = structlog.get_logger(__name__)

Handler = Callable[[web.Request], Awaitable[web.Response]]


class Demo:
    """Runs until cancelled: starts receivers, registers a webhook for each, and publishes events."""

    def __init__(self, registry: WebhookCommands, publisher: Publisher, queries: Queries) -> None:
        self._registry = registry
        self._publisher = publisher
        self._queries = queries
        self._started_at = 0.0
        self._flaky_calls = 0
        self._slow_calls = 0

    async def run(self) -> None:
        self._started_at = asyncio.get_running_loop().time()
        runner = web.AppRunner(self._receivers(), access_log=None)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            await self._register(runner.addresses[0][1])
            await self._publish_for_ever()
        finally:
            await runner.cleanup()

    def _receivers(self) -> web.Application:
        handlers: dict[str, Handler] = {
            "healthy": self._healthy,
            "slow": self._slow,
            "flaky": self._flaky,
            "recovering": self._recovering,
        }
        app = web.Application()
        app.add_routes([web.post(f"/{name}", handler) for name, handler in handlers.items()])
        return app

    async def _register(self, port: int) -> None:
        urls = {name: f"http://127.0.0.1:{port}/{name}" for name in ("healthy", "slow", "flaky", "recovering")}
        urls["dead"] = f"http://127.0.0.1:{_closed_port()}/dead"
        present = {
            view.name: view.id
            for view in await self._queries.webhooks(WebhookFilter(label="demo=true"), after=None, limit=200)
        }
        for kind, url in urls.items():
            spec = WebhookSpec(
                name=f"Demo: {kind}", url=url, event_types=["demo.*"], labels=LABEL, description=f"A {kind} receiver."
            )
            if (webhook_id := present.get(spec.name)) is None:
                await self._registry.create(spec, ACTOR)
            else:
                await self._registry.replace(webhook_id, spec, ACTOR, require=lambda _version: None)

    async def _publish_for_ever(self) -> None:
        number = 0
        while True:
            number += 1
            payload = msgspec.Raw(msgspec.json.encode({"order": number, "total": random.randrange(100, 10_000)}))
            try:
                await self._publisher.publish([EventIn(type="demo.order.paid", payload=payload, labels=LABEL)], ACTOR)
            except MonitorError as error:
                log.warning("demo_event_lost", detail=error.detail)
            await asyncio.sleep(random.expovariate(EVENTS_PER_S))

    async def _healthy(self, request: web.Request) -> web.Response:
        await request.read()
        await asyncio.sleep(random.uniform(0.005, 0.03))
        return web.Response(text="thank you")

    async def _slow(self, request: web.Request) -> web.Response:
        self._slow_calls += 1
        if self._slow_calls <= SLOW_AFTER_CALLS:
            return await self._healthy(request)
        await request.read()
        await asyncio.sleep(SLOW_S * random.uniform(0.7, 1.3))
        return web.Response(text="sorry for the wait")

    async def _flaky(self, request: web.Request) -> web.Response:
        await request.read()
        self._flaky_calls += 1
        failed = self._flaky_calls % FLAKY_FAILS_EVERY == 0
        return web.Response(status=503, text="try again") if failed else web.Response(text="ok")

    async def _recovering(self, request: web.Request) -> web.Response:
        await request.read()
        up = self._up_s() > RECOVERS_AFTER_S
        return web.Response(text="back") if up else web.Response(status=500, text="not yet")

    def _up_s(self) -> float:
        return asyncio.get_running_loop().time() - self._started_at


def _closed_port() -> int:
    """Return a loopback port without a listener."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
