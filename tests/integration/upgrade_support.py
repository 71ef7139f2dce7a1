"""A rolling upgrade: processes of two versions on one database, and a producer that is told of every answer."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from aiohttp import web

from tests.faults.system import PATIENCE_S, admin_token
from tests.integration.processes import SOURCE, Client, Result, Running, production, run, running
from tests.integration.support import Received, Receiver, eventually
from tests.servers import free_port

AHEAD = 200
RETRY = {"schedule_s": [0, *[0.3] * 11], "jitter_ratio": 0}
EXPECTED = ("The schema was changed a moment ago",)
"""What processes may log as an error while the schema changes under them."""


async def sometimes(received: Received) -> web.Response:
    """Answer as receivers do: most is taken, some fails or is too much at once."""
    match received.number % 30:
        case 3 | 13:
            return web.Response(status=503)
        case 16:
            return web.Response(status=429, headers={"Retry-After": "1"})
        case 8 | 28:
            return web.Response(status=422)
    return web.Response(text="thank you")


class Journal(Receiver):
    """A receiver that notes which event it took, by the number in its payload, in the order of its answers of 200."""

    def __init__(self, answer: Any = None) -> None:
        super().__init__(self._note)
        self.taken: list[int] = []
        self._answer = answer

    async def _note(self, received: Received) -> web.Response:
        response: web.Response = web.Response() if self._answer is None else await self._answer(received)
        if response.status == 200:
            self.taken.append(json.loads(received.body)["n"])
        return response

    @property
    def repeated(self) -> int:
        """How many deliveries came again after they had been taken."""
        return sum(count - 1 for count in Counter(self.taken).values())

    def in_order(self) -> bool:
        """Whether each event was first taken after all those before it."""
        first = list(dict.fromkeys(self.taken))
        return first == sorted(first)


class Upgrade:
    """The processes of all versions, and one producer that posts an event after the other to the servers in turn."""

    def __init__(self, dsn: str, redis_url: str, folder: Path) -> None:
        self.servers: list[Client] = []
        self.accepted: list[int] = []
        self.refused: Counter[str] = Counter()
        """Answers to the producer other than 202; it posts such an event again, under its key."""
        self.ready: dict[str, Counter[int]] = {}
        self._env = production(dsn, REDIS_URL=redis_url, WORKER__POLL_S="0.2", HTTP__RATE_LIMIT_PER_S="1000000")
        self._folder = folder
        self._token = admin_token()
        self._numbers = itertools.count()

    async def command(self, *arguments: str, source: str = SOURCE) -> Result:
        return await run(*arguments, env=self._env | {"PYTHONPATH": source})

    async def migrate(self, source: str) -> None:
        done = await self.command("migrate", source=source)
        assert done.code == 0, done.err

    @asynccontextmanager
    async def server(self, source: str) -> AsyncIterator[tuple[Running, Client]]:
        """Run a server and wait until it is ready."""
        port = free_port()
        async with self._running("serve", "--port", str(port), source=source) as process:
            client = Client(port, self._token)

            async def ready() -> bool:
                assert process.process.returncode is None, process.output
                return await client.ready()

            await eventually(ready, within_s=PATIENCE_S)
            yield process, client

    @asynccontextmanager
    async def worker(self, source: str) -> AsyncIterator[Running]:
        """Run a worker and wait until it works."""
        async with self._running("work", source=source) as process:
            await process.says("worker_started")
            yield process

    @asynccontextmanager
    async def _running(self, command: str, *arguments: str, source: str) -> AsyncIterator[Running]:
        log = self._folder / f"{next(self._numbers)}-{command}.log"
        async with running(command, *arguments, env=self._env | {"PYTHONPATH": source}, log=log) as process:
            yield process

    @asynccontextmanager
    async def traffic(self, *journals: Journal) -> AsyncIterator[None]:
        """Post events until the block is left, no more than ``AHEAD`` before any of *journals* has taken them."""
        stopped = asyncio.Event()
        posting = asyncio.create_task(self._post_until(stopped, journals))
        try:
            yield
        finally:
            stopped.set()
            await posting

    async def goes_on(self, events: int) -> None:
        """Wait until so many more events were accepted, from now on."""
        goal = len(self.accepted) + events
        await eventually(lambda: len(self.accepted) >= goal, within_s=PATIENCE_S)

    async def _post_until(self, stopped: asyncio.Event, journals: Sequence[Journal]) -> None:
        for number in itertools.count():
            # Or a slow machine, where a process takes a minute to start, has a backlog of hours.
            while not stopped.is_set() and number > AHEAD + min(len(journal.taken) for journal in journals):
                await asyncio.sleep(0.05)
            if stopped.is_set():
                break
            await self._post(number)
            self.accepted.append(number)
            await asyncio.sleep(0.01)

    async def _post(self, number: int) -> None:
        event = {"type": "order.paid", "payload": {"n": number}, "order_key": f"k{number % 5}"}
        for attempt in itertools.count():
            server = self.servers[(number + attempt) % len(self.servers)]
            try:
                answer = await server.call("POST", "events", json=event, headers={"Idempotency-Key": str(number)})
            except httpx.TransportError as error:
                self.refused[type(error).__name__] += 1
            else:
                if answer.status_code == 202:
                    return
                self.refused[str(answer.status_code)] += 1
                assert answer.status_code == 503, answer.text
            await asyncio.sleep(0.1)

    async def subscribe(self, url: str, **members: Any) -> str:
        """Create a webhook and return its id."""
        body = {"name": "x", "url": url, "retry": RETRY, **members}
        created = await self.servers[0].call("POST", "webhooks", json=body)
        assert created.status_code == 201, created.text
        id_: str = created.json()["id"]
        return id_

    async def operate(self, server: Client, webhook: str, number: int) -> None:
        """Do what an operator does, and read what a page reads."""
        for method, path, options in (
            ("PATCH", f"webhooks/{webhook}", {"json": {"name": f"n{number}", "timeout_s": 5 + number % 5}}),
            ("POST", f"webhooks/{webhook}/pause", {}),
            ("GET", f"webhooks/{webhook}", {}),
            ("POST", f"webhooks/{webhook}/resume", {}),
            ("POST", f"webhooks/{webhook}/rotate-secret", {"json": {"overlap_s": 0}}),
            ("GET", f"webhooks/{webhook}/attempts?limit=20", {}),
            ("GET", f"webhooks/{webhook}/metrics", {}),
            *(("GET", path, {}) for path in ("webhooks", "deliveries", "events", "alerts", "dashboard", "audit-log")),
        ):
            response = await server.call(method, path, **options)  # type: ignore[arg-type]
            assert response.status_code < 400, f"{method} {path}: {response.text}"

    async def nothing_waits(self) -> None:
        """Wait until no delivery is pending, and none has ended in another way than by being delivered."""
        (server, *_) = self.servers

        async def done() -> bool:
            return not (await server.read("deliveries?state=pending&limit=1"))["items"]

        await eventually(done, within_s=PATIENCE_S)
        for state in ("failed", "cancelled", "quarantined"):
            assert (await server.read(f"deliveries?state={state}"))["items"] == []

    def errors(self) -> list[str]:
        """Return what any process logged as an error, or in another way than as a line of JSON."""
        lines = [line for log in self._folder.glob("*.log") for line in log.read_text().splitlines()]
        wrong = [line for line in lines if not line.startswith("{") or json.loads(line)["level"] in _ERRORS]
        return [line for line in wrong if not any(words in line for words in EXPECTED)]


_ERRORS = ("error", "critical")


async def stop(processes: Sequence[Running]) -> None:
    """End processes one after the other, as a service manager does; each must drain and exit with 0."""
    for process in processes:
        assert await process.stop() == 0, process.output
