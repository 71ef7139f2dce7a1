"""What attempts add up to between two looks."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given

from monitor.domain.anomaly import sample_of
from monitor.domain.anomaly.tally import NO_ATTEMPTS, Tally, merge, sample, tally_of
from monitor.domain.monitoring.metrics import Histogram, bucket_of, bucket_value
from tests import strategies as our

Attempts = list[tuple[bool, float]]


@given(our.made_attempts, our.made_attempts)
def test_adding_up_in_parts_is_adding_up_at_once(a: Attempts, b: Attempts) -> None:
    """merge(tally_of(a), tally_of(b)) == tally_of(a + b)."""
    assert merge(tally_of(a), tally_of(b)) == tally_of(a + b)


@given(our.tallies, our.tallies, our.tallies)
def test_it_does_not_matter_which_parts_meet_first(a: Tally, b: Tally, c: Tally) -> None:
    """merge is associative."""
    assert merge(merge(a, b), c) == merge(a, merge(b, c))


@given(our.tallies)
def test_no_attempts_change_nothing(tally: Tally) -> None:
    """The empty tally is the identity of merge, on either side."""
    assert merge(NO_ATTEMPTS, tally) == tally == merge(tally, NO_ATTEMPTS)
    assert tally_of([]) == NO_ATTEMPTS


def test_the_order_of_the_parts_matters_to_runs() -> None:
    failed, mixed = tally_of([(False, 1.0)] * 3), tally_of([(False, 1.0), (True, 1.0)])
    assert merge(failed, mixed).run_head == 4
    assert merge(mixed, failed).run_head == 1
    assert merge(mixed, failed).run_tail == 3


@given(our.made_attempts)
def test_the_detector_sees_the_attempts_but_for_their_exact_latencies(attempts: Attempts) -> None:
    """sample(tally_of(x)) == sample_of(x) once each latency is that of its bucket."""
    seen, exact = sample(tally_of(attempts), 60.0, held=True), sample_of(60.0, attempts, held=True)
    assert msgspec.structs.replace(seen, latencies_ms=()) == msgspec.structs.replace(exact, latencies_ms=())
    spread = sorted(value for value, count in seen.latencies_ms for _ in range(count))
    assert spread == sorted(bucket_value(bucket_of(value)) for value, _ in exact.latencies_ms)


def test_how_long_a_failure_took_is_not_counted() -> None:
    assert tally_of([(False, float("inf")), (True, 0.1)]).latencies == Histogram((0,), (1,))


@pytest.mark.parametrize("latency_ms", [-1.0, float("inf"), float("nan")])
def test_an_answer_took_a_finite_time(latency_ms: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        tally_of([(True, latency_ms)])


@given(our.tallies)
def test_tallies_survive_storage(tally: Tally) -> None:
    """decode(encode(x)) == x."""
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(tally), type=Tally) == tally
