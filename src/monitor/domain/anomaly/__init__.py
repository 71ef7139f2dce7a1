"""
Anomalies: measured departures of a webhook from its own normal. Pure and streaming.

Every signal is ``observe(baseline, sample, policy) -> (baseline, verdict)``, in the module of its name: ``failures``,
``latency``, ``tail``, ``volume``, ``silence``. A baseline is a frozen struct of
bounded size that the caller stores; time comes in the sample. :func:`observe_all` runs all five for one webhook.
"""

from monitor.domain.anomaly.detector import Baselines, observe_all, start_baselines
from monitor.domain.anomaly.model import Evidence, Sample, Signal, State, Verdict
from monitor.domain.anomaly.policy import AnomalyPolicy

__all__ = [
    "AnomalyPolicy",
    "Baselines",
    "Evidence",
    "Sample",
    "Signal",
    "State",
    "Verdict",
    "observe_all",
    "start_baselines",
]
