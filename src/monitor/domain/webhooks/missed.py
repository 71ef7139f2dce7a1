"""What a webhook missed while it was disabled."""

from __future__ import annotations

from datetime import datetime, timedelta

from monitor.domain.delivery.backfill import COMMITTED_S
from monitor.domain.delivery.fan_out import Subscription
from monitor.domain.delivery.job import BackfillParameters
from monitor.domain.delivery.reminders import steps_of
from monitor.domain.webhooks.webhook import Webhook

FAN_OUT_S = 60.0
"""How long before a webhook was disabled an event may have been accepted that its fan-out found disabled."""


def subscription_of(webhook: Webhook) -> Subscription:
    """Return what *webhook* subscribes to, whether it is enabled or not."""
    steps = steps_of(webhook.reminders, webhook.body_format)
    return Subscription(webhook.id, frozenset(webhook.event_types), webhook.labels, steps)


def since_disabled(webhook: Webhook, now: datetime) -> BackfillParameters:
    """
    Return the backfill of what found *webhook*, which is being enabled at *now*, disabled.

    The range is a little longer on both sides, for fan-outs and requests that are under way.
    """
    disabled_at = webhook.disabled_at or webhook.updated_at
    from_at = max(disabled_at - timedelta(seconds=FAN_OUT_S), webhook.created_at)
    return BackfillParameters(webhook_id=webhook.id, from_at=from_at, to_at=now + timedelta(seconds=COMMITTED_S))
