"""
Several processes that do the same: started, replaced when they die, stopped together.

A child finds out that its parent is gone, however that ended, by a pipe of which only the parent holds the other end:
the kernel closes it. The child then stops as it does on SIGTERM.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import Process
from collections.abc import Callable, Iterator, Sequence

import structlog

CANNOT_START = 3
"""The exit code of a child that would only fail again."""

USAGE = 2
"""The exit code of a command that was told something wrong."""

STOP_S = 20.0
"""How long children may take to stop before they are killed: longer than they give the requests in flight."""

SETTLED_S = 30.0
"""Who lived this long is replaced at once."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0

log = structlog.get_logger(__name__)


class StartFailed(Exception):
    """A child ended before it ever worked, and would again; it has said why."""


def pause_s(early_deaths: int) -> float:
    """Return how long to wait before the next child, after *early_deaths* in a row that did not live long."""
    # Doubled no further than it matters: floats end somewhere.
    return min(FIRST_PAUSE_S * 2.0 ** min(early_deaths - 1, 30), LONGEST_PAUSE_S) if early_deaths else 0.0


def when_parent_dies(lifeline: int, stop: Callable[[], None]) -> None:
    """Call *stop* once the other end of the pipe *lifeline* is closed. Needs a running loop."""
    loop = asyncio.get_running_loop()

    def closed() -> None:
        loop.remove_reader(lifeline)
        stop()

    loop.add_reader(lifeline, closed)


class Family:
    """
    Args:
        command: returns the command of a child, given the number of its end of the lifeline.
        count: how many children there are.
        shared: file descriptors that every child inherits under the same numbers.
        stop_s: how long they may take to stop.
    """

    def __init__(
        self, command: Callable[[int], Sequence[str]], count: int, shared: Sequence[int] = (), *, stop_s: float = STOP_S
    ) -> None:
        self._command = command
        self._count = count
        self._shared = tuple(shared)
        self._stop_s = stop_s
        self._stopping = asyncio.Event()
        self._children: set[Process] = set()

    def stop(self) -> None:
        """Ask every child to stop, and start none any more. Safe to repeat."""
        self._stopping.set()
        self._tell(signal.SIGTERM)

    async def run(self) -> bool:
        """
        Keep the children alive until :meth:`stop`, and return when all have ended.

        Returns:
            whether all of them stopped in good order.

        Raises:
            StartFailed: one of the first children could not start; the others have been stopped.
        """
        with _pipe() as lifeline:
            places = [asyncio.create_task(self._keep(lifeline)) for _ in range(self._count)]
            for place in places:
                place.add_done_callback(lambda _: self.stop())
            await self._stopping.wait()
            _, late = await asyncio.wait(places, timeout=self._stop_s)
            if late:
                log.error("processes_killed", count=len(late), after_s=self._stop_s)
                self._tell(signal.SIGKILL)
                await asyncio.wait(late)
            in_order = [place.result() for place in places]
            return all(in_order)

    async def _keep(self, lifeline: int) -> bool:
        """Keep one place filled; return whether its last child stopped in good order."""
        replaced, early_deaths = False, 0
        while not self._stopping.is_set():
            code, lived_s = await self._live(lifeline)
            if self._stopping.is_set():
                # One that had not come so far as to hear of signals served nobody.
                return code in {0, -signal.SIGTERM}
            if code in {CANNOT_START, USAGE} and not replaced:
                raise StartFailed
            replaced, early_deaths = True, 0 if lived_s >= SETTLED_S else early_deaths + 1
            log.error("process_died", exit_code=code, lived_s=round(lived_s, 1), again_in_s=pause_s(early_deaths))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s(early_deaths))
        return True

    async def _live(self, lifeline: int) -> tuple[int, float]:
        """Start a child and wait for its end; return its exit code, and for how many seconds it lived."""
        now_s = asyncio.get_running_loop().time
        born_s = now_s()
        # In a session of its own: Ctrl-C is for the parent to pass on, and would come before a child can hear it.
        child = await asyncio.create_subprocess_exec(
            *self._command(lifeline), pass_fds=(lifeline, *self._shared), start_new_session=True
        )
        self._children.add(child)
        if self._stopping.is_set():
            self.stop()
        code = await child.wait()
        self._children.remove(child)
        return code, now_s() - born_s

    def _tell(self, what: signal.Signals) -> None:
        for child in self._children:
            # Not by asyncio, which looks first whether the child has ended, and then loses its exit code to that look.
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, what)


@contextlib.contextmanager
def _pipe() -> Iterator[int]:
    """Yield the end of a pipe to hand down; the other one stays here, and closes with this process at the latest."""
    hand_down, keep = os.pipe()
    try:
        yield hand_down
    finally:
        os.close(hand_down)
        os.close(keep)
