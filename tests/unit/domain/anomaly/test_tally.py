"""Tallies of attempts between two evaluations."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given

from monitor.domain.anomaly.tally import NO_ATTEMPTS, Tally, merge_tallies, tally_of, to_sample
from monitor.domain.monitoring.metrics import Histogram, bucket_of, bucket_value
from tests import strategies as our

Attempts = list[tuple[bool, float]]


@given(our.made_attempts, our.made_attempts)
def test_merging_the_parts_gives_the_tally_of_the_whole(a: Attempts, b: Attempts) -> None:
    """merge_tallies(tally_of(a), tally_of(b)) == tally_of(a + b)."""
    assert merge_tallies(tally_of(a), tally_of(b)) == tally_of(a + b)


@given(our.tallies, our.tallies, our.tallies)
def test_merging_is_associative(a: Tally, b: Tally, c: Tally) -> None:
    """merge_tallies is associative."""
    assert merge_tallies(merge_tallies(a, b), c) == merge_tallies(a, merge_tallies(b, c))


@given(our.tallies)
def test_no_attempts_change_nothing(tally: Tally) -> None:
    """The empty tally is the identity of merge_tallies, on either side."""
    assert merge_tallies(NO_ATTEMPTS, tally) == tally == merge_tallies(tally, NO_ATTEMPTS)
    assert tally_of([]) == NO_ATTEMPTS


def test_the_order_of_the_parts_matters_to_runs() -> None:
    failed, mixed = tally_of([(False, 1.0)] * 3), tally_of([(False, 1.0), (True, 1.0)])
    assert merge_tallies(failed, mixed).run_head == 4
    assert merge_tallies(mixed, failed).run_head == 1
    assert merge_tallies(mixed, failed).run_tail == 3


@given(our.made_attempts)
def test_a_tally_counts_attempts_and_runs(attempts: Attempts) -> None:
    """The counts equal what the text of the outcomes shows."""
    tally = tally_of(attempts)
    text = "".join("s" if succeeded else "f" for succeeded, _ in attempts)
    runs = [run for run in text.split("s") if run]
    assert (tally.attempts, tally.failures) == (len(text), text.count("f"))
    assert (tally.runs, tally.longest_run) == (len(runs), max(map(len, runs), default=0))
    assert tally.run_head == len(text) - len(text.lstrip("f"))
    assert tally.run_tail == len(text) - len(text.rstrip("f"))


@given(our.made_attempts)
def test_a_sample_has_the_counts_of_its_tally_and_each_latency_as_its_bucket(attempts: Attempts) -> None:
    """to_sample(t) copies the counts of t, and holds bucket_value(bucket_of(x)) for each success's latency x."""
    tally = tally_of(attempts)
    seen = to_sample(tally, 60.0, held=True)
    assert (seen.at, seen.held) == (60.0, True)
    for name in ("attempts", "failures", "run_head", "run_tail", "longest_run", "runs"):
        assert getattr(seen, name) == getattr(tally, name)
    latencies_ms = sorted(value for value, count in seen.latencies_ms for _ in range(count))
    assert latencies_ms == sorted(bucket_value(bucket_of(value)) for succeeded, value in attempts if succeeded)


def test_the_latency_of_a_failure_is_not_counted() -> None:
    assert tally_of([(False, float("inf")), (True, 0.1)]).latencies == Histogram((0,), (1,))


@pytest.mark.parametrize("latency_ms", [-1.0, float("inf"), float("nan")])
def test_the_latency_of_a_success_must_be_finite(latency_ms: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        tally_of([(True, latency_ms)])


@given(our.tallies)
def test_tallies_survive_storage(tally: Tally) -> None:
    """decode(encode(x)) == x."""
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(tally), type=Tally) == tally
