"""Statements that add webhooks by the thousand: through the API it takes minutes."""

from __future__ import annotations

# A few of each status, with figures of every size.
ADD_MANY = """
INSERT INTO webhooks (id, name, url, description, event_types, labels, header_names, enabled, paused_at, timeout_s,
    retry, max_concurrency, ordered, signature, version, created_at, updated_at)
SELECT gen_random_uuid(), 'Webhook ' || n, 'http://127.0.0.1:9/' || n, '', '{never}',
    jsonb_build_object('team', 'team ' || n % 7), '{}', n % 100 <> 1, CASE WHEN n % 100 = 2 THEN now() END, 15, '{}',
    10, false, 'v1', 1, now(), now()
FROM generate_series(1, $1) AS n
"""
ADD_LANES = """
INSERT INTO webhook_lanes (webhook_id, recent, health_status, health_reason, failure_probability, breaker_state,
    breaker_trips, breaker_since)
SELECT id, '{}', CASE WHEN random() < 0.001 THEN 'healthy' ELSE 'unknown' END, 'Because.', 0.05 + random() / 2,
    'closed', 0, 0
FROM webhooks
"""
ADD_FIGURES = """
UPDATE webhook_summaries SET attempts = floor(random() * 100), failure_ratio = random(), p95_ms = random() * 1000,
    waiting = floor(random() * 10)
"""
