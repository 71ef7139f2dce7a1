"""Opening and closing with hysteresis, the same for every signal."""

from __future__ import annotations

import msgspec

from monitor.domain.anomaly.model import Evidence, Signal, State, Verdict
from monitor.domain.anomaly.policy import AnomalyPolicy
from monitor.domain.vocab import Severity, worst


class Alarm(msgspec.Struct, frozen=True):
    """A sample that cannot be explained by normal operation."""

    evidence: Evidence
    severity: Severity
    sentence: str


class Episode(msgspec.Struct, frozen=True):
    """An open anomaly. ``alarm`` is the latest one, its severity the highest; ``calm_since`` runs while all is well."""

    opened_at: float
    alarm: Alarm
    calm_since: float | None = None


def is_frozen(episode: Episode | None, at: float, policy: AnomalyPolicy) -> bool:
    """Whether the baseline must not learn at *at*: an anomaly is open, and not yet for ``policy.freeze_s``."""
    return episode is not None and at < episode.opened_at + policy.freeze_s


def learning(signal: Signal, at: float, sentence: str) -> Verdict:
    """Say that the baseline does not know enough to judge."""
    return Verdict(signal, State.LEARNING, at, sentence)


def standing(signal: Signal, episode: Episode | None, at: float) -> Verdict:
    """Tell the present state without a new judgement."""
    if episode is None:
        return Verdict(signal, State.NORMAL, at, "Normal.")
    return _tell(signal, State.OPEN, at, episode.alarm, episode.opened_at)


def judge(
    signal: Signal, episode: Episode | None, at: float, alarm: Alarm | None, calm: bool, policy: AnomalyPolicy
) -> tuple[Episode | None, Verdict]:
    """
    Step the state of one signal.

    Args:
        alarm: what is wrong, or ``None``. Opens an anomaly, and keeps it open.
        calm: whether there is positive evidence of normal operation just now. It outweighs an alarm, which may come
            from a window that still holds the worst of it; neither alarm nor calm holds the state.

    Returns:
        The open episode or ``None``, and the verdict. OPENED and CLOSED come once per episode, in this order.
    """
    if episode is None:
        if alarm is None:
            return None, standing(signal, None, at)
        return Episode(at, alarm), _tell(signal, State.OPENED, at, alarm, at)
    if alarm is not None and not calm:
        alarm = msgspec.structs.replace(alarm, severity=worst(alarm.severity, episode.alarm.severity))
        return Episode(episode.opened_at, alarm), _tell(signal, State.OPEN, at, alarm, episode.opened_at)
    if not calm:
        held = episode if episode.calm_since is None else msgspec.structs.replace(episode, calm_since=None)
        return held, standing(signal, episode, at)
    since = at if episode.calm_since is None else episode.calm_since
    if at - since < policy.close_after_s:
        return Episode(episode.opened_at, episode.alarm, since), standing(signal, episode, at)
    sentence = f"Back to normal after {duration(at - episode.opened_at)}."
    closed = msgspec.structs.replace(episode.alarm, sentence=sentence)
    return None, _tell(signal, State.CLOSED, at, closed, episode.opened_at)


def duration(seconds: float) -> str:
    """Return *seconds* as a person says it: ``40 seconds``, ``5 minutes``, ``2.5 hours``."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 5_400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3_600:.1f} hours"


def _tell(signal: Signal, state: State, at: float, alarm: Alarm, opened_at: float) -> Verdict:
    return Verdict(signal, state, at, alarm.sentence, alarm.severity, alarm.evidence, opened_at)
