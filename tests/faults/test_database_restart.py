"""A database that goes away and comes back: what callers see meanwhile, and how soon all is well without a restart."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from benchmarks.support import Figures
from tests.faults.system import SLACK, Served, System, system
from tests.integration.cache.processes import LONG
from tests.integration.support import API, Receiver, eventually

AWAY_S = 10.0 if LONG else 6.0
"""Longer than a view of the dashboard is fresh."""

KINDS = {"restart": signal.SIGINT, "crash": signal.SIGQUIT}
LEASES = {} if LONG else {"WORKER__LEASE_S": "6", "WORKER__RENEW_S": "2"}
"""What was claimed just when the database went away may be nobody's for one lease."""

API_BACK_S = 5.0 * SLACK
WORKERS_BACK_S = 10.0 * SLACK
FAST_S = 2.5 * SLACK
"""What ``MONITOR_DB__ACQUIRE_TIMEOUT_S`` allows by default, and half a second for a busy machine."""

EVENT = msgspec.json.encode({"type": "order.paid", "payload": {"x": 1}})


class Caller:
    """Asks the same again and again, and notes when each answer came and what it was."""

    def __init__(self, session: aiohttp.ClientSession, method: str, url: str, body: bytes | None = None) -> None:
        self.answers: list[tuple[float, float, int, Any]] = []
        self._session = session
        self._request = (method, url)
        self._body = body

    async def run(self, *, every_s: float = 0.02) -> None:
        while True:
            started = time.monotonic()
            async with self._session.request(*self._request, data=self._body) as answer:
                body = msgspec.json.decode(await answer.read())
            self.answers.append((started, time.monotonic(), answer.status, body))
            await asyncio.sleep(every_s)

    def between(self, begin: float, end: float) -> list[tuple[float, float, int, Any]]:
        return [answer for answer in self.answers if begin <= answer[0] <= end]

    def slowest_s(self, begin: float, end: float) -> float:
        return max(ended - started for started, ended, _, _ in self.between(begin, end))

    def statuses(self, begin: float, end: float) -> Counter[int]:
        return Counter(status for _, _, status, _ in self.between(begin, end))

    def first(self, status: int, since: float) -> float | None:
        """Return when the first such answer came to a request made after *since*, if any has."""
        return next((ended for started, ended, got, _ in self.answers if started >= since and got == status), None)


class Outage(msgspec.Struct, frozen=True):
    """When the database was told to go, was gone, was told to come back, and took connections again."""

    told_at: float
    gone_at: float
    asked_at: float
    back_at: float

    @property
    def complete(self) -> tuple[float, float]:
        """While there was none at all."""
        return self.gone_at, self.asked_at


class Callers:
    """One who writes, one who reads what no cache holds, and one who reads what a cache does."""

    def __init__(self, session: aiohttp.ClientSession, server: Served) -> None:
        self.posts = Caller(session, "POST", f"{server.url}{API}/events", EVENT)
        self.reads = Caller(session, "GET", f"{server.url}{API}/events")
        self.views = Caller(session, "GET", f"{server.url}{API}/dashboard/overview")

    @asynccontextmanager
    async def calling(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(caller.run()) for caller in (self.posts, self.reads, self.views)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("kind", KINDS if LONG else ["crash"])
async def test_all_is_well_again_soon_after_the_database_is_back(kind: str, template: Path, figures: Figures) -> None:
    async with system(template, **LEASES) as made, Receiver() as receiver, made.session() as session:
        (server,), (worker,) = await made.start(servers=1, workers=1)
        answer = await server.client.call("POST", "webhooks", json={"name": "good", "url": receiver.url})
        callers = Callers(session, server)
        async with callers.calling():
            await receiver.takes(10)
            await eventually(lambda: callers.views.answers)
            outage = await away(made, KINDS[kind])
            await eventually(lambda: callers.posts.first(202, outage.back_at))
            await eventually(lambda: receiver.requests[-1].at > (callers.posts.first(202, outage.back_at) or 0))
            await eventually(lambda: "stale" not in callers.views.answers[-1][3])
        await made.nothing_waits()
        judge_times(figures, f"database {kind}", outage, callers, receiver)
        judge_answers(callers, outage)
        accepted = {body["id"] for _, _, status, body in callers.posts.answers if status == 202}
        assert accepted <= set(receiver.ids)
        assert (await server.client.read(f"webhooks/{answer.json()['id']}"))["health"]["status"] == "healthy"
        assert made.database.recovered == (KINDS[kind] is signal.SIGQUIT)
        assert (server.process.process.returncode, worker.process.returncode) == (None, None)
        assert made.errors() == []


async def away(made: System, how: signal.Signals) -> Outage:
    """Have no database for a while."""
    told_at = time.monotonic()
    await made.database.stop(how)
    gone_at = time.monotonic()
    await asyncio.sleep(AWAY_S)
    return Outage(told_at, gone_at, time.monotonic(), await made.database.start())


def judge_times(figures: Figures, name: str, outage: Outage, callers: Callers, receiver: Receiver) -> None:
    accepted_at = callers.posts.first(202, outage.back_at)
    assert accepted_at is not None
    delivered_at = next(request.at for request in receiver.requests if request.at > outage.back_at)
    everyone = (callers.posts, callers.reads, callers.views)
    slowest_s = max(caller.slowest_s(outage.told_at, outage.back_at) for caller in everyone)
    refused = callers.posts.statuses(*outage.complete)[503]
    marked = sum("stale" in body for _, _, _, body in callers.views.between(*outage.complete))
    figures.at_most(API_BACK_S, f"{name}: back to the first 202", accepted_at - outage.back_at, "s")
    figures.at_most(WORKERS_BACK_S, f"{name}: back to the first delivery", delivered_at - outage.back_at, "s")
    figures.at_most(FAST_S, f"{name}: slowest request meanwhile", slowest_s, "s")
    figures.note(f"{name}: posts answered 503 meanwhile", refused, "posts")
    figures.at_least(1, f"{name}: cached views answered meanwhile, marked stale", marked, "answers")


def judge_answers(callers: Callers, outage: Outage) -> None:
    for caller in (callers.posts, callers.reads):
        assert set(caller.statuses(*outage.complete)) == {503}
        assert set(caller.statuses(0, time.monotonic())) <= {200, 202, 503}
    assert set(callers.views.statuses(0, time.monotonic())) == {200}
    # Once what was fresh has aged, every answer says so.
    marks = ["stale" in body for _, _, _, body in callers.views.between(*outage.complete)]
    assert marks == sorted(marks)
