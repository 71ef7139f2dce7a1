"""Each background task fails once, at its start or under way: all of them are counted and run again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import msgspec
import pytest

from monitor.bootstrap.container import Container
from monitor.bootstrap.loops import CacheWarming, server_loops
from monitor.bootstrap.server import readiness
from monitor.bootstrap.supervise import Loop, Supervisor
from monitor.bootstrap.worker import build_fan_outs, build_scheduler, build_worker
from tests.integration.support import Receiver, api_of, eventually, settings

Failing = Callable[[Loop], Loop]


def at_start(loop: Loop) -> Loop:
    """Return *loop*, which fails at its first start."""
    starts = 0

    async def run() -> None:
        nonlocal starts
        starts += 1
        if starts == 1:
            raise RuntimeError("a bug")
        await loop()

    return run


def under_way(loop: Loop) -> Loop:
    """Return *loop*, which is torn down in the middle of its first run."""
    starts = 0

    async def run() -> None:
        nonlocal starts
        starts += 1
        if starts > 1:
            await loop()
            return
        task = asyncio.ensure_future(loop())
        await asyncio.wait([task], timeout=0.3)
        # As the supervisor does: a library that is about to return may swallow one cancellation.
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=0.1)
        raise RuntimeError("a bug")

    return run


async def soon(_seconds: float) -> None:
    await asyncio.sleep(0.01)


@pytest.mark.parametrize("failing", [at_start, under_way])
async def test_each_task_that_fails_once_is_counted_and_the_process_goes_on(
    database_url: str, redis_url: str, receiver: Receiver, failing: Failing
) -> None:
    supervisor = Supervisor(sleep=soon)
    async with Container(settings(database_url, redis_url=redis_url)) as container, api_of(container) as api:
        warming = CacheWarming(container)
        fan_outs = build_fan_outs(container)
        worker = build_worker(container, name="one", fan_outs=fan_outs)
        loops: Mapping[str, Callable[[], Awaitable[None]]] = {
            **server_loops(container, warming),
            **worker.loops(),
            **fan_outs.loops(),
            **build_scheduler(container).loops(),
            "event_dispatch.sweep": container.dispatcher.sweep_loop,
        }
        async with supervisor.running({name: failing(loop) for name, loop in loops.items()}):
            await eventually(lambda: supervisor.failures.keys() == loops.keys())

            webhook = await api.create(receiver.url)
            await api.publish(*range(20))
            await receiver.takes(20)

            async def delivered() -> bool:
                found = await api.read("deliveries", params={"webhook_id": webhook["id"], "state": "delivered"})
                return len(found["items"]) == 20

            await eventually(delivered)
            await eventually(lambda: not warming.is_cold)
            await eventually(lambda: all(supervisor.tasks.values()))
            assert await readiness(container, warming) == []
            assert set(supervisor.failures.values()) == {1}
            container.feed.publish("alert_new", msgspec.json.encode({"n": 1}))
            await eventually(lambda: container.feed.stream.seq > 0 and container.feed.stream.connected)
            worker.stop()
            await worker.run()


async def test_a_task_that_stays_down_makes_the_process_unready(database_url: str) -> None:
    async def broken() -> None:
        raise RuntimeError("a bug")

    async with Container(settings(database_url)) as container:
        async with container.supervisor.running({"some.loop": broken}):
            await eventually(lambda: container.supervisor.failures["some.loop"] >= 1)
            (problem,) = await readiness(container)
            assert "some.loop" in problem
        assert await readiness(container) == []
