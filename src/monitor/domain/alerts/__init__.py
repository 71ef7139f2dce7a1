"""
Alerts: conditions that need attention, their lifecycle, silences and notifications. Pure.

An alert is a fold over its history: :func:`apply_trigger` decides which entries a trigger adds, and every field follows
from the entries alone, so :func:`replay` gives the same alert. :mod:`~monitor.domain.alerts.evaluation` turns attempts
into conditions, :mod:`~monitor.domain.alerts.lifecycle` conditions and commands into entries.
"""

from monitor.domain.alerts.alert import (
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
from monitor.domain.alerts.conditions import Condition, MassFailure, WebhookSnapshot, check_mass_failure, conditions_of
from monitor.domain.alerts.lifecycle import (
    Acknowledge,
    Comment,
    Remind,
    Resolve,
    Tell,
    Unacknowledge,
    UpdateConditions,
    apply_trigger,
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
    "Comment",
    "Condition",
    "HistoryEntry",
    "Identity",
    "MassFailure",
    "Remind",
    "Resolve",
    "Silence",
    "SilenceSpec",
    "Tell",
    "Unacknowledge",
    "UpdateConditions",
    "WebhookSnapshot",
    "apply_trigger",
    "check_mass_failure",
    "conditions_of",
    "replay",
]
