"""What is asked of the running system once everything has healed: nothing waits, leaks, or went wrong in the log."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from uuid import UUID

import psutil

from tests.chaos.checks import SYSTEM, Check, Ended
from tests.chaos.faults import Chaos
from tests.chaos.feed import Follower
from tests.chaos.producer import JournalingProducer
from tests.faults.system import System
from tests.integration.processes import Running
from tests.integration.support import eventually

MORE_FILES = 60
"""Open files beyond those at the begin: pooled connections to receivers, database and Redis."""

MORE_MIB = 96
CONNECTIONS = 24
"""To the database, of one process: two pools of 8, those reserved, one that listens."""

CLOSED_KEPT = {"database": 0, "Redis": 16, "another peer": 0}
"""Connections that the peer closed. The pool of the Redis client notices it when it takes one the next time, and takes
the one that was used last, so as many as it has may be kept; all others are closed with their peer."""

SETTLED_S = 90.0

SYSTEM_IDS = 1 << 8
"""Below it, an id is of no webhook."""

QUEUES = {
    "deliveries": "SELECT count(*) FROM deliveries",
    "event outbox": "SELECT count(*) FROM event_outbox",
    "alert notifications": "SELECT count(*) FROM alert_notifications",
    "fan-outs": "SELECT count(*) FROM fan_outs",
    "unfinished jobs": "SELECT count(*) FROM jobs WHERE finished_at IS NULL",
    "probes of webhooks that are disabled": "SELECT count(*) FROM webhooks WHERE probe_at IS NOT NULL AND NOT enabled",
    "transactions left open": (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE application_name LIKE 'monitor %' AND xact_start < clock_timestamp() - interval '12 s'"
    ),
}
LOST_CONNECTIONS = (
    "swallow_database", "swallow_transaction", "cut_database", "cut_transaction", "crash_database", "kill_pooler",
)  # fmt: skip
EXPLAINED = {
    "row_unreadable": ("poison",),
    "lease_renewal_stopped": ("swallow_transaction", "stop_worker"),
    "attempts_not_made": ("stop_worker",),
    # A rollback, or the end of a connection, that the database did not answer in time.
    "Resetting connection with an active transaction": LOST_CONNECTIONS,
    "Exception closing connection": LOST_CONNECTIONS,
    "Exception terminating connection": LOST_CONNECTIONS,
    # A request waits for a database that does not answer; its client gets a 503.
    "Cancel ": ("restart_server",),
}
"""Errors in the log that a fault explains, by the begins of the event and of the fault. The leases here are shorter
than the time for which a process that sleeps or vanished inside a transaction keeps the lanes that it has locked."""


@dataclass(frozen=True)
class Footprint:
    """What a process holds."""

    files: int
    mib: float

    @classmethod
    def of(cls, process: Running) -> Footprint:
        found = psutil.Process(process.pid)
        return cls(found.num_fds(), found.memory_info().rss / 2**20)


async def holds_in_time(holds: Callable[[], Awaitable[bool]], within_s: float = SETTLED_S) -> bool:
    try:
        await eventually(holds, within_s=within_s)
    except AssertionError:
        return False
    return True


async def queues_drain(chaos: Chaos, stuck_s: float, within_s: float) -> Check:
    """Wait until nothing waits, doing what an operator does meanwhile. What does not shrink for *stuck_s* is stuck: how
    long the rest takes is a matter of the machine."""
    check = Check("nothing is stuck: queues, outboxes, fan-outs, jobs, probes, transactions")
    left: dict[str, int] = {}
    least, shrunk_at = math.inf, time.monotonic()

    async def empty() -> bool:
        nonlocal least, shrunk_at
        await chaos.people.recover()
        for name, sql in QUEUES.items():
            left[name] = await chaos.system.database.value(sql)
        if sum(left.values()) < least:
            least, shrunk_at = sum(left.values()), time.monotonic()
        if any(left.values()) and time.monotonic() < shrunk_at + stuck_s:
            await asyncio.sleep(1.0)
            return False
        return True

    await eventually(empty, within_s=within_s)
    for name, count in left.items():
        check.expect(count == 0, f"{count} {name} left: {await _sample(chaos.system, name)}")
    return check


async def _sample(system: System, name: str) -> str:
    if name != "deliveries":
        return ""
    sql = (
        "SELECT d.*, l.breaker_state, l.breaker_until, l.throttled_until, w.name, w.enabled, w.paused_at, now()"
        " FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id JOIN webhook_lanes l ON l.webhook_id = w.id LIMIT 3"
    )
    return str([dict(row) for row in await system.database.fetch(sql)])


async def ended(system: System) -> Ended:
    fetch = system.database.fetch
    events = await fetch("SELECT id::text, payload FROM events WHERE type LIKE 'chaos.%'")
    deliveries = await fetch(
        "SELECT id::text, event_id::text, webhook_id::text, state, attempts, last_status_code, last_error"
        " FROM deliveries_finished UNION ALL"
        " SELECT id::text, event_id::text, webhook_id::text, 'pending', attempts, last_status_code, last_error"
        " FROM deliveries"
    )
    # What a probe finds counts for no rollup.
    attempts = await fetch(
        "SELECT id::text, webhook_id::text, event_id::text, status_code, error FROM attempts WHERE kind <> 'test'"
    )
    rollups = await fetch("SELECT webhook_id::text AS id, bucket_at, attempts, failures FROM rollups_minute")
    jobs = await fetch("SELECT id::text, kind, state, error FROM jobs")
    minutes: dict[tuple[str, int], tuple[int, int]] = {}
    for row in rollups:
        # The sum over some rows stands for the whole system.
        minute = SYSTEM if UUID(row["id"]).int < SYSTEM_IDS else row["id"], int(row["bucket_at"].timestamp()) // 60
        attempts_made, failures = minutes.get(minute, (0, 0))
        minutes[minute] = attempts_made + row["attempts"], failures + row["failures"]
    return Ended(
        [(row["id"], json.loads(row["payload"])["serial"]) for row in events],
        [dict(row) for row in deliveries],
        [dict(row) for row in attempts],
        minutes,
        [dict(row) for row in jobs],
    )


async def api_agrees(chaos: Chaos, producer: JournalingProducer, stored: Ended) -> Check:
    """What the API shows of the last events is what is stored."""
    check = Check("the API shows the stored states")
    states: dict[str, Counter[str]] = {}
    for row in stored.deliveries:
        states.setdefault(row["event_id"], Counter())[row["state"]] += 1
    last = producer.all[-20:]
    # One page has all deliveries of an event, also of one for many webhooks.
    paths = [f"deliveries?limit=200&event_id={promise.id}" for promise in last]
    answers = await asyncio.gather(*(chaos.people.call("GET", path) for path in paths))
    for promise, answer in zip(last, answers, strict=True):
        shown, expected = answer.json()["items"], states.get(promise.id, Counter())
        check.expect(Counter(item["state"] for item in shown) == expected, f"event {promise.id}: {shown}, {expected}")
    return check


async def keys_repeat(producer: JournalingProducer) -> Check:
    check = Check("a repeated key answers the same events")
    numbers = [*producer.promises][:: max(1, len(producer.promises) // 30)]
    for number, again in zip(numbers, await asyncio.gather(*map(producer.post, numbers)), strict=True):
        check.expect(again == [promise.id for promise in producer.promises[number]], f"key chaos-{number}")
    return check


async def feed_is_whole(chaos: Chaos, followers: list[Follower]) -> Check:
    check = Check("live feed: no gap, repeat or difference within an epoch, and the right state in the end")
    first, second = followers
    for follower in followers:
        check.tried += follower.frames
        check.violations += follower.violations
    for key in first.seen.keys() & second.seen.keys():
        check.expect(first.seen[key] == second.seen[key], f"{key}: {first.seen[key]} and {second.seen[key]}")
    wrong: list[str] = []

    async def current() -> bool:
        wrong.clear()
        alive = [webhook for webhook in chaos.people.webhooks if webhook.alive]
        for webhook, shown in zip(alive, await chaos.people.shown(alive), strict=True):
            health = shown["health"]["status"]
            for follower in followers:
                known = follower.statuses.get(webhook.id)
                if known is not None and known != health:
                    wrong.append(f"{follower.name}: {webhook.hook.name} is {health}, the feed says {known}")
        return not wrong

    await holds_in_time(current)
    check.tried += len(chaos.people.webhooks)
    check.violations += wrong
    return check


async def nothing_leaked(chaos: Chaos, before: dict[str, Footprint]) -> Check:
    check = Check("nothing leaked: files, memory, connections")
    running = {"serve": [server.process for server in chaos.servers], "work": chaos.workers}
    for role, processes in running.items():
        for process in processes:
            alive = process.process.returncode is None
            check.expect(alive, f"{role} {process.pid} ended")
            if alive:
                await _bounded(chaos, check, role, process, before[role])
    if chaos.unlogged is not None:
        check.expect(chaos.unlogged.process.returncode is None, "the worker with an unwritable log ended")
    count = len(running["serve"]) + len(running["work"]) + (chaos.unlogged is not None)
    sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'monitor %'"
    check.expect(
        await holds_in_time(lambda: _at_most(chaos.system, sql, CONNECTIONS * count)), "connections to the database"
    )
    return check


async def _at_most(system: System, sql: str, bound: int) -> bool:
    return bool(await system.database.value(sql) <= bound)


async def _bounded(chaos: Chaos, check: Check, role: str, process: Running, before: Footprint) -> None:
    async def few() -> bool:
        return Footprint.of(process).files <= before.files + MORE_FILES

    fits = await holds_in_time(few)
    now = Footprint.of(process)
    check.expect(fits, f"{role} {process.pid}: {now.files} open files, {before.files} at the begin")
    check.expect(now.mib <= before.mib + MORE_MIB, f"{role} {process.pid}: {now.mib:.0f} MiB, {before.mib:.0f} before")
    closed: Counter[str] = Counter()

    async def dropped() -> bool:
        closed.clear()
        closed.update(_closed_by_peers(chaos, process))
        return all(closed[peer] <= most for peer, most in CLOSED_KEPT.items())

    kept = await holds_in_time(dropped)
    check.expect(kept, f"{role} {process.pid}: connections that the peer closed are kept: {dict(closed)}")


def _closed_by_peers(chaos: Chaos, process: Running) -> Iterator[str]:
    names = dict.fromkeys(chaos.database_ports, "database") | {chaos.redis_proxy.port: "Redis"}
    for connection in psutil.Process(process.pid).net_connections("tcp"):
        if connection.status == psutil.CONN_CLOSE_WAIT:
            yield names.get(connection.raddr.port, "another peer")


async def everyone_ready(chaos: Chaos) -> Check:
    check = Check("every server is ready")
    for server in chaos.servers:
        check.expect(await holds_in_time(server.client.ready), f"port {server.port}")
    return check


def log_is_clean(chaos: Chaos) -> Check:
    check = Check("nothing in the logs that no fault explains")
    for log in chaos.system.logs:
        for line in log.read_text().splitlines():
            check.expect(_explained(chaos, line), f"{log.name}: {line[:1500]}")
    return check


def _explained(chaos: Chaos, line: str) -> bool:
    try:
        entry = json.loads(line)
    except ValueError:
        # A process that begins during an outage may end with one line.
        return chaos.exits > 0 and line.startswith("monitor ")
    if entry.get("level") not in {"error", "critical"}:
        return True
    event = entry.get("event", "")
    faults = tuple(fault for begin, explaining in EXPLAINED.items() if event.startswith(begin) for fault in explaining)
    return any(name.startswith(faults) for name in chaos.done)
