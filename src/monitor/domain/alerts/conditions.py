"""Alert conditions of one webhook, and of all webhooks together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from monitor.domain.alerts.alert import AlertKind, AlertPolicy, Cause
from monitor.domain.anomaly import Signal, SignalState, Verdict
from monitor.domain.delivery.fan_out import NO_REACH, Reach
from monitor.domain.delivery.retention import kept_until
from monitor.domain.monitoring.health import Health, HealthPolicy, continuous_failure
from monitor.domain.vocab import HealthStatus, Severity


class Condition(msgspec.Struct, frozen=True):
    """A cause that holds. ``title`` is a sentence that names the webhook, ``evidence`` holds plain JSON values."""

    cause: Cause
    severity: Severity
    title: str
    evidence: dict[str, Any]


EXPIRED_MAX = 1_000
"""Expired deliveries of a webhook that are counted; with one dropped partition, all that waited may expire at once."""


class WebhookSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One webhook at the time of an evaluation. ``quarantined`` and ``expired`` count its deliveries that ended so in
    the last day, the latter up to :data:`EXPIRED_MAX`."""

    name: str
    health: Health
    failing_since: datetime | None = None
    enabled: bool = True
    disabled_reason: str | None = None
    disabled_at: datetime | None = None
    quarantined: int = 0
    expired: int = 0


REACH_PAIRS = 200
"""Labels of failing webhooks by which a mass failure finds its destinations. With more, every one is notified."""

REACH_WEBHOOKS = 1_000
"""Number of failing webhooks up to which labels are read. With more, a mass failure goes to every destination."""


class MassFailure(msgspec.Struct, frozen=True):
    """Of the ``tried`` webhooks with recent attempts, ``failing`` became unavailable recently."""

    failing: int
    tried: int


SIGNALS: dict[Signal, tuple[AlertKind, Cause]] = {
    Signal.FAILURES: (AlertKind.FAILING, Cause.FAILURES),
    Signal.LATENCY: (AlertKind.LATENCY, Cause.LATENCY),
    Signal.LATENCY_TAIL: (AlertKind.LATENCY, Cause.LATENCY_TAIL),
    Signal.VOLUME: (AlertKind.VOLUME, Cause.VOLUME),
    Signal.NO_DATA: (AlertKind.VOLUME, Cause.NO_DATA),
}

WEBHOOK_KINDS = tuple(kind for kind in AlertKind if kind is not AlertKind.MASS_FAILURE)
"""The kinds of alert about one webhook."""


def conditions_of(
    webhook: WebhookSnapshot, verdicts: Sequence[Verdict], now: datetime, *, policy: AlertPolicy, health: HealthPolicy
) -> dict[AlertKind, tuple[Condition, ...]]:
    """
    Return the conditions of a webhook by kind of alert; every kind of :data:`WEBHOOK_KINDS` is a key.

    A disabled webhook gets no deliveries, so only the automatic disabling is a condition, not its last failures.
    """
    found: dict[AlertKind, list[Condition]] = {kind: [] for kind in WEBHOOK_KINDS}
    if not webhook.enabled:
        if webhook.disabled_reason is not None:
            found[AlertKind.DISABLED].append(_disabled(webhook, webhook.disabled_reason, policy))
    else:
        if (unavailable := _unavailable(webhook, now, policy)) is not None:
            found[AlertKind.FAILING].append(unavailable)
        for verdict in verdicts:
            if verdict.state in (SignalState.OPENED, SignalState.OPEN):
                kind, cause = SIGNALS[verdict.signal]
                found[kind].append(_anomalous(webhook, verdict, cause))
        since = webhook.failing_since
        if since is not None and continuous_failure(since, now, health) != "none":
            found[AlertKind.DISABLING].append(_to_be_disabled(webhook, since, health))
    if webhook.quarantined:
        found[AlertKind.QUARANTINED].append(_quarantined(webhook))
    if webhook.expired:
        found[AlertKind.EXPIRED].append(_expired(webhook))
    return {kind: tuple(conditions) for kind, conditions in found.items()}


def with_reach(condition: Condition, reach: Reach, before: Mapping[str, Any]) -> Condition:
    """Return *condition* with *reach* in its evidence, joined with that of the evidence *before*: the destinations
    notified of it are notified of its end."""
    joined = reach_of(before).joined(reach, REACH_PAIRS)
    return msgspec.structs.replace(condition, evidence=condition.evidence | {"reach": msgspec.to_builtins(joined)})


def reach_of(evidence: Mapping[str, Any]) -> Reach:
    """Return which labels the *evidence* of an alert, by cause, reaches."""
    stored = evidence.get(Cause.MASS_FAILURE, {}).get("reach")
    return NO_REACH if stored is None else msgspec.convert(stored, Reach)


def check_mass_failure(found: MassFailure, *, is_open: bool, policy: AlertPolicy) -> Condition | None:
    """
    Return the condition that more than ``policy.mass_failure_ratio`` of the webhooks began to fail together.

    With hysteresis: while the alert *is_open*, half of that ratio is enough.
    """
    ratio = found.failing / found.tried if found.tried else 0.0
    minimum, threshold = policy.mass_failure_min, policy.mass_failure_ratio
    if is_open:
        minimum, threshold = 1, threshold / 2
    if found.failing < minimum or ratio <= threshold:
        return None
    return Condition(
        Cause.MASS_FAILURE,
        Severity.CRITICAL,
        f"{found.failing} of {found.tried} webhooks began to fail together; check what they have in common.",
        {"failing": found.failing, "tried": found.tried},
    )


def _unavailable(webhook: WebhookSnapshot, now: datetime, policy: AlertPolicy) -> Condition | None:
    health = webhook.health
    if health.status is not HealthStatus.UNAVAILABLE or health.changed_at is None:
        return None
    if now - health.changed_at < timedelta(seconds=policy.unavailable_s):
        return None
    return Condition(
        Cause.HEALTH,
        Severity.CRITICAL,
        f"{webhook.name} is unavailable: {_lower_first(health.reason)}",
        msgspec.to_builtins(
            {
                "status": health.status,
                "reason": health.reason,
                "since": health.changed_at,
                "failure_probability": health.failure_probability,
            }
        ),
    )


def _anomalous(webhook: WebhookSnapshot, verdict: Verdict, cause: Cause) -> Condition:
    return Condition(
        cause,
        verdict.severity or Severity.WARNING,
        f"{webhook.name}: {_lower_first(verdict.sentence)}",
        msgspec.to_builtins(verdict.evidence) or {},
    )


def _to_be_disabled(webhook: WebhookSnapshot, since: datetime, health: HealthPolicy) -> Condition:
    ends_at = since + timedelta(seconds=health.disable_after_s)
    return Condition(
        Cause.FAILING_FOR_DAYS,
        Severity.CRITICAL,
        f"{webhook.name} has failed since {since:%d %B, %H:%M} UTC without one success; it will be"
        f" disabled on {ends_at:%d %B, %H:%M} UTC.",
        msgspec.to_builtins({"failing_since": since, "disabled_at": ends_at}),
    )


def _disabled(webhook: WebhookSnapshot, reason: str, policy: AlertPolicy) -> Condition:
    title = f"{webhook.name} was disabled: {_lower_first(reason)}"
    evidence: dict[str, Any] = {"reason": reason}
    until = kept_until(webhook.disabled_at, policy.events_kept_s)
    if until is not None:
        title += f" Its events are kept until {until:%d %B, %H:%M} UTC; enable it and ask for a backfill before."
        evidence |= {"disabled_at": webhook.disabled_at, "events_kept_until": until}
    return Condition(Cause.DISABLED, Severity.CRITICAL, title, msgspec.to_builtins(evidence))


def _quarantined(webhook: WebhookSnapshot) -> Condition:
    several = webhook.quarantined > 1
    deliveries = f"{webhook.quarantined} deliveries were" if several else "1 delivery was"
    cause = f"workers stopped while sending {'them' if several else 'it'}"
    return Condition(
        Cause.QUARANTINED,
        Severity.WARNING,
        f"{webhook.name}: {deliveries} quarantined because {cause}.",
        {"quarantined": webhook.quarantined},
    )


def _expired(webhook: WebhookSnapshot) -> Condition:
    several = webhook.expired > 1
    count = f"{webhook.expired}{' or more' if webhook.expired >= EXPIRED_MAX else ''}"
    deliveries = f"{count} deliveries were" if several else "1 delivery was"
    events = "their events" if several else "its event"
    return Condition(
        Cause.EXPIRED,
        Severity.CRITICAL,
        f"{webhook.name}: {deliveries} not sent because {events} reached retention.",
        {"expired": webhook.expired},
    )


def _lower_first(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
