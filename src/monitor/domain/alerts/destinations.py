"""Which webhooks are notified of alerts: those that subscribe to Monitor's own events about alerts."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.domain.alerts.notification import RAISED
from monitor.domain.delivery.event_types import patterns_for
from monitor.domain.vocab import Severity

SEVERITY_LABEL = "severity"

RAISED_PATTERNS = patterns_for(RAISED)
"""A webhook with one of these patterns gets raised alerts."""


def gets_critical(labels: Mapping[str, str], *, enabled: bool) -> bool:
    """Whether a webhook with a pattern of :data:`RAISED_PATTERNS` gets critical alerts, of some webhook and kind."""
    return enabled and labels.get(SEVERITY_LABEL, Severity.CRITICAL) == Severity.CRITICAL
