"""Disabled by Monitor: until when nothing of it is lost, and the probes that enable it again by choice."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from monitor.domain.delivery.retention import kept_until
from monitor.domain.vocab import Reenable
from monitor.domain.webhooks.webhook import Webhook

FIRST_PROBE_S = 600.0
LONGEST_PROBE_S = 6 * 3_600.0
"""Wait before the first probe, doubled for each next one up to the longest."""

MAX_DOUBLINGS = 32


class Disabled(msgspec.Struct, frozen=True):
    """
    How Monitor disabled a webhook.

    ``events_kept_until`` is when the oldest event that it may have missed reaches retention. That and ``disabled_at``
    are null if a version disabled it that did not store the time. ``next_probe_at`` is null without probes.
    """

    reason: str
    disabled_at: datetime | None
    events_kept_until: datetime | None
    next_probe_at: datetime | None


def disabled_details(
    reason: str | None,
    disabled_at: datetime | None,
    probe_at: datetime | None,
    *,
    enabled: bool,
    events_kept_s: float,
) -> Disabled | None:
    """Return how Monitor disabled a webhook; ``None`` if it is enabled, or a user disabled it. Pure and total."""
    if enabled or reason is None:
        return None
    return Disabled(reason, disabled_at, kept_until(disabled_at, events_kept_s), probe_at)


def probe_after(probes: int, at: datetime) -> datetime:
    """Return when the next probe is due, *probes* (at least 0) having been sent until *at*."""
    wait_s = FIRST_PROBE_S * 2.0 ** min(probes, MAX_DOUBLINGS)
    return at + timedelta(seconds=min(wait_s, LONGEST_PROBE_S))


def is_probed(webhook: Webhook) -> bool:
    """Whether a probe may enable *webhook* again: Monitor disabled it, not a user, and probes were chosen."""
    return not webhook.enabled and webhook.disabled_reason is not None and webhook.reenable is Reenable.PROBE


def without_probes(webhook: Webhook, patch: dict[str, Any]) -> dict[str, Any]:
    """
    Return *patch* with the end of the probes if it disables *webhook*, which Monitor has disabled.

    A probe must not undo what a user requested, also where that was so already. A PUT needs no such rule, since without
    ``reenable`` it ends the probes.
    """
    if is_probed(webhook) and patch.get("enabled") is False and "reenable" not in patch:
        return patch | {"reenable": Reenable.NEVER.value}
    return patch


def keep_disabled(before: Webhook, after: Webhook, now: datetime) -> Webhook:
    """
    Return *after*, which is disabled, with its probes and the time when it was disabled.

    The probes go on unchanged. Those that were chosen just now, or of a webhook with another URL, begin at once.
    """
    if before.enabled:
        after = msgspec.structs.replace(after, disabled_at=now)
    if not is_probed(after):
        return msgspec.structs.replace(after, probe_at=None, probes=0)
    if is_probed(before) and before.url == after.url:
        return after
    return msgspec.structs.replace(after, probe_at=now, probes=0)


def enabled_by_user(webhook: Webhook) -> Webhook:
    """Return *webhook*, which is enabled, without the fields about its disabling."""
    return msgspec.structs.replace(webhook, disabled_reason=None, disabled_at=None, probe_at=None, probes=0)


def enabled_by_probe(webhook: Webhook, now: datetime) -> Webhook:
    """
    Return *webhook* enabled, with the next version.

    Its probes stay counted: the intervals of a receiver that answers probes and refuses deliveries grow on, instead of
    disabling and enabling it every ten minutes.
    """
    return msgspec.structs.replace(
        webhook,
        enabled=True,
        disabled_reason=None,
        disabled_at=None,
        probe_at=None,
        version=webhook.version + 1,
        updated_at=now,
    )
