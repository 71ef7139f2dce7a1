"""
Process group: starts several processes of one command, replaces those that exit, stops all of them together.

A child detects the exit of its parent, even by SIGKILL, by a pipe of which only the parent holds the other end: the
kernel closes it. The child then stops as it does on SIGTERM. Why not uvicorn's supervisor: docs/adr/0010.
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
"""Exit code of a child that would fail in the same way at the next start."""

USAGE = 2
"""Exit code of a command with a wrong argument or setting."""

STOP_S = 20.0
"""Time for children to stop before SIGKILL: longer than their drain of requests in flight."""

SETTLED_S = 30.0
"""Lifetime after which a child that exits is replaced without a pause."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0

log = structlog.get_logger(__name__)


class StartFailed(Exception):
    """A first child could not start, and the next one could not either. The child has logged the reason."""


def pause_s(early_deaths: int) -> float:
    """Return the backoff before the next child, after *early_deaths* in a row before ``SETTLED_S``."""
    # The exponent is capped, since 2.0 ** 1024 overflows.
    return min(FIRST_PAUSE_S * 2.0 ** min(early_deaths - 1, 30), LONGEST_PAUSE_S) if early_deaths else 0.0


def when_parent_dies(lifeline: int, stop: Callable[[], None]) -> None:
    """Call *stop* once the other end of the pipe *lifeline* is closed. Needs a running loop."""
    loop = asyncio.get_running_loop()

    def closed() -> None:
        loop.remove_reader(lifeline)
        stop()

    loop.add_reader(lifeline, closed)


class ProcessGroup:
    """
    Keeps *count* slots filled with a child each.

    Args:
        command: returns the command line of a child, given the file descriptor of its end of the lifeline and its slot,
            0 to *count* - 1.
        shared: file descriptors that every child inherits under the same numbers.
        stop_s: time for the children to stop before SIGKILL.
    """

    def __init__(
        self,
        command: Callable[[int, int], Sequence[str]],
        count: int,
        shared: Sequence[int] = (),
        *,
        stop_s: float = STOP_S,
    ) -> None:
        self._command = command
        self._count = count
        self._shared = tuple(shared)
        self._stop_s = stop_s
        self._stopping = asyncio.Event()
        self._children: set[Process] = set()

    def stop(self) -> None:
        """Send SIGTERM to every child, and start no more. Safe to repeat."""
        self._stopping.set()
        self._send(signal.SIGTERM)

    async def run(self) -> bool:
        """
        Keep the children alive until :meth:`stop`, and return when all have ended.

        Returns:
            whether the last child of every slot stopped cleanly.

        Raises:
            StartFailed: the first child of a slot could not start; the others have been stopped.
        """
        with _pipe() as lifeline:
            slots = [asyncio.create_task(self._keep(lifeline, slot)) for slot in range(self._count)]
            for slot in slots:
                slot.add_done_callback(lambda _: self.stop())
            await self._stopping.wait()
            _, late = await asyncio.wait(slots, timeout=self._stop_s)
            if late:
                log.error("processes_killed", count=len(late), after_s=self._stop_s)
                self._send(signal.SIGKILL)
                await asyncio.wait(late)
            stopped_cleanly = [slot.result() for slot in slots]
            return all(stopped_cleanly)

    async def _keep(self, lifeline: int, slot: int) -> bool:
        """Keep one slot filled; return whether its last child stopped cleanly."""
        replaced, early_deaths = False, 0
        while not self._stopping.is_set():
            code, lived_s = await self._live(lifeline, slot)
            if self._stopping.is_set():
                # A child that had not installed its handlers yet dies of SIGTERM, and had no requests in flight.
                return code in {0, -signal.SIGTERM}
            if code in {CANNOT_START, USAGE} and not replaced:
                raise StartFailed
            replaced, early_deaths = True, 0 if lived_s >= SETTLED_S else early_deaths + 1
            log.error("process_died", exit_code=code, lived_s=round(lived_s, 1), again_in_s=pause_s(early_deaths))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s(early_deaths))
        return True

    async def _live(self, lifeline: int, slot: int) -> tuple[int, float]:
        """Run one child; return its exit code and its lifetime in seconds."""
        now_s = asyncio.get_running_loop().time
        born_s = now_s()
        # In its own session, since a Ctrl-C that comes before its handlers are installed would kill it.
        child = await asyncio.create_subprocess_exec(
            *self._command(lifeline, slot), pass_fds=(lifeline, *self._shared), start_new_session=True
        )
        self._children.add(child)
        if self._stopping.is_set():
            self.stop()
        code = await child.wait()
        self._children.remove(child)
        return code, now_s() - born_s

    def _send(self, what: signal.Signals) -> None:
        for child in self._children:
            # Not `child.send_signal`: its poll can reap the child first, and then asyncio loses the exit code.
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, what)


@contextlib.contextmanager
def _pipe() -> Iterator[int]:
    """Yield the end of a pipe to inherit; the other end stays here, and closes with this process at the latest."""
    inherited, keep = os.pipe()
    try:
        yield inherited
    finally:
        os.close(inherited)
        os.close(keep)
