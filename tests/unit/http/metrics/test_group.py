"""Metrics of a group: sums that never fall, and gauges that say whose they are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import Metric

from monitor.http.metrics import GroupMetrics, RequestTimes, SharedMemory, make_files
from monitor.http.metrics.group import LIVE_S

SIZE = 3


class Process:
    """One process of a group, with metrics of each type."""

    def __init__(self, files: list[int], slot: int, ticks_s: Callable[[], float]) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("requests", "Requests", ("route",), registry=self.registry)
        self.seconds = Histogram("seconds", "Times", registry=self.registry, buckets=(1, 2))
        self.open = Gauge("open", "Open sockets", registry=self.registry)
        self.times = RequestTimes()
        self.group = GroupMetrics(SharedMemory(files, slot), ticks_s)

    def share(self) -> None:
        self.group.share(self.registry.collect(), self.times.series)

    def answer(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        return values(self.group.merged(self.registry.collect(), self.times.series))


def values(metrics: list[Metric]) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    samples = [sample for metric in metrics for sample in metric.samples]
    found = {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples}
    assert len(found) == len(samples)
    return found


class Group:
    """Processes in their slots, and a clock for all of them."""

    def __init__(self, size: int = SIZE) -> None:
        self.files = make_files(size)
        self.now = 1_000.0
        self.processes = [self.start(slot) for slot in range(size)]

    def start(self, slot: int) -> Process:
        return Process(self.files, slot, lambda: self.now)

    def close(self) -> None:
        for file in self.files:
            os.close(file)


@pytest.fixture
def group() -> Iterator[Group]:
    made = Group()
    yield made
    made.close()


def test_any_process_answers_for_all(group: Group) -> None:
    for n, process in enumerate(group.processes):
        process.requests.labels("/a").inc(10**n)
        process.seconds.observe(1.5)
        process.open.set(n)
        process.times.observe("GET", "/a", 200, 0.02)
        process.share()
    answers = [process.answer() for process in group.processes]
    assert answers[0] == answers[1] == answers[2]
    found = answers[0]
    assert found["requests_total", (("route", "/a"),)] == 111
    assert (found["seconds_bucket", (("le", "1.0"),)], found["seconds_bucket", (("le", "2.0"),)]) == (0, 3)
    assert (found["seconds_count", ()], found["seconds_sum", ()]) == (3, 4.5)
    assert [found["open", (("process", str(n)),)] for n in range(SIZE)] == [0, 1, 2]
    of_route = (("method", "GET"), ("route", "/a"), ("status", "200"))
    assert found["monitor_http_request_seconds_count", of_route] == SIZE
    assert found["monitor_processes", ()] == SIZE
    assert not [name for name, _ in found if name.endswith("_created")]


def test_what_one_has_counted_since_it_last_shared_is_in_its_own_answer(group: Group) -> None:
    first, second, _ = group.processes
    first.share()
    first.requests.labels("/a").inc()
    assert first.answer()["requests_total", (("route", "/a"),)] == 1
    assert second.answer()["requests_total", (("route", "/a"),)] == 1


def test_counts_of_a_process_that_ended_stay_and_its_gauges_go(group: Group) -> None:
    first, second, _ = group.processes
    first.requests.labels("/a").inc(5)
    first.open.set(7)
    first.times.observe("GET", "", 404, 0.5)
    first.share()
    second.requests.labels("/a").inc(1)
    group.now += LIVE_S
    found = second.answer()
    assert found["requests_total", (("route", "/a"),)] == 6
    assert ("open", (("process", "0"),)) not in found
    assert found["monitor_processes", ()] == 1
    again = group.processes[0] = group.start(0)
    again.requests.labels("/b").inc(2)
    again.share()
    found = second.answer()
    assert found["requests_total", (("route", "/a"),)] == 6
    assert found["requests_total", (("route", "/b"),)] == 2
    assert found["open", (("process", "0"),)] == 0
    unknown = (("method", "GET"), ("route", ""), ("status", "404"))
    assert found["monitor_http_request_seconds_sum", unknown] == 0.5


class SumsNeverFall(RuleBasedStateMachine):
    """Whatever processes count, share, answer, die of and are replaced by, what an answer has, the next one has."""

    def __init__(self) -> None:
        super().__init__()
        self.group = Group()
        self.answered: dict[str, float] = {}
        self.counted = 0.0

    def teardown(self) -> None:
        self.group.close()

    @rule(slot=st.integers(0, SIZE - 1), route=st.sampled_from("ab"), count=st.integers(0, 3))
    def count(self, slot: int, route: str, count: int) -> None:
        self.group.processes[slot].requests.labels(route).inc(count)
        self.counted += count

    @rule(slot=st.integers(0, SIZE - 1))
    def share(self, slot: int) -> None:
        self.group.processes[slot].share()

    @rule(slot=st.integers(0, SIZE - 1))
    def answer(self, slot: int) -> None:
        found = self.group.processes[slot].answer()
        now = {labels[0][1]: value for (name, labels), value in found.items() if name == "requests_total"}
        assert all(now.get(route, 0) >= value for route, value in self.answered.items())
        self.answered = now

    @rule(slot=st.integers(0, SIZE - 1))
    def kill(self, slot: int) -> None:
        """What it counted and never shared is lost, as with every process."""
        self.group.processes[slot] = self.group.start(slot)

    @rule(lapse_s=st.sampled_from([0.5, LIVE_S, 100.0]))
    def wait(self, lapse_s: float) -> None:
        self.group.now += lapse_s

    @invariant()
    def nothing_is_counted_twice(self) -> None:
        assert sum(self.answered.values()) <= self.counted


TestSumsNeverFall = SumsNeverFall.TestCase
