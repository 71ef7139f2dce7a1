"""Signals whose attempts a silence covers are not learned."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from monitor.domain.alerts import AlertKind, Silence
from monitor.domain.alerts.conditions import WebhookSnapshot
from monitor.domain.alerts.evaluation import DetectionPolicy, EvaluationInput, evaluate_webhook
from monitor.domain.alerts.quiet import with_quiet
from monitor.domain.anomaly import Signal, SignalState
from monitor.domain.anomaly.tally import tally_of
from monitor.domain.monitoring.health import UNKNOWN_HEALTH
from tests.fakes.clock import START
from tests.unit.domain.alerts.alert_stories import NOW, WEBHOOK
from tests.unit.domain.services.detection_harness import learned

HOUR, TICK = timedelta(hours=1), timedelta(seconds=15)
LATENCIES = {Signal.LATENCY, Signal.LATENCY_TAIL}
TARGET = EvaluationInput(
    webhook_id=WEBHOOK,
    labels={"team": "blue"},
    webhook=WebhookSnapshot(
        name="orders",
        health=UNKNOWN_HEALTH,
        failing_since=None,
        enabled=True,
        disabled_reason=None,
        disabled_at=None,
        quarantined=0,
        expired=0,
    ),
    evaluated_at=NOW - TICK,
)


def silence(from_at: datetime = NOW - HOUR, until: datetime = NOW + HOUR, **scope: Any) -> Silence:
    return Silence(id=UUID(int=1), created_by="ada", created_at=from_at, reason="Maintenance.", ends_at=until, **scope)


@pytest.mark.parametrize(
    ("scope", "quiet"),
    [
        ({"webhook_id": WEBHOOK}, set(Signal)),
        ({"label": "team=blue"}, set(Signal)),
        ({"kind": AlertKind.FAILING}, {Signal.FAILURES}),
        ({"kind": AlertKind.LATENCY}, LATENCIES),
        ({"kind": AlertKind.VOLUME}, {Signal.VOLUME, Signal.NO_DATA}),
        ({"kind": AlertKind.DISABLED}, set()),
        ({"webhook_id": UUID(int=9)}, set()),
        ({"label": "team=red"}, set()),
    ],
)
def test_a_silence_covers_the_signals_of_its_kind(scope: dict[str, Any], quiet: set[Signal]) -> None:
    assert with_quiet(TARGET, [silence(**scope)], NOW).quiet == quiet


@pytest.mark.parametrize(
    ("from_at", "until", "is_quiet"),
    [
        (NOW, NOW + HOUR, True),
        (NOW + TICK, NOW + HOUR, False),
        # What it covers was attempted since the last evaluation.
        (NOW - HOUR, NOW - TICK / 2, True),
        (NOW - HOUR, NOW - TICK, False),
    ],
)
def test_a_silence_since_the_last_evaluation_covers_its_attempts(
    from_at: datetime, until: datetime, is_quiet: bool
) -> None:
    assert bool(with_quiet(TARGET, [silence(from_at, until)], NOW).quiet) is is_quiet


@pytest.mark.parametrize("holds", [False, True])
def test_what_is_held_is_no_lack_of_traffic(holds: bool) -> None:
    one = silence(webhook_id=WEBHOOK, kind=AlertKind.LATENCY, hold_deliveries=holds)
    assert with_quiet(TARGET, [one], NOW).held is holds


@pytest.mark.parametrize("kind", [None, AlertKind.LATENCY])
def test_what_happens_inside_a_silence_opens_no_anomaly_and_is_not_learned(kind: AlertKind | None) -> None:
    idle = replace(TARGET, baselines=learned(), evaluated_at=START - TICK)
    slow = replace(idle, unevaluated=tally_of([(True, 30_000.0)] * 200))
    inside = with_quiet(slow, [silence(START - HOUR, START + HOUR, kind=kind)], START)
    found, quiet, nothing = (evaluate_webhook(one, START, DetectionPolicy()) for one in (slow, inside, idle))
    assert SignalState.OPENED in {verdict.state for verdict in found.verdicts}
    assert {verdict.state for verdict in quiet.verdicts if verdict.signal in LATENCIES} == {SignalState.NORMAL}
    assert quiet.baselines.latency == nothing.baselines.latency != found.baselines.latency
    assert quiet.baselines.latency_tail == nothing.baselines.latency_tail
