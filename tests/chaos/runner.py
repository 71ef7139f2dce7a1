"""Runs the chaos of one seed and judges it: ``python -m tests.chaos --minutes 10 --seed 7``."""

from __future__ import annotations

import argparse
import asyncio
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import parse_qs, urlsplit

from benchmarks.support import scratch
from tests.chaos.checks import Check, Journals, judge
from tests.chaos.faults import LEASE_S, Chaos
from tests.chaos.feed import Follower
from tests.chaos.people import AT_ONCE, People
from tests.chaos.plan import LANES, Step, plan
from tests.chaos.producer import WIDE, JournalingProducer
from tests.chaos.proxy import Connect, proxy
from tests.chaos.receivers import Hook, hook
from tests.chaos.state import (
    Footprint,
    api_agrees,
    ended,
    everyone_ready,
    feed_is_whole,
    keys_repeat,
    log_is_clean,
    nothing_leaked,
    queues_drain,
)
from tests.faults.system import POOLER_WAIT_S, System, make_template, system
from tests.pgbouncer import POOLER, asked_for, if_asked_for, through

SHORT_MINUTES = 0.75
SHORT_SEED = 216
"""Meets most kinds of faults in the short form."""

STUCK_S = 150.0
DRAINED_S = 1_800.0
BATCHES_PER_STEP = 2
PRODUCED_S = 60.0
LONG_SCHEDULE = {"schedule_s": [0.0, *[1.0] * 49], "jitter_ratio": 0.2}
SHORT_SCHEDULE = {"schedule_s": [0.0, 0.5, 0.5], "jitter_ratio": 0.2}

WEBHOOKS: dict[str, tuple[dict[str, Any], float]] = {
    # Name of the receiver: members of its webhook, and the longest time of its good answers.
    "plain0": ({"event_types": ["chaos.0", "chaos.1"]}, 0.03),
    "plain1": ({"event_types": ["chaos.2", "chaos.3"]}, 0.03),
    "plain2": ({"event_types": ["chaos.0"]}, 0.3),
    "ordered0": ({"event_types": ["chaos.1", WIDE], "ordered": True}, 0.03),
    "ordered1": ({"event_types": ["chaos.2"], "ordered": True}, 0.06),
    "limited0": ({"event_types": ["chaos.3"], "rate_limit": {"per_s": 12, "burst": 6}}, 0.03),
    "limited1": ({"event_types": ["chaos.0"], "rate_limit": {"per_s": 20, "burst": 2}}, 0.03),
    "small0": ({"event_types": ["chaos.1"], "max_concurrency": 2}, 0.2),
    "small1": ({"event_types": ["chaos.2"], "max_concurrency": 1}, 0.05),
    "hostile0": ({"event_types": ["chaos.0"]}, 0.03),
    "hostile1": ({"event_types": ["chaos.1"]}, 0.03),
    "hostile2": ({"event_types": ["chaos.2"], "retry": SHORT_SCHEDULE}, 0.03),
    "hostile3": ({"event_types": ["chaos.3"], "max_concurrency": 3}, 0.03),
    "keyed0": ({"event_types": ["chaos.0", "chaos.3", WIDE], "ordered": "key", "max_concurrency": 4}, 0.06),
    "keyed1": ({"event_types": ["chaos.1"], "ordered": "key", "max_concurrency": 2}, 0.1),
    "probed0": ({"event_types": ["chaos.1"], "reenable": "probe"}, 0.03),
}
MANY = 100
"""Webhooks beside them, to which all events of one type go."""
SPARE = 12
SERVERS, WORKERS = 2, 2
LEASES = {"WORKER__LEASE_S": str(LEASE_S), "WORKER__RENEW_S": "1", "LOG__FORMAT": "json"}


@asynccontextmanager
async def world(seed: int, directory: Path) -> AsyncIterator[Chaos]:
    """The system with its proxies, receivers and webhooks, all well and busy."""
    await make_template(directory)
    rng = Random(seed)
    async with AsyncExitStack() as stack:
        made = await stack.enter_async_context(system(directory, **LEASES))
        database = await stack.enter_async_context(proxy(_unix(made)))
        redis = await stack.enter_async_context(proxy(_tcp(made.redis.url)))
        database_url = f"postgresql://postgres@127.0.0.1:{database.port}{urlsplit(made.database.dsn).path}"
        pooler = stack.enter_context(if_asked_for(database_url, wait_s=POOLER_WAIT_S))
        database_url, direct_url = through(database_url)
        made.configure(
            DATABASE_URL=database_url,
            **({} if direct_url is None else {"DB__DIRECT_URL": direct_url}),
            REDIS_URL=f"redis://127.0.0.1:{redis.port}/0",
        )
        servers, workers = await made.start(SERVERS, WORKERS)
        spare = [await stack.enter_async_context(hook(f"passing{i}", _child(rng))) for i in range(SPARE)]
        people = People(servers, spare)
        hostile: list[Hook] = []
        for name, (members, delay_s) in WEBHOOKS.items():
            made_hook = await stack.enter_async_context(hook(name, _child(rng), delay_s))
            await people.register(made_hook, **{"timeout_s": 4, "retry": LONG_SCHEDULE} | members)
            hostile += [made_hook] if name.startswith("hostile") else []
        wide = [await stack.enter_async_context(hook(f"wide{i}", _child(rng))) for i in range(MANY)]
        for first in range(0, MANY, AT_ONCE):
            members = {"event_types": [WIDE], "timeout_s": 4, "retry": LONG_SCHEDULE}
            await asyncio.gather(*(people.register(one, **members) for one in wide[first : first + AT_ONCE]))
        yield Chaos(made, servers, workers, database, redis, people, hostile, pooler)


def _child(rng: Random) -> Random:
    return Random(rng.getrandbits(64))


def _unix(made: System) -> Connect:
    folder = parse_qs(urlsplit(made.database.dsn).query)["host"][0]
    return lambda: asyncio.open_unix_connection(f"{folder}/.s.PGSQL.5432")


def _tcp(url: str) -> Connect:
    port = urlsplit(url).port
    return lambda: asyncio.open_connection("127.0.0.1", port)


async def harm(chaos: Chaos, steps: Sequence[Step], producer: JournalingProducer) -> None:
    """Carry out *steps*, lane beside lane; one that cannot be carried out is a violation, and the next one follows."""
    began_at = time.monotonic()

    async def play(lane: str) -> None:
        for step in [one for one in steps if one.lane == lane]:
            await asyncio.sleep(max(0.0, began_at + step.at_s - time.monotonic()))
            # As much traffic for each step, however slow the machine is.
            producer.allow(BATCHES_PER_STEP)
            try:
                await chaos.do(step)
            except Exception as error:  # noqa: BLE001 - reported with the others
                chaos.failures.append(f"{step}: {type(error).__name__}: {error}"[:600])

    await asyncio.gather(*map(play, LANES))


async def judged(chaos: Chaos, seed: int, steps: Sequence[Step]) -> list[Check]:
    """Harm *chaos* under traffic, let it heal, and judge it."""
    before = {"serve": Footprint.of(chaos.servers[0].process), "work": Footprint.of(chaos.workers[0])}
    bases = [f"ws://127.0.0.1:{server.port}" for server in chaos.servers]
    followers = [Follower(f"client {i}", bases, chaos.system.token, i) for i in range(2)]
    following = [asyncio.create_task(follower.follow()) for follower in followers]
    try:
        async with chaos.system.session() as session:
            producer = JournalingProducer(session, chaos.servers, Random(seed + 1))
            producing = asyncio.create_task(producer.run())
            await harm(chaos, steps, producer)
            say(f"healed at {datetime.now(UTC):%H:%M:%S}; the traffic ends")
            heal(chaos)
            producer.stop()
            async with asyncio.timeout(PRODUCED_S):
                await producing
            checks = [await queues_drain(chaos, STUCK_S, DRAINED_S)]
            note_disabled(chaos)
            stored = await ended(chaos.system)
            deaths = sum(chaos.done[name] for name in ("kill_worker", "stop_worker", "crash_database"))
            checks += judge(Journals(producer.all, chaos.people.webhooks, deaths), stored)
            checks += [
                await api_agrees(chaos, producer, stored),
                await keys_repeat(producer),
                await feed_is_whole(chaos, followers),
                await everyone_ready(chaos),
            ]
            unexpected = [*producer.unexpected, *chaos.people.unexpected]
            calls = chaos.people.answers.total() + len(producer.all)
            checks.append(Check("no answer that no user should get", calls, unexpected))
    finally:
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)
    checks += [await nothing_leaked(chaos, before), log_is_clean(chaos)]
    checks.append(Check("every step could be carried out", len(steps), chaos.failures))
    say(f"posts refused {producer.refused}, broken {producer.broken}; answers {dict(chaos.people.answers)}")
    say(f"followers: {[(f.connections, f.snapshots, f.frames, len(f.seen)) for f in followers]}")
    return checks


def heal(chaos: Chaos) -> None:
    """End what still goes on; each fault of a store has ended itself."""
    for one in chaos.hostile:
        one.mood = "ok"


def note_disabled(chaos: Chaos) -> None:
    """From its first 410 until it was enabled again, at the end, a webhook may not have been a subscriber."""
    for webhook in chaos.people.webhooks:
        gone = [request.at for request in webhook.hook.journal if request.gone]
        if gone:
            webhook.unsure.append((min(gone), time.monotonic()))


def say(text: str) -> None:
    print(text, flush=True)


def report(checks: Sequence[Check], seed: int, minutes: float) -> int:
    """Print the table; return the exit code."""
    say("\n   tried  violations  check")
    for check in checks:
        say(f"{check.tried:8}  {len(check.violations):10}  {check.name}")
    for check in checks:
        for violation in check.violations[:5]:
            say(f"\nVIOLATION ({check.name}): {violation}")
    bad = sum(len(check.violations) for check in checks)
    command = f"{POOLER}=pgbouncer nox" if asked_for() else "nox"
    say(f"\nseed {seed}: {bad} violations; again by: {command} -s chaos -- --minutes {minutes:g} --seed {seed}")
    return 1 if bad else 0


async def run(seed: int, minutes: float) -> int:
    steps = plan(seed, minutes * 60, pooled=asked_for())
    say(f"chaos of seed {seed}, {minutes:g} minutes:")
    for step in steps:
        say(f"  {step}")
    with scratch() as directory:
        async with world(seed, directory / "template") as chaos:
            checks = await judged(chaos, seed, steps)
    return report(checks, seed, minutes)


def main() -> int:
    parser = argparse.ArgumentParser(prog="nox -s chaos --", description=__doc__)
    parser.add_argument("--minutes", type=float, default=SHORT_MINUTES, help="how long the faults go on")
    parser.add_argument("--seed", type=int, default=SHORT_SEED, help="what happens")
    arguments = parser.parse_args()
    # What a time limit ends, too, ends what it has started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return asyncio.run(run(arguments.seed, arguments.minutes))
