"""A producer as the documentation tells one to be: what was not answered 202 is posted again under its key."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

import aiohttp
import msgspec

from tests.faults.system import Served

BATCH = 50
RETRY_S = 0.1
PATIENCE = aiohttp.ClientTimeout(total=20)


class Producer:
    """
    Posts numbered events in batches, to all servers in turn, as far as it was allowed to.

    ``accepted`` holds the ids that were answered, by batch.
    """

    def __init__(self, session: aiohttp.ClientSession, servers: Sequence[Served], webhooks: int) -> None:
        self.accepted: dict[int, list[str]] = {}
        self.refused = 0
        self.broken = 0
        self._session = session
        self._urls = itertools.cycle([f"{server.url}/api/v1/events" for server in servers])
        self._webhooks = webhooks
        self._allowed = asyncio.Semaphore(0)

    def allow(self, batches: int) -> None:
        """Let it post so many more."""
        for _ in range(batches):
            self._allowed.release()

    @property
    def ids(self) -> list[str]:
        """Every event that was promised to be delivered."""
        return [id_ for ids in self.accepted.values() for id_ in ids]

    async def post_all(self, batches: int, *, at_once: int = 4) -> None:
        numbers = iter(range(batches))

        async def post_on() -> None:
            for number in numbers:
                await self._allowed.acquire()
                self.accepted[number] = await self.post(number)

        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(post_on())

    async def post(self, number: int) -> list[str]:
        """Post one batch until it is accepted; return the ids of its events. Safe to repeat."""
        body, headers = self._body(number), {"idempotency-key": f"batch-{number}"}
        while True:
            try:
                async with self._session.post(next(self._urls), data=body, headers=headers, timeout=PATIENCE) as answer:
                    text = await answer.read()
            except (aiohttp.ClientError, TimeoutError):
                self.broken += 1
            else:
                if answer.status == 202:
                    return [event["id"] for event in msgspec.json.decode(text)["events"]]
                assert answer.status == 503, text
                self.refused += 1
            await asyncio.sleep(RETRY_S)

    def _body(self, number: int) -> bytes:
        serials = range(number * BATCH, (number + 1) * BATCH)
        return msgspec.json.encode(
            {"events": [{"type": f"fault.{n % self._webhooks}", "payload": {"serial": n}} for n in serials]}
        )


async def subscribe(
    session: aiohttp.ClientSession, server: Served, urls: Sequence[str], *, first: int = 0, **members: Any
) -> None:
    """Register one webhook for each URL; number i, from *first* on, gets the events ``fault.i``."""
    for i, url in enumerate(urls, first):
        webhook = {"name": f"fault {i}", "url": url, "event_types": [f"fault.{i}"], **members}
        async with session.post(f"{server.url}/api/v1/webhooks", data=msgspec.json.encode(webhook)) as answer:
            assert answer.status == 201, await answer.text()
