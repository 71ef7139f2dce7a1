"""Subscribers of domain events: what each invalidates in the cache."""

from __future__ import annotations

from monitor.cache import Invalidation, InvalidationRules
from monitor.domain import events

CONFIGURED = ("webhooks", "webhook:{webhook_id}", "dashboard", "alerts", "anomalies")


DROPS = InvalidationRules(
    {
        # What a person changes is settled: the next page they look at shows it, whichever process answers.
        events.WebhookCreated: Invalidation(("webhooks", "webhook:{webhook_id}", "dashboard"), acknowledged=True),
        # Alerts and anomalies show the webhook's name, and its labels may be silenced.
        events.WebhookUpdated: Invalidation(CONFIGURED, acknowledged=True),
        events.WebhookDeleted: Invalidation(CONFIGURED, acknowledged=True),
        events.WebhookStatusChanged: Invalidation(("webhooks", "webhook:{webhook_id}", "dashboard", "health")),
        events.AnomalyOpened: Invalidation(("anomalies", "dashboard", "webhook:{webhook_id}")),
        events.AnomalyClosed: Invalidation(("anomalies", "dashboard", "webhook:{webhook_id}")),
        events.AlertRaised: Invalidation(("alerts", "dashboard")),
        events.AlertUpdated: Invalidation(("alerts", "dashboard")),
        events.AlertAcknowledged: Invalidation(("alerts", "dashboard"), acknowledged=True),
        events.AlertResolved: Invalidation(("alerts", "dashboard"), acknowledged=True),
        events.SilencesChanged: Invalidation(("alerts", "dashboard"), acknowledged=True),
    }
)
"""Attempts drop nothing: numbers are as fresh as ``fresh_s`` says, or every attempt would empty the cache."""
