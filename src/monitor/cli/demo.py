"""Receivers on loopback and live traffic, so that a newcomer sees health change within two minutes."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec
import structlog

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

Handler = Callable[[], Awaitable[tuple[int, str]]]


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
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            await self._register(server.sockets[0].getsockname()[1])
            await self._publish_for_ever()
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection by the receiver that their path names."""
        handlers: dict[bytes, Handler] = {
            b"/healthy": self._healthy,
            b"/slow": self._slow,
            b"/flaky": self._flaky,
            b"/recovering": self._recovering,
        }
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))
                status, text = await handlers[head.split()[1]]()
                writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())
        writer.close()

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

    async def _healthy(self) -> tuple[int, str]:
        await asyncio.sleep(random.uniform(0.005, 0.03))
        return 200, "thank you"

    async def _slow(self) -> tuple[int, str]:
        self._slow_calls += 1
        if self._slow_calls <= SLOW_AFTER_CALLS:
            return await self._healthy()
        await asyncio.sleep(SLOW_S * random.uniform(0.7, 1.3))
        return 200, "sorry for the wait"

    async def _flaky(self) -> tuple[int, str]:
        self._flaky_calls += 1
        return (503, "try again") if self._flaky_calls % FLAKY_FAILS_EVERY == 0 else (200, "ok")

    async def _recovering(self) -> tuple[int, str]:
        return (200, "back") if self._up_s() > RECOVERS_AFTER_S else (500, "not yet")

    def _up_s(self) -> float:
        return asyncio.get_running_loop().time() - self._started_at


def _closed_port() -> int:
    """Return a loopback port without a listener."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
