"""All signals of one webhook at once."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from monitor.domain.anomaly.failures import FailureBaseline, is_in_burst, observe_failures, start_failure_baseline
from monitor.domain.anomaly.latency import LatencyBaseline, observe_latency, start_latency_baseline
from monitor.domain.anomaly.latency_tail import (
    LatencyTailBaseline,
    observe_latency_tail,
    start_latency_tail_baseline,
)
from monitor.domain.anomaly.model import Sample, Signal, Verdict
from monitor.domain.anomaly.no_data import observe_no_data
from monitor.domain.anomaly.policy import DEFAULT_POLICY, AnomalyPolicy
from monitor.domain.anomaly.traffic import TrafficBaseline, start_traffic_baseline
from monitor.domain.anomaly.volume import observe_volume


class Baselines(msgspec.Struct, frozen=True):
    """
    The baselines of one webhook: about 8 KiB encoded, at most 16, whatever the traffic.

    Encoding as JSON or MessagePack and decoding gives an equal value.
    """

    failures: FailureBaseline
    latency: LatencyBaseline
    latency_tail: LatencyTailBaseline
    traffic: TrafficBaseline


def start_baselines(at: float) -> Baselines:
    """Return the baselines of a webhook first observed at *at* (Unix seconds)."""
    return Baselines(
        start_failure_baseline(at),
        start_latency_baseline(at),
        start_latency_tail_baseline(at),
        start_traffic_baseline(at),
    )


def observe_all(
    baselines: Baselines,
    sample: Sample,
    policy: AnomalyPolicy = DEFAULT_POLICY,
    quiet: Collection[Signal] = (),
) -> tuple[Baselines, tuple[Verdict, ...]]:
    """
    Add *sample* to every baseline and return one verdict per signal, in the order of :class:`Signal`.

    While failures are open, the other signals get an empty, held sample: attempts are retries and probes rather than
    the producer's traffic, the few responses are not typical, and one incident should not open five anomalies. In a
    burst of failures the signals of latency get one, too, whether or not that burst is usual: what answers between
    failures is slower and no measure of the time after. So do signals that are *quiet*: what happens inside a silence
    is not learned.
    """
    nothing = Sample(at=sample.at, held=True)

    def seen(signal: Signal, sample: Sample) -> Sample:
        return nothing if signal in quiet else sample

    failures, on_failures = observe_failures(baselines.failures, seen(Signal.FAILURES, sample), policy)
    attempts = nothing if failures.episode is not None else sample
    responses = nothing if is_in_burst(failures, policy) else attempts
    latency, on_latency = observe_latency(baselines.latency, seen(Signal.LATENCY, responses), policy)
    latency_tail, on_latency_tail = observe_latency_tail(
        baselines.latency_tail, seen(Signal.LATENCY_TAIL, responses), policy
    )
    traffic, on_volume = observe_volume(baselines.traffic, seen(Signal.VOLUME, attempts), policy)
    traffic, on_no_data = observe_no_data(traffic, seen(Signal.NO_DATA, attempts), policy)
    verdicts = (on_failures, on_latency, on_latency_tail, on_volume, on_no_data)
    return Baselines(failures, latency, latency_tail, traffic), verdicts
