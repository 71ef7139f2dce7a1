"""All signals of one webhook at once."""

from __future__ import annotations

import msgspec

from monitor.domain.anomaly import failures, latency, traffic, volume
from monitor.domain.anomaly import latency_tail as tail
from monitor.domain.anomaly import no_data as silence
from monitor.domain.anomaly.failures import FailureBaseline
from monitor.domain.anomaly.latency import LatencyBaseline
from monitor.domain.anomaly.latency_tail import TailBaseline
from monitor.domain.anomaly.model import Sample, Verdict
from monitor.domain.anomaly.policy import DEFAULT_POLICY, AnomalyPolicy
from monitor.domain.anomaly.traffic import TrafficBaseline


class Baselines(msgspec.Struct, frozen=True):
    """
    Everything that is known about one webhook's normal: about 5 KiB as JSON, whatever the traffic.

    Store it as ``msgspec.json.encode(baselines)``; decoding gives an equal value.
    """

    failures: FailureBaseline
    latency: LatencyBaseline
    tail: TailBaseline
    traffic: TrafficBaseline


def start_baselines(at: float) -> Baselines:
    """Return the baselines of a webhook first seen at *at* (Unix seconds)."""
    return Baselines(failures.start(at), latency.start(at), tail.start(at), traffic.start(at))


def observe_all(
    baselines: Baselines, sample: Sample, policy: AnomalyPolicy = DEFAULT_POLICY
) -> tuple[Baselines, tuple[Verdict, ...]]:
    """
    Take in *sample* and judge it by every signal.

    While failures are open, the other signals see an empty, held sample: attempts are retries and probes rather than
    the producer's traffic, the few answers are not typical, and one incident should not open five anomalies.

    Returns:
        The new baselines and one verdict each for failures, latency, tail, volume and silence, in this order.
    """
    failing, on_failures = failures.observe(baselines.failures, sample, policy)
    if failing.episode is not None:
        sample = Sample(at=sample.at, held=True)
    slow, on_latency = latency.observe(baselines.latency, sample, policy)
    late, on_tail = tail.observe(baselines.tail, sample, policy)
    flow, on_volume = volume.observe(baselines.traffic, sample, policy)
    flow, on_silence = silence.observe(flow, sample, policy)
    return Baselines(failing, slow, late, flow), (on_failures, on_latency, on_tail, on_volume, on_silence)
