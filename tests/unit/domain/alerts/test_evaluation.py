"""Evaluation of a webhook: conditions, baselines, and when the next one is due."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.alerts import AlertKind, WebhookSnapshot
from monitor.domain.alerts.conditions import WEBHOOK_KINDS
from monitor.domain.alerts.evaluation import (
    DetectionPolicy,
    EvaluationInput,
    NormalBand,
    evaluate_webhook,
    normal_band,
    signals_beside,
)
from monitor.domain.anomaly import Baselines, Signal, SignalState, Verdict, observe_all, start_baselines
from monitor.domain.anomaly.tally import NO_ATTEMPTS, tally_of
from monitor.domain.monitoring.health import UNKNOWN_HEALTH, Health
from monitor.domain.vocab import HealthStatus
from tests import strategies as our
from tests.unit.domain.alerts.alert_stories import NOW, WEBHOOK
from tests.unit.domain.anomaly.anomaly_streams import DAY_S, sample_of, stream

POLICY = DetectionPolicy()
BUSY, IDLE = NOW + timedelta(seconds=15), NOW + timedelta(seconds=60)
HEALTHY = Health(HealthStatus.HEALTHY, "The last attempt succeeded.", 0.02)
UNAVAILABLE = Health(HealthStatus.UNAVAILABLE, "All of the last 5 attempts failed: HTTP 503.", 0.9, NOW)
MADE = tally_of([(True, 80.0)])


def target(health: Health = HEALTHY, webhook: dict[str, Any] | None = None, **fields: Any) -> EvaluationInput:
    known: dict[str, Any] = {"webhook_id": WEBHOOK, "labels": {}, "evaluated_at": NOW - timedelta(seconds=15)}
    return EvaluationInput(webhook=WebhookSnapshot(name="Orders", health=health, **(webhook or {})), **known | fields)


def learned(until: datetime, days: int = 2, **traffic: Any) -> Baselines:
    """Return the baselines after some *days* of steady traffic, one sample a minute."""
    begin = until.timestamp() - days * DAY_S
    baselines = start_baselines(begin)
    for sample in stream(begin, days * DAY_S, **traffic):
        baselines, _ = observe_all(baselines, sample)
    return baselines


LEARNED_UNTIL = NOW - timedelta(minutes=1)
BUSY_BASELINES = learned(LEARNED_UNTIL, per_tick=10)


@given(our.evaluation_inputs, our.instants, our.baselines)
def test_an_evaluation_is_total_and_pure(seen: EvaluationInput, now: datetime, baselines: Baselines) -> None:
    """Any webhook can be evaluated at any time, with equal results for equal input; it is due again unless deleted."""
    for one in (seen, msgspec.structs.replace(seen, baselines=baselines)):
        found = evaluate_webhook(one, now, POLICY)
        assert found == evaluate_webhook(one, now, POLICY)
        assert found.webhook_id == one.webhook_id
        assert (found.evaluate_at is None) is one.deleted
        if not one.deleted:
            assert tuple(found.conditions) == WEBHOOK_KINDS
            assert tuple(found.signals) == tuple(Signal)
            assert set(found.signals.values()) <= {"learning", "normal", "open"}


@given(our.baselines)
def test_baselines_survive_storage(baselines: Baselines) -> None:
    """decode(encode(x)) == x."""
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(baselines), type=Baselines) == baselines


@given(our.normals)
def test_bands_survive_the_wire(normal: NormalBand) -> None:
    """decode(encode(x)) == x."""
    assert msgspec.json.decode(msgspec.json.encode(normal), type=NormalBand) == normal


def test_the_first_evaluation_starts_the_baselines() -> None:
    found = evaluate_webhook(target(unevaluated=tally_of([(True, 80.0)] * 3), evaluated_at=None), NOW, POLICY)
    assert found.baselines.failures.attempts == 3
    assert found.baselines.failures.started_at == NOW.timestamp() - POLICY.busy_s
    assert set(found.signals.values()) == {"learning"}


def test_an_evaluation_adds_the_attempts_to_the_baselines() -> None:
    attempts = [(True, 0.1)] * 5 + [(False, 9.0)] * 3
    found = evaluate_webhook(target(unevaluated=tally_of(attempts), baselines=BUSY_BASELINES), NOW, POLICY)
    expected, verdicts = observe_all(BUSY_BASELINES, sample_of(NOW.timestamp(), attempts))
    assert found.baselines.failures == expected.failures
    assert found.verdicts[0] == verdicts[0]


def test_an_open_signal_is_a_condition() -> None:
    outage = tally_of([(False, 9.0)] * 50)
    found = evaluate_webhook(target(unevaluated=outage, baselines=BUSY_BASELINES), NOW, POLICY)
    assert found.signals["failures"] == "open"
    assert found.conditions[AlertKind.FAILING]


@pytest.mark.parametrize(
    ("fields", "next_at"),
    [
        ({}, IDLE),
        ({"health": UNKNOWN_HEALTH}, IDLE),
        ({"unevaluated": MADE}, BUSY),
        ({"health": UNAVAILABLE}, BUSY),
        ({"health": Health(HealthStatus.DEGRADED, "2 of the last 9 attempts failed: HTTP 503.", 0.2, NOW)}, BUSY),
        ({"webhook": {"quarantined": 1}}, BUSY),
        ({"webhook": {"expired": 1}}, BUSY),
        ({"webhook": {"enabled": False, "disabled_reason": "The receiver is gone."}}, BUSY),
        ({"webhook": {"enabled": False}}, IDLE),
        ({"deleted": True, "unevaluated": MADE}, None),
    ],
)
def test_the_interval_depends_on_attempts_and_conditions(fields: dict[str, Any], next_at: datetime | None) -> None:
    assert evaluate_webhook(target(**fields), NOW, POLICY).evaluate_at == next_at


def test_a_deleted_webhook_has_no_conditions() -> None:
    found = evaluate_webhook(
        target(UNAVAILABLE, {"quarantined": 3}, deleted=True, baselines=BUSY_BASELINES), NOW, POLICY
    )
    assert (found.verdicts, found.signals) == ((), {})
    assert not any(found.conditions.values())
    assert normal_band(found.baselines, found.verdicts) == NormalBand()


@pytest.mark.parametrize(
    ("after_s", "held", "state"),
    [(60, False, "normal"), (300, False, "open"), (301, False, "normal"), (300, True, "normal")],
)
def test_missing_attempts_count_only_in_evaluated_time(after_s: float, held: bool, state: str) -> None:
    """Attempts that Monitor holds back, or did not evaluate, are not missing."""
    seen = target(baselines=BUSY_BASELINES, held=held, evaluated_at=LEARNED_UNTIL)
    assert evaluate_webhook(seen, LEARNED_UNTIL + timedelta(seconds=after_s), POLICY).signals["no_data"] == state


def test_without_a_learned_baseline_there_is_no_band() -> None:
    found = evaluate_webhook(target(unevaluated=MADE), NOW, POLICY)
    assert normal_band(found.baselines, found.verdicts) == NormalBand()


def test_the_band_matches_the_traffic() -> None:
    found = evaluate_webhook(target(baselines=BUSY_BASELINES), NOW, POLICY)
    band = normal_band(found.baselines, found.verdicts)
    assert band.failure_ratio == pytest.approx(0.01, abs=0.005)
    assert band.latency_ms == pytest.approx(100, rel=0.1)
    assert band.latency_low_ms == pytest.approx(67, rel=0.15)
    assert band.latency_high_ms == pytest.approx(149, rel=0.15)
    assert band.slow_ms == pytest.approx(193, rel=0.15)


@given(our.baselines, st.sets(st.sampled_from(Signal)))
def test_a_band_is_null_exactly_while_its_signal_is_learning(baselines: Baselines, learned: set[Signal]) -> None:
    """Each member depends on its own signal; low <= middle <= high."""
    verdicts = tuple(
        Verdict(signal, SignalState.NORMAL if signal in learned else SignalState.LEARNING, 0.0, "Said.")
        for signal in Signal
    )
    band = normal_band(baselines, verdicts)
    assert (band.failure_ratio is not None) == (Signal.FAILURES in learned)
    assert (band.slow_ms is not None) == (Signal.LATENCY_TAIL in learned)
    latencies = (band.latency_low_ms, band.latency_ms, band.latency_high_ms)
    assert all((value is not None) == (Signal.LATENCY in learned) for value in latencies)
    if None not in latencies:
        assert latencies[0] <= latencies[1] <= latencies[2]  # type: ignore[operator]


def test_there_is_one_verdict_for_each_signal() -> None:
    _, verdicts = observe_all(start_baselines(0.0), sample_of(60.0, []))
    assert tuple(verdict.signal for verdict in verdicts) == tuple(Signal)
    assert target().unevaluated == NO_ATTEMPTS


def test_a_signal_shows_as_learning_normal_or_open() -> None:
    found = evaluate_webhook(target(), NOW, POLICY)
    states = dict(zip(SignalState, ["learning", "normal", "open", "open", "normal"], strict=True))
    for state, shown in states.items():
        verdict = Verdict(Signal.VOLUME, state, 0.0, "Said.")
        assert msgspec.structs.replace(found, verdicts=(verdict,)).signals == {"volume": shown}


@pytest.mark.parametrize("health", HealthStatus)
@pytest.mark.parametrize("state", ["learning", "normal", "open"])
def test_failures_are_not_called_normal_beside_bad_health(health: HealthStatus, state: str) -> None:
    shown = signals_beside(health, {"failures": state, "latency": "normal"})
    is_bad = health in (HealthStatus.DEGRADED, HealthStatus.UNAVAILABLE)
    assert shown == {"failures": "failing" if is_bad and state == "normal" else state, "latency": "normal"}
