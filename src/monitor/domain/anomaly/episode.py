"""Opening and closing an anomaly with hysteresis, the same for every signal."""

from __future__ import annotations

from typing import Literal

import msgspec

from monitor.domain.anomaly.model import Evidence, Signal, SignalState, Verdict
from monitor.domain.anomaly.policy import AnomalyPolicy
from monitor.domain.vocab import Severity, highest_severity

LearningMode = Literal["learning", "detecting", "frozen"]
"""What a baseline does with new observations: learn each at once, when it has left the windows, or not at all."""


class Deviation(msgspec.Struct, frozen=True):
    """A significant departure from the baseline."""

    evidence: Evidence
    severity: Severity
    sentence: str


class Episode(msgspec.Struct, frozen=True):
    """An open anomaly: the latest deviation with the highest severity, and since when all samples have been normal."""

    opened_at: float
    deviation: Deviation
    normal_since: float | None = None


def is_frozen(episode: Episode | None, at: float, policy: AnomalyPolicy) -> bool:
    """Whether the baseline must not learn at *at*: an anomaly is open, and not yet for ``policy.freeze_s``."""
    return episode is not None and at < episode.opened_at + policy.freeze_s


def learning_mode(has_learned: bool, episode: Episode | None, at: float, policy: AnomalyPolicy) -> LearningMode:
    """Return the mode in which a sample of time *at* is added."""
    if is_frozen(episode, at, policy):
        return "frozen"
    return "detecting" if has_learned else "learning"


def learning_verdict(signal: Signal, at: float, sentence: str) -> Verdict:
    """Return the verdict of a baseline with too few observations."""
    return Verdict(signal, SignalState.LEARNING, at, sentence)


def current_verdict(signal: Signal, episode: Episode | None, at: float) -> Verdict:
    """Return the present state without a new measurement."""
    if episode is None:
        return Verdict(signal, SignalState.NORMAL, at, "Normal.")
    return _verdict(signal, SignalState.OPEN, at, episode.deviation, episode.opened_at)


def update_episode(
    signal: Signal,
    episode: Episode | None,
    at: float,
    deviation: Deviation | None,
    is_normal: bool,
    policy: AnomalyPolicy,
) -> tuple[Episode | None, Verdict]:
    """
    Step the state of one signal.

    Args:
        deviation: opens an anomaly, and keeps it open.
        is_normal: whether there is positive evidence of normal operation just now. It outweighs a deviation, which may
            come from a window that still holds the worst of it. Neither of both keeps the state.

    Returns:
        The open episode or ``None``, and the verdict. OPENED and CLOSED come once per episode, in this order.
    """
    if episode is None:
        if deviation is None:
            return None, current_verdict(signal, None, at)
        return Episode(at, deviation), _verdict(signal, SignalState.OPENED, at, deviation, at)
    if deviation is not None and not is_normal:
        deviation = msgspec.structs.replace(
            deviation, severity=highest_severity(deviation.severity, episode.deviation.severity)
        )
        verdict = _verdict(signal, SignalState.OPEN, at, deviation, episode.opened_at)
        return Episode(episode.opened_at, deviation), verdict
    if not is_normal:
        return msgspec.structs.replace(episode, normal_since=None), current_verdict(signal, episode, at)
    since = at if episode.normal_since is None else episode.normal_since
    if at - since < policy.close_after_s:
        return Episode(episode.opened_at, episode.deviation, since), current_verdict(signal, episode, at)
    sentence = f"Back to normal after {format_duration(at - episode.opened_at)}."
    closed = msgspec.structs.replace(episode.deviation, sentence=sentence)
    return None, _verdict(signal, SignalState.CLOSED, at, closed, episode.opened_at)


def format_duration(seconds: float) -> str:
    """Return *seconds* as text: ``40 seconds``, ``5 minutes``, ``2.5 hours``."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 5_400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3_600:.1f} hours"


def _verdict(signal: Signal, state: SignalState, at: float, deviation: Deviation, opened_at: float) -> Verdict:
    return Verdict(signal, state, at, deviation.sentence, deviation.severity, deviation.evidence, opened_at)
