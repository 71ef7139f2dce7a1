"""Quiet: the signals of a webhook whose attempts a silence covers. What is planned is no measure of what is normal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from monitor.domain.alerts.conditions import SIGNALS
from monitor.domain.alerts.evaluation import EvaluationInput
from monitor.domain.alerts.silences import Silence

QUIET_FOR = timedelta(hours=1)
"""Silences that ended within it cover the attempts that were not evaluated since."""


def with_quiet(target: EvaluationInput, silences: Sequence[Silence], now: datetime) -> EvaluationInput:
    """
    Return *target* with the signals that *silences* cover at *now*, or have covered since its last evaluation.

    The attempts of an evaluation are not told apart by time, so one that begins or ends inside it covers all of them. A
    silence of one kind of alert covers the signals that cause it. One that holds deliveries changes the traffic, too.
    """
    covering = [
        silence
        for silence in silences
        if silence.covers(target.webhook_id, target.labels) and silence.is_active(now, target.evaluated_at)
    ]
    if not covering:
        return target
    kinds = {silence.kind for silence in covering}
    quiet = frozenset(signal for signal, (kind, _) in SIGNALS.items() if None in kinds or kind in kinds)
    held = target.held or any(silence.hold_deliveries for silence in covering)
    return msgspec.structs.replace(target, quiet=quiet, held=held)
