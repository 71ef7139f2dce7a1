"""What is wrong with a webhook now, and with all of them together."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from monitor.domain.alerts.model import AlertKind, AlertPolicy, Cause
from monitor.domain.anomaly import Signal, SignalState, Verdict
from monitor.domain.monitoring.health import Health, HealthPolicy, continuous_failure
from monitor.domain.vocab import HealthStatus, Severity


class Condition(msgspec.Struct, frozen=True):
    """One cause that holds. ``title`` is a sentence that names the webhook, ``evidence`` holds plain JSON values."""

    cause: Cause
    severity: Severity
    title: str
    evidence: dict[str, Any]


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one webhook when it is looked at. ``quarantined`` counts its deliveries of the last day."""

    name: str
    health: Health
    failing_since: datetime | None = None
    enabled: bool = True
    disabled_reason: str | None = None
    quarantined: int = 0


class MassFailure(msgspec.Struct, frozen=True):
    """How many of the webhooks that were tried lately began to fail lately."""

    failing: int
    tried: int


_SIGNALS: dict[Signal, tuple[AlertKind, Cause]] = {
    Signal.FAILURES: (AlertKind.FAILING, Cause.FAILURES),
    Signal.LATENCY: (AlertKind.LATENCY, Cause.LATENCY),
    Signal.LATENCY_TAIL: (AlertKind.LATENCY, Cause.LATENCY_TAIL),
    Signal.VOLUME: (AlertKind.VOLUME, Cause.VOLUME),
    Signal.NO_DATA: (AlertKind.VOLUME, Cause.NO_DATA),
}

WEBHOOK_KINDS = tuple(kind for kind in AlertKind if kind is not AlertKind.MASS_FAILURE)
"""The kinds that one webhook can have."""


def conditions_of(
    subject: Subject, verdicts: Sequence[Verdict], now: datetime, *, policy: AlertPolicy, health: HealthPolicy
) -> dict[AlertKind, tuple[Condition, ...]]:
    """
    Return what holds for a webhook, by the kind of alert it belongs to; every kind of a webhook is a key.

    One that is disabled gets nothing, so how it last did is no trouble any more; that it was disabled by itself is.
    """
    found: dict[AlertKind, list[Condition]] = {kind: [] for kind in WEBHOOK_KINDS}
    if not subject.enabled:
        if subject.disabled_reason is not None:
            found[AlertKind.DISABLED].append(_disabled(subject, subject.disabled_reason))
    else:
        if (unavailable := _unavailable(subject, now, policy)) is not None:
            found[AlertKind.FAILING].append(unavailable)
        for verdict in verdicts:
            if verdict.state in (SignalState.OPENED, SignalState.OPEN):
                kind, cause = _SIGNALS[verdict.signal]
                found[kind].append(_departed(subject, verdict, cause))
        since = subject.failing_since
        if since is not None and continuous_failure(since, now, health) != "none":
            found[AlertKind.DISABLING].append(_disabling(subject, since, health))
    if subject.quarantined:
        found[AlertKind.QUARANTINED].append(_quarantined(subject))
    return {kind: tuple(conditions) for kind, conditions in found.items()}


def check_mass_failure(found: MassFailure, *, is_open: bool, policy: AlertPolicy) -> Condition | None:
    """
    Judge all webhooks together; *is_open* tells that the alert is there, which takes less to keep than to raise.

    Returns:
        What holds if more than half of the webhooks began to fail together, else ``None``.
    """
    least = policy.mass_failure_min
    ratio = found.failing / found.tried if found.tried else 0.0
    if is_open:
        least, wanted = 1, policy.mass_failure_ratio / 2
    else:
        wanted = policy.mass_failure_ratio
    if found.failing < least or ratio <= wanted:
        return None
    return Condition(
        Cause.MASS_FAILURE,
        Severity.CRITICAL,
        f"{found.failing} of {found.tried} webhooks began to fail together; look at what they share.",
        {"failing": found.failing, "watched": found.tried},
    )


def _unavailable(subject: Subject, now: datetime, policy: AlertPolicy) -> Condition | None:
    health = subject.health
    if health.status is not HealthStatus.UNAVAILABLE or health.changed_at is None:
        return None
    if now - health.changed_at < timedelta(seconds=policy.unavailable_s):
        return None
    return Condition(
        Cause.HEALTH,
        Severity.CRITICAL,
        f"{subject.name} is unavailable: {_lower_first(health.reason)}",
        msgspec.to_builtins(
            {
                "status": health.status,
                "reason": health.reason,
                "since": health.changed_at,
                "failure_probability": health.failure_probability,
            }
        ),
    )


def _departed(subject: Subject, verdict: Verdict, cause: Cause) -> Condition:
    return Condition(
        cause,
        verdict.severity or Severity.WARNING,
        f"{subject.name}: {_lower_first(verdict.sentence)}",
        msgspec.to_builtins(verdict.evidence) or {},
    )


def _disabling(subject: Subject, since: datetime, health: HealthPolicy) -> Condition:
    ends_at = since + timedelta(seconds=health.disable_after_s)
    return Condition(
        Cause.FAILING_FOR_DAYS,
        Severity.CRITICAL,
        f"{subject.name} has failed since {since:%d %B, %H:%M} UTC without one success; it will be"
        f" disabled on {ends_at:%d %B, %H:%M} UTC.",
        msgspec.to_builtins({"failing_since": since, "disabled_at": ends_at}),
    )


def _disabled(subject: Subject, reason: str) -> Condition:
    return Condition(
        Cause.DISABLED,
        Severity.CRITICAL,
        f"{subject.name} was disabled: {_lower_first(reason)}",
        {"reason": reason},
    )


def _quarantined(subject: Subject) -> Condition:
    several = subject.quarantined > 1
    deliveries = f"{subject.quarantined} deliveries were" if several else "1 delivery was"
    return Condition(
        Cause.QUARANTINED,
        Severity.WARNING,
        f"{subject.name}: {deliveries} set aside, since workers stopped while sending {'them' if several else 'it'}.",
        {"quarantined": subject.quarantined},
    )


def _lower_first(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
