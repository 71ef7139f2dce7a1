"""Steps of a plan at once."""

from __future__ import annotations

import signal
import threading
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.cli.common import CommandError
from monitor.cli.configuration.parallel import run_parallel

WAIT_S = 30.0


@given(sizes=st.lists(st.integers(0, 9), max_size=4), parallel=st.integers(1, 5), data=st.data())
def test_stages_follow_one_another_and_a_failure_ends_all(sizes: list[int], parallel: int, data: st.DataObject) -> None:
    """No step begins before the stage before it is done, none twice, never more than allowed at once; after a failure
    only those in flight are finished."""
    ends = list(accumulate(sizes))
    stages = [range(end - size, end) for end, size in zip(ends, sizes, strict=True)]
    total = sum(sizes)
    failing = data.draw(st.none() | st.integers(0, total - 1)) if total else None
    lock, begun, finished, at_once, most = threading.Lock(), list[int](), set[int](), 0, 0

    def take(step: int) -> None:
        nonlocal at_once, most
        with lock:
            stage = next(stage for stage in stages if step in stage)
            assert finished >= set(range(stage.start))
            begun.append(step)
            at_once += 1
            most = max(most, at_once)
        with lock:
            at_once -= 1
            finished.add(step)
        if step == failing:
            raise CommandError("refused")

    outcome = run_parallel(stages, take, parallel=parallel)

    assert begun == sorted(set(begun))
    assert most <= parallel
    assert outcome.done | set(outcome.failed) == set(begun)
    assert outcome.failed == ({} if failing is None else {failing: "refused"})
    assert outcome.ended is (failing is not None)
    if failing is None:
        assert outcome.done == set(range(total))
    else:
        (stage,) = [stage for stage in stages if failing in stage]
        assert max(begun) < stage.stop


def test_ctrl_c_begins_nothing_more_and_keeps_what_was_done() -> None:
    stopped = threading.Event()

    def take(step: int) -> None:
        if step == 1:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            assert stopped.wait(WAIT_S)

    before = signal.getsignal(signal.SIGINT)
    outcome = run_parallel([range(2), range(2, 4)], take, parallel=2, stop=stopped.set)

    assert (outcome.done, outcome.failed, outcome.interrupted) == ({0, 1}, {}, True)
    assert signal.getsignal(signal.SIGINT) is before


def test_what_does_not_end_after_ctrl_c_is_cut() -> None:
    cut = threading.Event()

    def take(_step: int) -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        assert cut.wait(WAIT_S)
        raise CommandError("its answer was not awaited")

    outcome = run_parallel([range(3)], take, parallel=1, cut=cut.set, grace_s=0.01)
    assert (outcome.done, outcome.failed) == (set(), {0: "its answer was not awaited"})


def test_another_error_is_raised_once_the_others_have_ended() -> None:
    ended = threading.Event()

    def take(step: int) -> None:
        if step == 0:
            raise ZeroDivisionError
        ended.set()

    with pytest.raises(ZeroDivisionError):
        run_parallel([range(2)], take, parallel=2)
    assert ended.wait(WAIT_S)
