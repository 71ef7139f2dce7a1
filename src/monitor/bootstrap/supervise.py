"""
Supervision of background tasks: a loop that fails is logged, counted by name and started again with backoff.

Loops handle the outages that are part of their work. Everything else ends here, so no task can end unseen: readiness
names the tasks that are down, ``/metrics`` counts their failures.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import structlog

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
STEADY_S = 1.0
"""A restarted task counts as up again after this time; one that lived ten times as long starts with a short pause."""

CANCEL_AGAIN_S = 0.5

log = structlog.get_logger(__name__)

Loop = Callable[[], Awaitable[None]]
"""Runs until cancelled, and can be started again after a failure. Returning is a failure, too."""


class _Task:
    """One supervised loop. ``is_up`` from its start to its failure, and again once it has been steady."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_up = True

    def mark_up(self) -> None:
        self.is_up = True


class Supervisor:
    """
    Supervisor of one process.

    Args:
        sleep: waits between a failure and the next start.
    """

    def __init__(self, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._sleep = sleep
        self._tasks: set[_Task] = set()
        self.failures: Counter[str] = Counter()
        """Failures since the start of the process, by task."""

    @property
    def tasks(self) -> dict[str, bool]:
        """Whether each task is up, by name."""
        up: dict[str, bool] = {}
        for task in self._tasks:
            up[task.name] = up.get(task.name, True) and task.is_up
        return up

    def problems(self) -> list[str]:
        """Return one line for each task that is down, for ``/health/ready``."""
        return [
            f"The background task {name} failed and is being restarted; see the log."
            for name, is_up in sorted(self.tasks.items())
            if not is_up
        ]

    def start(self, name: str, loop: Loop) -> asyncio.Task[None]:
        """Keep *loop* running until the returned task is cancelled."""
        return asyncio.create_task(self._keep(_Task(name), loop), name=name)

    @asynccontextmanager
    async def running(self, loops: Mapping[str, Loop]) -> AsyncIterator[None]:
        """Keep *loops* running inside the block; leaving it cancels these and waits for their end."""
        tasks = [self.start(name, loop) for name, loop in loops.items()]
        try:
            yield
        finally:
            await _cancel(tasks)

    async def _keep(self, task: _Task, loop: Loop) -> None:
        now_s = asyncio.get_running_loop().time
        pause_s = FIRST_PAUSE_S
        self._tasks.add(task)
        try:
            while True:
                started_s = now_s()
                await self._run(task, loop)
                if now_s() - started_s >= 10 * STEADY_S:
                    pause_s = FIRST_PAUSE_S
                await self._sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        finally:
            self._tasks.discard(task)

    async def _run(self, task: _Task, loop: Loop) -> None:
        """Run *loop* until it fails."""
        steady = asyncio.get_running_loop().call_later(STEADY_S, task.mark_up)
        error: Exception
        try:
            await loop()
            error = RuntimeError("a background task returned")
        except Exception as raised:  # noqa: BLE001 - logged below, like a return
            error = raised
        finally:
            steady.cancel()
        task.is_up = False
        self.failures[task.name] += 1
        log.error("background_task_failed", task=task.name, failures=self.failures[task.name], exc_info=error)


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel *tasks* until they end: once may not be enough, since ``wait_for`` of Python 3.11 can swallow it."""
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=CANCEL_AGAIN_S)
