"""A database that goes away and comes back: what callers see meanwhile, and how soon all is well without a restart."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from benchmarks.support import Figures
from tests.faults.system import Served, System, system
from tests.integration.cache.processes import LONG
from tests.integration.support import API, Receiver, eventually

AWAY_S = 10.0 if LONG else 6.0
"""Longer than a view of the dashboard is fresh."""

KINDS = {"restart": signal.SIGINT, "crash": signal.SIGQUIT}
LEASES = {} if LONG else {"WORKER__LEASE_S": "6", "WORKER__RENEW_S": "2"}
"""What was claimed just when the database went away may be nobody's for one lease."""

API_BACK_S = 5.0
WORKERS_BACK_S = 10.0
FAST_S = 2.5
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

    def first(self, status: int, since: float) -> float:
        """Return when the first such answer came to a request made after *since*."""
        return next(ended for started, ended, got, _ in self.answers if started >= since and got == status)


@pytest.mark.parametrize("name", KINDS if LONG else ["crash"])
async def test_all_is_well_again_soon_after_the_database_is_back(name: str, template: Path, figures: Figures) -> None:
    how = KINDS[name]
    async with system(template, **LEASES) as made, Receiver() as receiver, made.session() as session:
        (server,), (worker,) = await made.start(servers=1, workers=1)
        webhook = {"name": "good", "url": receiver.url}
        id_ = (await server.client.call("POST", "webhooks", json=webhook)).json()["id"]
        posts = Caller(session, "POST", f"{server.url}{API}/events", EVENT)
        reads = Caller(session, "GET", f"{server.url}{API}/events")
        views = Caller(session, "GET", f"{server.url}{API}/dashboard/overview")
        calling = [asyncio.create_task(caller.run()) for caller in (posts, reads, views)]
        try:
            await receiver.takes(10)
            await eventually(lambda: views.answers)
            gone_at, asked_at, back_at = await away(made, how)
            await eventually(lambda: 202 in posts.statuses(back_at, time.monotonic()))
            resumed_at = posts.first(202, back_at)
            await eventually(lambda: receiver.requests[-1].at > resumed_at)
            await eventually(lambda: "stale" not in views.answers[-1][3])
        finally:
            for task in calling:
                task.cancel()
            await asyncio.gather(*calling, return_exceptions=True)
        await made.nothing_waits()
        delivered_at = next(request.at for request in receiver.requests if request.at > back_at)
        meanwhile = gone_at, asked_at
        marks = ["stale" in body for _, _, _, body in views.between(*meanwhile)]
        slowest_s = max(caller.slowest_s(*meanwhile) for caller in (posts, reads, views))
        figures.at_most(API_BACK_S, f"{name} of PostgreSQL: API accepts again after it does", resumed_at - back_at, "s")
        figures.at_most(WORKERS_BACK_S, f"{name}: workers deliver again", delivered_at - back_at, "s")
        figures.at_most(FAST_S, f"{name}: slowest request meanwhile", slowest_s, "s")
        figures.note(f"{name}: requests answered 503 meanwhile", posts.statuses(*meanwhile)[503], "requests")
        figures.at_least(1, f"{name}: cached views answered meanwhile, marked stale", sum(marks), "answers")
        for caller in (posts, reads):
            assert set(caller.statuses(*meanwhile)) == {503}
        # Once what was fresh has aged, every answer says so.
        assert marks == sorted(marks)
        assert set(views.statuses(0, time.monotonic())) == {200}
        assert made.database.recovered == (how is signal.SIGQUIT)
        await judge(made, server, id_, posts, receiver)
        assert (server.process.process.returncode, worker.process.returncode) == (None, None)


async def away(made: System, how: signal.Signals) -> tuple[float, float, float]:
    """Have no database for a while; return when it was gone, was asked to come back, and took connections again."""
    await made.database.stop(how)
    gone_at = time.monotonic()
    await asyncio.sleep(AWAY_S)
    asked_at = time.monotonic()
    return gone_at, asked_at, await made.database.start()


async def judge(made: System, server: Served, id_: str, posts: Caller, receiver: Receiver) -> None:
    """What was accepted before and after was delivered, and nothing unforeseen happened."""
    accepted = {body["id"] for _, _, status, body in posts.answers if status == 202}
    assert accepted <= set(receiver.ids)
    assert (await server.client.read(f"webhooks/{id_}"))["health"]["status"] == "healthy"
    assert made.errors() == []
