"""Steps of a plan at once: a bounded number in flight, none begun after the first failure or an interruption."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

from monitor.cli.common import CommandError

GRACE_S = 5.0
"""How long requests in flight may take after Ctrl-C before their connections are cut."""

LOOK_S = 0.5


class Outcome:
    """
    What came of the steps, by their numbers.

    Attributes:
        failed: why each of those failed that did.
        interrupted: by Ctrl-C.
    """

    def __init__(self) -> None:
        self.done: set[int] = set()
        self.failed: dict[int, str] = {}
        self.interrupted = False

    @property
    def ended(self) -> bool:
        """Whether no further step is begun."""
        return self.interrupted or bool(self.failed)


def run_parallel(
    stages: Iterable[Iterable[int]],
    take: Callable[[int], None],
    *,
    parallel: int,
    stop: Callable[[], None] = lambda: None,
    cut: Callable[[], None] = lambda: None,
    progress: Callable[[], None] = lambda: None,
    grace_s: float = GRACE_S,
) -> Outcome:
    """
    Take the steps of each stage, in their order but up to *parallel* at once, and a stage when that before it is done.

    Args:
        take: takes one step, in a thread. Raises :class:`CommandError` if it fails.
        stop: makes steps in flight end soon; called at Ctrl-C.
        cut: makes these end at once; called when they did not, or at another Ctrl-C.
        progress: called after each step that was done.
    """
    outcome = Outcome()
    cut_at = float("inf")

    def interrupt() -> None:
        nonlocal cut_at
        cut_at = 0.0 if outcome.interrupted else time.monotonic() + grace_s
        outcome.interrupted = True
        stop()

    with ThreadPoolExecutor(parallel) as pool, _on_interrupt(interrupt):
        for stage in stages:
            waiting = iter(stage)
            running: dict[Future[None], int] = {}
            while True:
                while len(running) < parallel and not outcome.ended and (step := next(waiting, None)) is not None:
                    running[pool.submit(take, step)] = step
                if not running:
                    break
                finished, _ = wait(running, LOOK_S, FIRST_COMPLETED)
                for future in finished:
                    _settle(outcome, running.pop(future), future, progress)
                if time.monotonic() >= cut_at:
                    cut()
            if outcome.ended:
                break
    return outcome


def _settle(outcome: Outcome, step: int, future: Future[None], progress: Callable[[], None]) -> None:
    try:
        future.result()
    except CommandError as error:
        outcome.failed[step] = str(error)
    else:
        outcome.done.add(step)
        progress()


@contextmanager
def _on_interrupt(call: Callable[[], None]) -> Iterator[None]:
    """Call *call* at Ctrl-C instead of raising ``KeyboardInterrupt``, which would lose what is in flight."""
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # Only the main thread may set a handler; shells have the jobs started in the background ignore Ctrl-C.
        yield
        return

    def handle(_number: int, _frame: Any) -> None:
        call()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
