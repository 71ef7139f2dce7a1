"""Status of a webhook in one word: what a user set, else its health, which an open alert worsens.

::

    disabled      nothing is sent
    paused        nothing is sent now
    unavailable   as its health
    degraded      as its health, or an alert of severity warning or critical is open
    otherwise     as its health: throttled, unknown or healthy
"""

from __future__ import annotations

import msgspec

from monitor.domain.monitoring.health import Health
from monitor.domain.vocab import HealthStatus, Severity, WebhookStatus

WORST_FIRST = (
    WebhookStatus.UNAVAILABLE,
    WebhookStatus.DEGRADED,
    WebhookStatus.THROTTLED,
    WebhookStatus.PAUSED,
    WebhookStatus.UNKNOWN,
    WebhookStatus.HEALTHY,
    WebhookStatus.DISABLED,
)
"""Every status in the order of urgency."""

WORSENING = (Severity.WARNING, Severity.CRITICAL)
"""Severities of open alerts that make a webhook degraded."""

BAD_HEALTH = (HealthStatus.UNAVAILABLE, HealthStatus.DEGRADED)
"""Health that no alert worsens."""

RANKS = 2 * len(WORST_FIRST)

PAUSED = "Paused by a user. New deliveries queue up."
DISABLED = "Disabled by a user. Nothing is sent."


class OpenAlert(msgspec.Struct, frozen=True):
    """The most severe open alert of a webhook; ``title`` is what it measures now."""

    severity: Severity
    title: str


class StatusReason(msgspec.Struct, frozen=True):
    """A status with its reason in one sentence."""

    status: WebhookStatus
    reason: str


def webhook_status(health: HealthStatus, severity: Severity | None, *, enabled: bool, paused: bool) -> WebhookStatus:
    """Return the status of a webhook; *severity* is the highest of its open alerts. Pure and total."""
    if not enabled:
        return WebhookStatus.DISABLED
    if paused:
        return WebhookStatus.PAUSED
    if health not in BAD_HEALTH and severity in WORSENING:
        return WebhookStatus.DEGRADED
    return WebhookStatus(health)


def status_reason(
    health: Health, alert: OpenAlert | None, *, enabled: bool, paused: bool, disabled_reason: str | None = None
) -> StatusReason:
    """
    Return the status of a webhook with its reason. Pure and total.

    Args:
        alert: the most severe open alert, ``None`` without one.
        disabled_reason: why Monitor disabled the webhook, ``None`` if it did not.
    """
    status = webhook_status(health.status, alert.severity if alert else None, enabled=enabled, paused=paused)
    if status is WebhookStatus.DISABLED:
        return StatusReason(status, disabled_reason or DISABLED)
    if status is WebhookStatus.PAUSED:
        return StatusReason(status, PAUSED)
    if alert is not None and status != health.status.value:
        # Both, or after a repair the reason would hide that the latest attempts succeeded.
        return StatusReason(status, f"{alert.title} {health.reason}")
    return StatusReason(status, health.reason)


def urgency_rank(status: WebhookStatus, severity: Severity | None) -> int:
    """
    Return the rank of a webhook in a list that has the worst first: 0 is the worst, and below :data:`RANKS`.

    Of one status, those with a critical alert come first. A paused or disabled webhook with one stands among the
    degraded: a user must act, or Monitor disabled it.
    """
    if severity is not Severity.CRITICAL:
        return 2 * WORST_FIRST.index(status) + 1
    is_held = status in (WebhookStatus.PAUSED, WebhookStatus.DISABLED)
    return 2 * WORST_FIRST.index(WebhookStatus.DEGRADED if is_held else status)


def urgency(status: WebhookStatus, severity: Severity | None, failure_probability: float) -> float:
    """Return the key of that order: by rank, then the likelier failure first. *failure_probability* is below 1."""
    return urgency_rank(status, severity) - failure_probability
