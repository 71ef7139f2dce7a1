"""One rate limit over several processes: what is admitted in all, also while they do not hear each other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.errors import Unavailable
from monitor.http.middleware.shared_rate_limit import SUBJECTS_AT_ONCE, SharedRateLimiter
from tests.fakes.redis.rate_ledger import FakeRateLedger


class World:
    """Some processes with one ledger and one clock, which the test moves."""

    def __init__(self, processes: int, *, per_s: float, burst: int, longest_s: float = 1e9, max_subjects: int = 10_000):
        self.now_s = 0.0
        self.ledger = FakeRateLedger(per_s=per_s, longest_s=longest_s, now_s=lambda: self.now_s)
        self.processes = [
            SharedRateLimiter(
                self.ledger, per_s=per_s, burst=burst, ticks_s=lambda: self.now_s, max_subjects=max_subjects
            )
            for _ in range(processes)
        ]

    async def admits(self, process: int, requests: int, subject: str = "u") -> int:
        """Make *requests* at one process; return how many of them it admitted."""
        limiter = self.processes[process]
        return sum([limiter.check(subject) is None for _ in range(requests)])

    async def report(self) -> None:
        for process in self.processes:
            await process.report()


STEPS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 30), st.floats(0, 3), st.booleans()), min_size=1, max_size=60
)


@given(steps=STEPS, per_s=st.sampled_from([0.5, 3.0, 20.0]), burst=st.integers(1, 25))
def test_no_more_is_admitted_than_rate_burst_and_what_was_not_told_yet(
    steps: list[tuple[int, int, float, bool]], per_s: float, burst: int
) -> None:
    """Law: at any time, all together admitted at most the burst, what the rate gave since the start, and for each
    process the most that it ever admitted between two of its reports."""
    world = World(4, per_s=per_s, burst=burst)

    async def run() -> None:
        total, untold, most_untold = 0, [0] * 4, [0] * 4
        for process, requests, later_s, reports in steps:
            admitted = await world.admits(process, requests)
            total += admitted
            untold[process] += admitted
            most_untold[process] = max(most_untold[process], untold[process])
            assert total <= burst + per_s * world.now_s + sum(most_untold) + 1e-6
            if reports:
                await world.processes[process].report()
                untold[process] = 0
            world.now_s += later_s

    asyncio.run(run())


@pytest.mark.parametrize("processes", [1, 2, 4])
async def test_hammered_processes_admit_in_all_what_one_would(processes: int) -> None:
    world = World(processes, per_s=100.0, burst=50, longest_s=1.0)
    total = 0
    for _ in range(1000):
        for process in range(processes):
            total += await world.admits(process, 20)
        await world.report()
        world.now_s += 0.1
    # 100 s at 100 a second. What each takes before it hears of the others, at most 20, is paid back.
    assert 10_000 <= total <= 10_050 + 20 * processes


async def test_what_was_admitted_too_much_is_paid_back_before_more_is_admitted() -> None:
    world = World(2, per_s=10.0, burst=50, longest_s=10.0)
    assert [await world.admits(process, 60) for process in (0, 1)] == [50, 50]
    await world.report()
    await world.report()
    world.now_s = 5.0
    assert await world.admits(1, 1) == 0
    world.now_s = 5.2
    assert await world.admits(1, 1) == 1


async def test_what_is_admitted_during_a_report_is_charged_although_the_ledger_lacks_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(2, per_s=1.0, burst=10)
    assert await world.admits(1, 4) == 4
    await world.processes[1].report()
    spend = world.ledger.spend

    async def slowly(admitted: Mapping[str, int]) -> Sequence[float]:
        spent_s = await spend(admitted)
        assert await world.admits(0, 3) == 3
        return spent_s

    assert await world.admits(0, 5) == 5
    monkeypatch.setattr(world.ledger, "spend", slowly)
    await world.processes[0].report()
    # Of ten, four and five were reported, and three came meanwhile.
    assert await world.admits(0, 1) == 0


async def test_a_refusal_says_when_to_come_back_also_in_debt() -> None:
    world = World(2, per_s=10.0, burst=50, longest_s=10.0)
    for process in (0, 1):
        await world.admits(process, 50)
    await world.report()
    wait_s = world.processes[1].check("u")
    assert wait_s == pytest.approx(5.1)
    world.now_s += 5.1
    assert await world.admits(1, 1) == 1


async def test_what_is_admitted_while_a_report_is_under_way_counts_too() -> None:
    world = World(1, per_s=1.0, burst=10)
    (limiter,) = world.processes
    spend: Callable[..., object] = world.ledger.spend

    class Slow:
        async def spend(self, admitted: dict[str, int]) -> list[float]:
            owed_s: list[float] = await spend(admitted)  # type: ignore[misc]
            assert await world.admits(0, 3) == 3
            return owed_s

    limiter._ledger = Slow()  # type: ignore[assignment]
    assert await world.admits(0, 4) == 4
    await limiter.report()
    assert await world.admits(0, 10) == 3


async def test_without_the_ledger_each_process_goes_by_its_own_buckets_and_nothing_is_told_later() -> None:
    world = World(2, per_s=1.0, burst=10, longest_s=20.0)
    world.ledger.up = False
    assert [await world.admits(process, 20) for process in (0, 1)] == [10, 10]
    for process in world.processes:
        with pytest.raises(Unavailable):
            await process.report()
    world.ledger.up = True
    await world.report()
    world.now_s += 5
    assert [await world.admits(process, 20) for process in (0, 1)] == [5, 5]


async def test_a_ledger_that_lost_its_memory_gives_nobody_a_fresh_bucket() -> None:
    world = World(1, per_s=1.0, burst=10)
    assert await world.admits(0, 9) == 9
    await world.report()
    world.ledger.forget()
    assert await world.admits(0, 5) == 1
    await world.report()
    assert await world.admits(0, 5) == 0


async def test_subjects_do_not_share_a_bucket() -> None:
    world = World(2, per_s=1.0, burst=3)
    assert await world.admits(0, 5, "a") == 3
    assert await world.admits(1, 1, "b") == 1
    await world.report()
    assert await world.admits(1, 5, "b") == 2


async def test_a_subject_that_is_not_remembered_here_stays_forgotten() -> None:
    world = World(1, per_s=1.0, burst=3, max_subjects=2)
    for subject in ("a", "b", "c"):
        await world.admits(0, 1, subject)
    await world.report()
    assert list(world.processes[0]._buckets) == ["b", "c"]


async def test_nothing_is_asked_where_nothing_was_admitted() -> None:
    world = World(1, per_s=1.0, burst=1)
    await world.report()
    assert await world.admits(0, 3) == 1
    await world.report()
    assert await world.admits(0, 3) == 0
    await world.report()
    assert world.ledger.calls == 1


async def test_many_subjects_are_told_in_few_calls() -> None:
    world = World(2, per_s=1.0, burst=2)
    subjects = [f"u{i}" for i in range(SUBJECTS_AT_ONCE * 2 + 1)]
    for subject in subjects:
        assert await world.admits(0, 2, subject) == 2
    await world.processes[0].report()
    assert world.ledger.calls == 3
    for subject in subjects:
        assert await world.admits(1, 1, subject) == 1
    await world.processes[1].report()
    assert [await world.admits(1, 1, subject) for subject in subjects] == [0] * len(subjects)
