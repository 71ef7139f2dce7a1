"""
Anomalies: measured departures of a webhook from its own normal. Pure and streaming.

Every signal is ``observe(baseline, sample, policy) -> (baseline, verdict)``, in the module of its name: ``failures``,
``latency``, ``tail``, ``volume``, ``silence``, and ``series`` for a plain number. A baseline is a frozen struct of
bounded size that the caller stores; time comes in the sample. :func:`observe_all` runs all five for one webhook.
"""

from monitor.domain.anomaly.detector import Baselines, observe_all, start_baselines
from monitor.domain.anomaly.failures import failure_probability
from monitor.domain.anomaly.model import Evidence, Sample, Signal, State, Verdict, sample_of
from monitor.domain.anomaly.policy import AnomalyPolicy
from monitor.domain.anomaly.series import Point, score_series

__all__ = [
    "AnomalyPolicy",
    "Baselines",
    "Evidence",
    "Point",
    "Sample",
    "Signal",
    "State",
    "Verdict",
    "failure_probability",
    "observe_all",
    "sample_of",
    "score_series",
    "start_baselines",
]
