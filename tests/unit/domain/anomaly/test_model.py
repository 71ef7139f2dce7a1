"""Samples at the edge, and hysteresis."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.anomaly import Evidence, Sample, Signal, SignalState
from monitor.domain.anomaly.episode import Deviation, Episode, format_duration, is_frozen, update_episode
from monitor.domain.anomaly.policy import DEFAULT_POLICY
from monitor.domain.errors import Invalid
from monitor.domain.vocab import Severity

NAN, INFINITY = float("nan"), float("inf")


def deviation(severity: Severity = Severity.WARNING) -> Deviation:
    return Deviation(Evidence(0.5, 0.01, 10, 300.0, 1e-9), severity, "Half failed.")


@pytest.mark.parametrize(
    "fields",
    [
        {"at": NAN},
        {"at": INFINITY},
        {"at": 1.0, "attempts": 1, "failures": 2},
        {"at": 1.0, "failures": -1},
        {"at": 1.0, "attempts": 3, "failures": 1, "run_tail": 2},
        {"at": 1.0, "runs": -1},
        {"at": 1.0, "latencies_ms": ((NAN, 1),)},
        {"at": 1.0, "latencies_ms": ((INFINITY, 1),)},
        {"at": 1.0, "latencies_ms": ((-1.0, 1),)},
        {"at": 1.0, "latencies_ms": ((1.0, 0),)},
    ],
)
def test_impossible_numbers_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(Invalid):
        Sample(**fields)  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.sampled_from(["alarm", "calm", "neither"]), st.integers(1, 900)), max_size=60))
def test_every_anomaly_opens_once_and_closes_once(story: list[tuple[str, int]]) -> None:
    """OPENED and CLOSED alternate, OPEN only comes between them, and closing needs an unbroken normal period."""
    episode, at, is_open, normal_since = None, 0.0, False, None
    for kind, wait_s in story:
        at += wait_s
        episode, verdict = update_episode(
            Signal.FAILURES, episode, at, deviation() if kind == "alarm" else None, kind == "calm", DEFAULT_POLICY
        )
        normal_since = (at if normal_since is None else normal_since) if kind == "calm" and is_open else None
        match verdict.state:
            case SignalState.OPENED:
                assert not is_open
                is_open = True
            case SignalState.CLOSED:
                assert is_open
                assert normal_since is not None
                assert at - normal_since >= DEFAULT_POLICY.close_after_s
                is_open = False
            case state:
                assert state == (SignalState.OPEN if is_open else SignalState.NORMAL)
        assert (verdict.evidence is not None) == (verdict.state is not SignalState.NORMAL)


def test_the_highest_severity_stays() -> None:
    episode, _ = update_episode(Signal.FAILURES, None, 0.0, deviation(Severity.CRITICAL), False, DEFAULT_POLICY)
    episode, verdict = update_episode(
        Signal.FAILURES, episode, 60.0, deviation(Severity.WARNING), False, DEFAULT_POLICY
    )
    assert verdict.severity == "critical"


def test_a_baseline_is_frozen_for_a_day_at_most() -> None:
    episode = Episode(1_000.0, deviation())
    assert is_frozen(episode, 1_000.0 + 86_399, DEFAULT_POLICY)
    assert not is_frozen(episode, 1_000.0 + 86_400, DEFAULT_POLICY)
    assert not is_frozen(None, 0.0, DEFAULT_POLICY)


@pytest.mark.parametrize(
    ("seconds", "text"), [(40.0, "40 seconds"), (300.0, "5 minutes"), (1_800.0, "30 minutes"), (9_000.0, "2.5 hours")]
)
def test_durations_are_written_in_the_largest_fitting_unit(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_an_anomaly_closes_once_it_was_normal_for_as_long_as_asked() -> None:
    policy = DEFAULT_POLICY
    episode, _ = update_episode(Signal.FAILURES, None, 0.0, deviation(), False, policy)
    episode, _ = update_episode(Signal.FAILURES, episode, 60.0, None, True, policy)
    at = 60.0 + policy.close_after_s
    before, verdict = update_episode(Signal.FAILURES, episode, at - 1, None, True, policy)
    assert (before, verdict.state) == (episode, SignalState.OPEN)
    assert update_episode(Signal.FAILURES, episode, at, None, True, policy)[0] is None
