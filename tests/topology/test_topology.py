"""Under load one part of each kind is killed, and the primary fails over: nothing is lost, and nothing is restarted."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import structlog

from benchmarks.receivers import receivers
from tests.chaos.feed import Follower
from tests.faults.system import admin_token
from tests.integration.support import eventually
from tests.topology.stage import PATIENCE_S, SERVERS, WORKERS, Topology, topology
from tests.topology.users import Calls, Person, Producer, session

pytestmark = pytest.mark.topology

WEBHOOKS = 10
MORE = 10 * 20
"""Events that are accepted between two faults, so that each one meets traffic."""

log = structlog.get_logger(__name__)


async def test_nothing_is_lost_whatever_is_killed(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        made = await stack.enter_async_context(topology(tmp_path))
        targets = await stack.enter_async_context(receivers(WEBHOOKS, tmp_path / "receivers.log"))
        calls = Calls(await stack.enter_async_context(session(made)), made)
        for number, url in enumerate(targets.urls):
            spec = {"name": f"hook {number}", "url": url, "event_types": [f"topology.{number}"]}
            await calls.until_done("POST", "webhooks", json=spec, headers={"idempotency-key": f"hook-{number}"})
        named = await calls.until_done(
            "POST",
            "webhooks",
            json={"name": "person 0", "url": targets.urls[0], "event_types": ["topology.person"]},
            headers={"idempotency-key": "person"},
        )
        producer, person = Producer(calls, WEBHOOKS), Person(calls, named["id"])
        live = [f"wss://127.0.0.1:{made.port}"]
        pages = [Follower(f"page {n}", live, admin_token(), n, tls=made.tls) for n in range(2)]
        producing = [asyncio.create_task(producer.run(f"producer {n}")) for n in range(2)]
        others = [asyncio.create_task(one) for one in (person.run(), *(page.follow() for page in pages))]
        try:
            for fault in FAULTS:
                await _traffic_beside(producer, fault(made))
            await _traffic_beside(producer, made.all_ready())
            producer.stop()
            await asyncio.gather(*producing)
            accepted = set(producer.accepted)
            await eventually(lambda: _has_all(targets.arrivals, accepted), within_s=PATIENCE_S)
            # A page that was away is live again.
            frames = [page.frames for page in pages]
            await eventually(
                lambda: all(page.frames > before for page, before in zip(pages, frames, strict=True)),
                within_s=PATIENCE_S,
            )
        finally:
            for task in (*others, *producing):
                task.cancel()
            await asyncio.gather(*others, *producing, return_exceptions=True)
        count = await targets.count()
        log.info(
            "topology_measured",
            accepted=len(accepted),
            duplicates=count.requests - count.messages,
            answers=dict(calls.answers),
            refused=calls.refused,
            reads_compared=person.reads,
            pages=[(page.connections, page.snapshots, page.frames) for page in pages],
        )
        assert calls.wrong == []
        assert person.stale == []
        assert person.reads > 0
        assert [page.violations for page in pages] == [[], []]
        # Only what was killed was started again.
        assert [part.started for part in made.servers] == [2] + [1] * (SERVERS - 1)
        assert [part.started for part in made.workers] == [2] + [1] * (WORKERS - 1)
        assert all(part.lives for part in (*made.servers, *made.workers))
        assert _errors(made) == []


FAULTS: tuple[Callable[[Topology], Awaitable[None]], ...] = (
    Topology.kill_server,
    Topology.kill_worker,
    Topology.kill_pooler,
    Topology.kill_redis,
    Topology.kill_replica,
    Topology.kill_proxy,
    Topology.fail_over,
)


async def _traffic_beside(producer: Producer, fault: Awaitable[None]) -> None:
    """Carry out *fault* under traffic, and return once as much again was accepted after it."""
    await _more(producer)
    await fault
    await _more(producer)


async def _more(producer: Producer) -> None:
    wanted = len(producer.accepted) + MORE // 2
    await eventually(lambda: len(producer.accepted) >= wanted, within_s=PATIENCE_S)


async def _has_all(arrivals: Callable[[], Awaitable[dict[str, int]]], accepted: set[str]) -> bool:
    await asyncio.sleep(0.2)
    return accepted <= (await arrivals()).keys()


LOST_CONNECTION = re.compile(
    "Future exception was never retrieved.*ConnectionDoesNotExistError|The garbage collector is trying to clean up",
    re.DOTALL,
)
"""What the drivers say of a connection that was lost in the middle of an operation; its slot in the pool is free."""


def _errors(made: Topology) -> list[str]:
    """Return what processes logged as an error: an outage is none."""
    lines = [json.loads(line) for output in made.outputs for line in output.splitlines() if line.startswith("{")]
    failed = [line for line in lines if line.get("level") in {"error", "critical"}]
    return [str(line) for line in failed if not LOST_CONNECTION.match(line["event"])]
