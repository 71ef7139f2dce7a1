"""
Every event that was answered 202 is delivered, whatever dies in between; and without faults, once.

A third of the webhooks lead to receivers that break the rules of HTTP. What counts is what receivers have read.
"""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.receivers import Count, Receivers, receivers
from benchmarks.support import Figures
from tests.faults.producer import BATCH, Producer, subscribe
from tests.faults.rude_receivers import RETRY, RUDE, read_by, rude_receivers
from tests.faults.system import PATIENCE_S, Served, System, system
from tests.integration.cache.processes import LONG
from tests.integration.processes import Running
from tests.integration.raw_receivers import Receiver
from tests.integration.support import eventually

POLITE = 2 * len(RUDE)
WEBHOOKS = POLITE + len(RUDE)
WORKERS = 3 if LONG else 2
SERVERS = 2
EVENTS = 100_000 if LONG else 3_000
TO_POLITE = sum(number % WEBHOOKS < POLITE for number in range(EVENTS))
KILLS = 20 if LONG else 2
RESTARTS = (signal.SIGINT, signal.SIGQUIT, signal.SIGINT) if LONG else (signal.SIGQUIT,)
REDIS_KILLS = 2 if LONG else 1
SERVER_KILLS = 2 if LONG else 1
AWAY_S = 1.0
MET = 1 if LONG else 0
"""How often somebody must have been met by a fault; in the short form that is left to chance."""

LEASES = {} if LONG else {"WORKER__LEASE_S": "4", "WORKER__RENEW_S": "1"}
"""The short form does not wait half a minute for what dead workers hold; :mod:`test_takeover` does."""

Fault = Callable[[], Awaitable[None]]

ATTEMPTS = "SELECT count(*) FROM attempts WHERE event_type = ANY($1)"
SUCCEEDED = """
SELECT event_id, count(*) AS n FROM attempts WHERE event_type = ANY($1) AND error IS NULL GROUP BY event_id
"""


class Harm:
    """What can be done to a running system, and how often it was done."""

    def __init__(self, system: System, servers: list[Served], workers: list[Running]) -> None:
        self.orphaned = 0
        self.recoveries = 0
        self.done: Counter[str] = Counter()
        self._system = system
        self._servers = servers
        self._workers = workers

    async def kill_worker(self) -> None:
        self.done["worker"] += 1
        victim = self._workers.pop(0)
        await victim.stop(signal.SIGKILL)
        self.orphaned += await self._system.held_by(victim)
        self._workers.append(await self._system.work())

    async def kill_server(self) -> None:
        self.done["server"] += 1
        victim = self._servers.pop(0)
        await victim.process.stop(signal.SIGKILL)
        self._servers.append(await self._system.serve(victim.port))

    async def kill_redis(self) -> None:
        self.done["redis"] += 1
        await self._system.redis.kill()
        await asyncio.sleep(AWAY_S)
        await self._system.redis.start()

    async def restart_database(self, how: signal.Signals) -> None:
        self.done["database"] += 1
        await self._system.database.stop(how)
        await asyncio.sleep(AWAY_S)
        await self._system.database.start()
        self.recoveries += self._system.database.recovered

    def plan(self) -> list[Fault]:
        """Return every fault, the rare ones spread among the many."""
        rare: list[Fault] = [lambda how=how: self.restart_database(how) for how in RESTARTS]  # type: ignore[misc]
        rare += [self.kill_redis] * REDIS_KILLS + [self.kill_server] * SERVER_KILLS
        faults: list[Fault] = [self.kill_worker] * KILLS
        for i, fault in enumerate(rare):
            faults.insert((i + 1) * len(faults) // (len(rare) + 1), fault)
        return faults


async def test_every_accepted_event_is_delivered_whatever_dies(template: Path, figures: Figures) -> None:
    async with (
        system(template, **LEASES) as made,
        receivers(POLITE, made.directory / "receivers.log") as targets,
        rude_receivers() as rude,
    ):
        servers, workers = await made.start(SERVERS, WORKERS)
        harm = Harm(made, servers, workers)
        async with made.session() as session:
            await subscribe(session, servers[0], targets.urls)
            await subscribe(session, servers[0], [one.url() for one in rude], first=POLITE, retry=RETRY)
            producer = Producer(session, servers, WEBHOOKS)
            await harmed(producer, harm.plan())
            await made.nothing_waits()
            repeated = [number for number in list(producer.accepted)[::10] if await changes(producer, number)]
        count = await judge(figures, made, targets, rude, producer, "under faults")
    figures.at_least(KILLS, "under faults: worker kills (-9)", harm.done["worker"], "kills")
    figures.at_least(len(RESTARTS), "under faults: database restarts", harm.done["database"], "restarts")
    figures.at_least(
        RESTARTS.count(signal.SIGQUIT),
        "under faults: of these, crashes that needed recovery",
        harm.recoveries,
        "restarts",
    )
    figures.at_least(REDIS_KILLS, "under faults: Redis kills (-9)", harm.done["redis"], "kills")
    figures.at_least(SERVER_KILLS, "under faults: server kills (-9)", harm.done["server"], "kills")
    figures.at_least(MET, "under faults: deliveries in the hands of killed workers", harm.orphaned, "deliveries")
    figures.at_least(MET, "under faults: posts answered 503, and repeated", producer.refused, "posts")
    figures.at_least(MET, "under faults: posts whose connection broke, and repeated", producer.broken, "posts")
    figures.at_most(0, "under faults: keys that answer something else when posted again", len(repeated), "keys")
    figures.note(
        "under faults: requests to polite receivers beyond one per delivery", count.requests - TO_POLITE, "requests"
    )


async def harmed(producer: Producer, faults: list[Fault]) -> None:
    """Post everything in as many portions as there are faults; each fault meets the middle of its portion."""
    batches = EVENTS // BATCH
    posting = asyncio.create_task(producer.post_all(batches))
    try:
        for i, fault in enumerate(faults):
            begin, end = i * batches // len(faults), (i + 1) * batches // len(faults)
            producer.allow(end - begin)
            await reached(producer, posting, (begin + end) // 2)
            await fault()
            await reached(producer, posting, end)
    finally:
        if not posting.done():
            posting.cancel()
    await posting


async def reached(producer: Producer, posting: asyncio.Task[None], batches: int) -> None:
    """Wait until so many batches are accepted, or none will be any more."""
    await eventually(lambda: posting.done() or len(producer.accepted) >= batches, within_s=PATIENCE_S)


async def changes(producer: Producer, number: int) -> bool:
    return await producer.post(number) != producer.accepted[number]


async def test_without_faults_every_event_is_delivered_once(template: Path, figures: Figures) -> None:
    async with (
        system(template) as made,
        receivers(POLITE, made.directory / "receivers.log") as targets,
        rude_receivers() as rude,
    ):
        servers, _ = await made.start(SERVERS, WORKERS)
        async with made.session() as session:
            await subscribe(session, servers[0], targets.urls)
            await subscribe(session, servers[0], [one.url() for one in rude], first=POLITE, retry=RETRY)
            producer = Producer(session, servers, WEBHOOKS)
            producer.allow(EVENTS // BATCH)
            await producer.post_all(EVENTS // BATCH)
            await made.nothing_waits()
        count = await judge(figures, made, targets, rude, producer, "without faults")
    figures.at_most(
        0,
        "without faults: requests to polite receivers beyond one per delivery",
        count.requests - TO_POLITE,
        "requests",
    )
    assert (producer.refused, producer.broken) == (0, 0)


async def judge(
    figures: Figures, made: System, targets: Receivers, rude: list[Receiver], producer: Producer, when: str
) -> Count:
    """Compare what was promised, what is stored and what arrived; return what polite receivers counted."""
    read = read_by(rude)
    promised, arrived = set(producer.ids), (await targets.arrivals()).keys() | read.keys()
    stored, serials = (
        await made.database.fetch("SELECT count(*), count(DISTINCT payload) FROM events WHERE type LIKE 'fault.%'")
    )[0]
    states = {
        row["state"]: row["n"]
        for row in await made.database.fetch("SELECT state, count(*) AS n FROM deliveries_finished GROUP BY state")
    }
    succeeded = {
        str(row["event_id"]): row["n"]
        for row in await made.database.fetch(SUCCEEDED, [f"fault.{n}" for n in range(POLITE, WEBHOOKS)])
    }
    unread = sum(max(0, n - read[event]) for event, n in succeeded.items())
    attempts = await made.database.value(ATTEMPTS, [f"fault.{n}" for n in range(POLITE)])
    figures.at_least(EVENTS, f"{when}: events answered 202", len(promised), "events")
    figures.at_most(0, f"{when}: of these, never seen by their receiver", len(promised - arrived), "events")
    figures.at_most(0, f"{when}: of these, not `delivered` in the end", EVENTS - states.get("delivered", 0), "events")
    figures.at_most(0, f"{when}: attempts that succeeded without being read by a rude receiver", unread, "attempts")
    figures.at_most(0, f"{when}: events stored twice, or without a 202", stored - len(promised), "events")
    figures.at_most(0, f"{when}: errors in the logs", len(made.errors()), "lines")
    assert stored == serials
    assert states.keys() == {"delivered"}
    assert all(one.requests for one in rude)
    count = await targets.count()
    # One attempt for each request, but for those whose worker was killed before it had settled them.
    assert TO_POLITE <= attempts <= count.requests
    assert made.errors() == []
    return count
