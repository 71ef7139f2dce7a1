"""
Anomaly detection: statistically significant departures of a webhook from its own baseline. Pure and streaming.

Each signal has a function ``observe_*(baseline, sample, policy) -> (baseline, verdict)`` in the module of its name; a
sample that is not newer than the baseline returns it unchanged, with the current verdict. A baseline is a frozen struct
of bounded size that the caller stores; time comes with the sample. :func:`observe_all` runs every signal.
"""

from monitor.domain.anomaly.detector import Baselines, observe_all, start_baselines
from monitor.domain.anomaly.model import Evidence, Sample, Signal, SignalState, Verdict
from monitor.domain.anomaly.policy import AnomalyPolicy

__all__ = [
    "AnomalyPolicy",
    "Baselines",
    "Evidence",
    "Sample",
    "Signal",
    "SignalState",
    "Verdict",
    "observe_all",
    "start_baselines",
]
