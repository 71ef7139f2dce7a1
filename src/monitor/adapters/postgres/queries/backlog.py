"""The backlog of one webhook: bounded steps in indexes of its unfinished deliveries, and its lane."""

from __future__ import annotations

import asyncpg

from monitor.adapters.postgres.queries.held import breaker_of
from monitor.domain.delivery.backlog import BACKLOG_COUNTED, Backlog, Queued, backlog_of
from monitor.domain.delivery.held import Held
from monitor.domain.monitoring.health import HealthPolicy

# The count has no order: for one, the planner may sort all of a backlog to take a part of it. What is leased and due
# later is in flight: as many as all workers have of this webhook.
BACKLOG_COLUMNS = f"""
    l.recent, l.failing_since,
    (SELECT count(*) FROM (
        SELECT FROM deliveries d WHERE d.webhook_id = w.id LIMIT {BACKLOG_COUNTED + 1}
    ) AS few) AS counted,
    (SELECT count(*) FROM deliveries d
     WHERE d.webhook_id = w.id AND d.leased_by IS NOT NULL AND d.due_at > now()) AS in_flight,
    (SELECT d.due_at FROM deliveries d
     WHERE d.webhook_id = w.id AND d.due_at <= now() ORDER BY d.due_at LIMIT 1) AS oldest_due_at,
    (SELECT d.due_at FROM deliveries d
     WHERE d.webhook_id = w.id AND d.due_at > now() AND d.leased_by IS NULL ORDER BY d.due_at LIMIT 1) AS next_due_at,
    (SELECT max(s.expires_at) FROM webhook_secrets s
     WHERE s.webhook_id = w.id AND s.expires_at > now()) AS previous_secrets_expire_at
"""
"""Columns of a webhook, ``w`` with its lane ``l``, that :func:`read_backlog` reads beside ``HELD_COLUMNS``."""


def read_backlog(row: asyncpg.Record, held: Held | None, policy: HealthPolicy) -> Backlog:
    """Return the backlog of the webhook of *row*, whose due deliveries *held* holds."""
    queued = Queued(row["counted"], row["in_flight"], row["oldest_due_at"], row["next_due_at"])
    return backlog_of(
        queued,
        breaker_of(row),
        held,
        row["recent"],
        row["failing_since"],
        enabled=row["enabled"],
        policy=policy,
    )
