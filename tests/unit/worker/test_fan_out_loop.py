"""The loop of fan-outs: woken, polled, and at rest after each chunk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from structlog.testing import capture_logs

from monitor.domain.errors import Unavailable
from monitor.domain.services.fan_outs import FanOutResult
from monitor.worker.fan_out_loop import FanOutLoop

CHUNK = FanOutResult(UUID(int=1), 1, 200, is_finished=False)
LAST = FanOutResult(UUID(int=1), 1, 7, is_finished=True)
NEVER_S = 3_600.0


class Steps:
    """Answers each step with the next of *script*, and with ``None`` after that."""

    def __init__(self, *script: FanOutResult | Exception | None) -> None:
        self.script = list(script)
        self.made = asyncio.Semaphore(0)

    async def step(self) -> FanOutResult | None:
        self.made.release()
        found = self.script.pop(0) if self.script else None
        if isinstance(found, Exception):
            raise found
        return found

    async def takes(self, count: int) -> None:
        async with asyncio.timeout(10):
            for _ in range(count):
                await self.made.acquire()


@asynccontextmanager
async def looping(steps: Steps, *, poll_s: float = NEVER_S) -> AsyncIterator[FanOutLoop]:
    loop = FanOutLoop(steps.step, poll_s=poll_s, monotonic=asyncio.get_running_loop().time)
    (run,) = loop.loops().values()
    task = asyncio.ensure_future(run())
    try:
        yield loop
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_it_goes_on_until_nothing_is_left_and_when_it_is_woken() -> None:
    steps = Steps(CHUNK, LAST)
    with capture_logs() as lines:
        async with looping(steps) as loop:
            await steps.takes(3)
            assert steps.made.locked()
            loop.wake()
            await steps.takes(1)
    assert [line["event"] for line in lines] == ["fan_out_finished"]


async def test_it_polls_when_a_notification_was_lost() -> None:
    steps = Steps()
    async with looping(steps, poll_s=0.01):
        await steps.takes(3)


async def test_a_fan_out_that_failed_is_logged_and_the_next_one_begins() -> None:
    steps = Steps(FanOutResult(UUID(int=2), 0, 0, is_finished=False, error=KeyError("a row")), LAST)
    with capture_logs() as lines:
        async with looping(steps):
            await steps.takes(3)
    assert [line["event"] for line in lines] == ["fan_out_failed", "fan_out_finished"]
    assert (lines[0]["log_level"], lines[0]["event_id"]) == ("error", str(UUID(int=2)))


async def test_an_outage_delays_it() -> None:
    steps = Steps(Unavailable("It is away."), CHUNK)
    with capture_logs() as lines:
        async with looping(steps, poll_s=0.01):
            await steps.takes(3)
    assert lines[0]["event"] == "fan_out_postponed"
