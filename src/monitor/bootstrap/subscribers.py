"""Subscribers of domain events: what each invalidates in the cache."""

from __future__ import annotations

from monitor.cache import Drop, DropTable
from monitor.domain import events

CONFIGURED = ("webhooks", "webhook:{webhook_id}", "dashboard", "alerts", "anomalies")


INVALIDATION_RULES = DropTable(
    {
        # What a person changes is settled: the next page they look at shows it, whichever process answers.
        events.WebhookCreated: Drop(("webhooks", "webhook:{webhook_id}", "dashboard"), settled=True),
        # Alerts and anomalies show the webhook's name, and its labels may be silenced.
        events.WebhookUpdated: Drop(CONFIGURED, settled=True),
        events.WebhookDeleted: Drop(CONFIGURED, settled=True),
        events.WebhookStatusChanged: Drop(("webhooks", "webhook:{webhook_id}", "dashboard", "health")),
        events.AnomalyOpened: Drop(("anomalies", "dashboard", "webhook:{webhook_id}")),
        events.AnomalyClosed: Drop(("anomalies", "dashboard", "webhook:{webhook_id}")),
        events.AlertRaised: Drop(("alerts", "dashboard")),
        events.AlertUpdated: Drop(("alerts", "dashboard")),
        events.AlertAcknowledged: Drop(("alerts", "dashboard"), settled=True),
        events.AlertResolved: Drop(("alerts", "dashboard"), settled=True),
        events.SilencesChanged: Drop(("alerts", "dashboard"), settled=True),
    }
)
"""Attempts drop nothing: numbers are as fresh as ``fresh_s`` says, or every attempt would empty the cache."""
