"""Supervision: a loop that fails is counted, reported and started again."""

from __future__ import annotations

import asyncio

import pytest
import structlog.testing

from monitor.bootstrap import supervise
from monitor.bootstrap.supervise import FIRST_PAUSE_S, LONGEST_PAUSE_S, Supervisor
from tests.waiting import until


class Pauses:
    """Records pauses between starts. Each lasts until it is released."""

    def __init__(self) -> None:
        self.each: list[float] = []
        self._released = asyncio.Semaphore(0)

    async def __call__(self, seconds: float) -> None:
        self.each.append(seconds)
        await self._released.acquire()

    def release(self, count: int = 1) -> None:
        for _ in range(count):
            self._released.release()


async def test_a_loop_that_fails_is_down_until_it_has_been_steady_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "STEADY_S", 0.0)
    pauses, starts = Pauses(), 0

    async def loop() -> None:
        nonlocal starts
        starts += 1
        if starts == 1:
            raise ValueError("a bug")
        await asyncio.Event().wait()

    supervisor = Supervisor(sleep=pauses)
    with structlog.testing.capture_logs() as logs:
        async with supervisor.running({"some.loop": loop}):
            await until(lambda: pauses.each)
            assert supervisor.tasks == {"some.loop": False}
            assert "some.loop" in supervisor.problems()[0]
            pauses.release()
            await until(lambda: supervisor.tasks == {"some.loop": True})
            assert supervisor.problems() == []
    [line] = logs
    assert (line["event"], line["task"]) == ("background_task_failed", "some.loop")
    assert isinstance(line["exc_info"], ValueError)
    assert supervisor.failures == {"some.loop": 1}
    assert supervisor.tasks == {}


async def test_pauses_double_up_to_the_longest() -> None:
    pauses = Pauses()

    async def loop() -> None:
        raise OSError("no")

    async with Supervisor(sleep=pauses).running({"loop": loop}):
        pauses.release(9)
        await until(lambda: len(pauses.each) == 10)
    assert pauses.each[:3] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]
    assert pauses.each[-1] == LONGEST_PAUSE_S


async def test_a_loop_that_returns_has_failed() -> None:
    pauses = Pauses()

    async def loop() -> None:
        return

    supervisor = Supervisor(sleep=pauses)
    async with supervisor.running({"loop": loop}):
        await until(lambda: pauses.each)
    assert supervisor.failures == {"loop": 1}


async def test_one_loop_that_fails_leaves_the_others_running() -> None:
    beats = 0

    async def steady() -> None:
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0)

    async def broken() -> None:
        raise ValueError("a bug")

    supervisor = Supervisor(sleep=Pauses())
    async with supervisor.running({"steady": steady, "broken": broken}):
        await until(lambda: not supervisor.tasks.get("broken", True))
        seen = beats
        await until(lambda: beats > seen + 10)
        assert supervisor.tasks == {"steady": True, "broken": False}
