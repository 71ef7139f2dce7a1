"""All signals of one webhook together, and their baselines in storage."""

from __future__ import annotations

from math import exp

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.anomaly import AnomalyPolicy, Baselines, Signal, SignalState, observe_all, start_baselines
from tests.unit.domain.anomaly.anomaly_streams import DAY_S, HOUR_S, MONDAY, sample_of, stream

attempts = st.tuples(st.booleans(), st.floats(0, 60_000))
moves = st.lists(st.tuples(st.floats(0.001, 5_000), st.lists(attempts, max_size=10)), max_size=40)
QUICK = AnomalyPolicy(learn_attempts=20, learn_s=600.0)
MOST_BYTES = 16_384


@given(moves, st.integers(0, 40))
def test_a_stored_baseline_goes_on_as_if_never_stored(story: list[tuple[float, list]], cut: int) -> None:  # type: ignore[type-arg]
    """Encoding and decoding at any moment changes no later baseline or verdict."""
    kept = stored = start_baselines(MONDAY)
    at = MONDAY
    for number, (wait_s, batch) in enumerate(story):
        at += wait_s
        if number == cut:
            stored = msgspec.json.decode(msgspec.json.encode(stored), type=Baselines)
        kept, said = observe_all(kept, sample_of(at, batch), QUICK)
        stored, said_stored = observe_all(stored, sample_of(at, batch), QUICK)
        assert said == said_stored
    assert kept == stored


@given(moves)
def test_every_sample_gets_one_verdict_per_signal(story: list[tuple[float, list]]) -> None:  # type: ignore[type-arg]
    """Total: any valid sample is answered, in order, with evidence whenever something is wrong."""
    baselines, at = start_baselines(MONDAY), MONDAY
    for wait_s, batch in story:
        at += wait_s
        baselines, verdicts = observe_all(baselines, sample_of(at, batch), QUICK)
        assert [verdict.signal for verdict in verdicts] == list(Signal)
        for verdict in verdicts:
            assert verdict.sentence
            is_wrong = verdict.state in {SignalState.OPENED, SignalState.OPEN, SignalState.CLOSED}
            assert is_wrong == (verdict.evidence is not None) == (verdict.severity is not None)
            if verdict.evidence is not None:
                assert 0 <= verdict.evidence.p_value < 1


@given(moves)
def test_a_repeated_sample_changes_nothing(story: list[tuple[float, list]]) -> None:  # type: ignore[type-arg]
    """A tick that is run twice leaves the same baselines and opens nothing."""
    baselines, at = start_baselines(MONDAY), MONDAY
    for wait_s, batch in story:
        at += wait_s
        baselines, _ = observe_all(baselines, sample_of(at, batch), QUICK)
        again, verdicts = observe_all(baselines, sample_of(at, batch), QUICK)
        assert again == baselines
        assert all(verdict.state is not SignalState.OPENED for verdict in verdicts)


def test_the_baselines_stay_small() -> None:
    baselines = start_baselines(MONDAY)
    for sample in stream(MONDAY, 3 * DAY_S, per_tick=20, tick_s=300.0):
        baselines, _ = observe_all(baselines, sample)
    assert len(msgspec.json.encode(baselines)) < MOST_BYTES
    assert len(msgspec.msgpack.encode(baselines)) < MOST_BYTES


def test_an_outage_opens_failures_alone() -> None:
    """During an outage the other signals get no samples."""
    baselines = start_baselines(MONDAY)
    for sample in stream(MONDAY, 2 * DAY_S, per_tick=2):
        baselines, _ = observe_all(baselines, sample)
    opened = set()
    for sample in stream(MONDAY + 2 * DAY_S, 6 * HOUR_S, per_tick=8, fail_ratio=0.9, median_ms=100 * exp(2)):
        baselines, verdicts = observe_all(baselines, sample)
        opened |= {verdict.signal for verdict in verdicts if verdict.state is SignalState.OPENED}
    assert opened == {Signal.FAILURES}


def test_slow_responses_in_a_burst_of_failures_are_part_of_it() -> None:
    """What answers between failures says nothing of latency: neither a signal opens, nor is it learned."""
    baselines = start_baselines(MONDAY)
    for sample in stream(MONDAY, 2 * DAY_S, per_tick=10):
        baselines, _ = observe_all(baselines, sample)
    opened = set()
    for sample in stream(MONDAY + 2 * DAY_S, 180.0, per_tick=10, fail_ratio=0.5, median_ms=300.0, tick_s=15.0):
        baselines, verdicts = observe_all(baselines, sample)
        opened |= {verdict.signal for verdict in verdicts if verdict.state is SignalState.OPENED}
    assert opened <= {Signal.FAILURES}
    assert sum(baselines.latency.log_latency.rings[0].ns) < 60
