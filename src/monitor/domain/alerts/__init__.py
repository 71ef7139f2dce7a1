"""
Alerts: what a person must look at, how it came about and what was done about it. Pure.

An alert is a fold over its history: :func:`apply` decides which entries a trigger adds, and every field follows from
the entries alone, so :func:`replay` gives the same alert. :mod:`~monitor.domain.alerts.conditions` tells what is wrong
with a webhook; :mod:`~monitor.domain.alerts.silences` whom not to tell.
"""

from monitor.domain.alerts.conditions import Condition, MassFailure, Subject, check_mass_failure, conditions_of
from monitor.domain.alerts.lifecycle import Acknowledge, Observe, Resolve, apply_trigger
from monitor.domain.alerts.model import (
    OPEN_STATES,
    SYSTEM_ACTOR,
    Action,
    Alert,
    AlertKind,
    AlertPolicy,
    AlertState,
    Cause,
    HistoryEntry,
    Identity,
    replay,
)
from monitor.domain.alerts.silences import Silence, SilenceSpec

__all__ = [
    "OPEN_STATES",
    "SYSTEM_ACTOR",
    "Acknowledge",
    "Action",
    "Alert",
    "AlertKind",
    "AlertPolicy",
    "AlertState",
    "Cause",
    "Condition",
    "HistoryEntry",
    "Identity",
    "MassFailure",
    "Observe",
    "Resolve",
    "Silence",
    "SilenceSpec",
    "Subject",
    "apply_trigger",
    "check_mass_failure",
    "conditions_of",
    "replay",
]
