"""Who uses the installation through its proxy: a producer, a person who reads what was just written, a live page."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from typing import Any

import aiohttp
import msgspec

from tests.faults.system import admin_token
from tests.integration.support import API
from tests.topology.stage import Topology

BATCH = 20
PAUSE_S = 0.05
PATIENCE = aiohttp.ClientTimeout(total=30)


class Calls:
    """
    Calls the API through the proxy, over and over.

    Attributes:
        answers: by status.
        refused: connections that the proxy refused or broke.
        wrong: what a client must never get: a status that is neither the wanted one nor 503 with ``Retry-After``.
    """

    def __init__(self, session: aiohttp.ClientSession, topology: Topology) -> None:
        self.answers: Counter[int] = Counter()
        self.refused = 0
        self.wrong: list[str] = []
        self._session = session
        self._base = f"https://127.0.0.1:{topology.port}{API}"

    async def once(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """Return the status, 0 without an answer, and the body."""
        try:
            async with self._session.request(method, f"{self._base}/{path}", timeout=PATIENCE, **options) as answer:
                text = await answer.read()
        except (aiohttp.ClientError, TimeoutError):
            self.refused += 1
            return 0, None
        self.answers[answer.status] += 1
        if answer.status >= 300 and (answer.status != 503 or "retry-after" not in answer.headers):
            self.wrong.append(f"{method} {path}: {answer.status} {text[:300]!r}")
        return answer.status, msgspec.json.decode(text) if text else None

    async def until_done(self, method: str, path: str, **options: Any) -> Any:
        """Repeat a call that is safe to repeat until it succeeds; return the body."""
        while True:
            status, body = await self.once(method, path, **options)
            if 200 <= status < 300:
                return body
            await asyncio.sleep(PAUSE_S)


class Producer:
    """Posts batches of events under a key each until they are accepted. ``accepted``: ids that were answered."""

    def __init__(self, calls: Calls, webhooks: int) -> None:
        self.accepted: list[str] = []
        self._calls = calls
        self._webhooks = webhooks
        self._stopped = False

    def stop(self) -> None:
        """End with the batch under way."""
        self._stopped = True

    async def run(self, name: str) -> None:
        serials = itertools.count()
        for number in itertools.count():
            if self._stopped:
                return
            events = [
                {"type": f"topology.{n % self._webhooks}", "payload": {"serial": f"{name} {n}"}}
                for n in itertools.islice(serials, BATCH)
            ]
            headers = {"idempotency-key": f"{name}-{number}"}
            body = await self._calls.until_done("POST", "events", json={"events": events}, headers=headers)
            self.accepted += [event["id"] for event in body["events"]]
            await asyncio.sleep(PAUSE_S)


class Person:
    """
    Renames a webhook, and reads it at once in each place that shows its name, whatever process answers.

    Attributes:
        reads: how many were compared; ``stale``: those that were older than the last answered change.
    """

    def __init__(self, calls: Calls, webhook_id: str) -> None:
        self.reads = 0
        self.stale: list[str] = []
        self._calls = calls
        self._id = webhook_id

    async def run(self) -> None:
        """Go on until cancelled."""
        known = 0
        for number in itertools.count(1):
            status, _ = await self._calls.once("PATCH", f"webhooks/{self._id}", json={"name": f"person {number}"})
            known = number if status == 200 else known
            for path in (f"webhooks/{self._id}", "webhooks?q=person", "dashboard/webhooks?limit=200"):
                status, body = await self._calls.once("GET", path)
                if status == 200:
                    self._compare(path, body, known)
            await asyncio.sleep(PAUSE_S)

    def _compare(self, path: str, body: Any, known: int) -> None:
        rows = body.get("items", [body])
        name = next((row["name"] for row in rows if row["id"] == self._id), "person 0")
        # What is answered from memory while no database can be reached says so.
        if isinstance(body, dict) and body.get("stale"):
            return
        self.reads += 1
        if int(name.split()[-1]) < known:
            self.stale.append(f"{path} showed {name!r} after person {known}")


def session(topology: Topology) -> aiohttp.ClientSession:
    """Return a client of the proxy with an admin's token. Each request has a connection of its own."""
    headers = {"authorization": f"Bearer {admin_token()}"}
    connector = aiohttp.TCPConnector(limit=0, ssl=topology.tls, force_close=True)
    return aiohttp.ClientSession(connector=connector, headers=headers)
