"""Mutants: changes of one line, each with the tests of which one must fail."""

from __future__ import annotations

from tests.mutants.mutant import Mutant
from tests.mutants.order_and_jobs import ORDER_AND_JOBS

DELIVERY = "unit/domain/delivery"
SERVICES = "unit/domain/services"
SETTLE = f"{SERVICES}/test_deliver_settle.py"
READY = "integration/contract/test_ready_lanes.py"
QUEUE = "integration/contract/test_queue.py"
TIME = "integration/contract/test_time_and_ids.py"
ANOMALY = "unit/domain/anomaly"
ALERTS = "unit/domain/alerts"
MONITORING = "unit/domain/monitoring"
CACHE = "unit/cache"
TOKENS = f"{CACHE}/test_tokens_and_messages.py"
AUTH = "unit/auth/test_tokens.py"
LEASES = "unit/worker/test_delivery_leases_and_stop.py"
WORKERS = "unit/world/test_workers.py"
MACHINE = "unit/world/test_delivery.py"

MUTANTS = [
    *ORDER_AND_JOBS,
    # Retry schedule, quarantine, lanes, breaker.
    Mutant("domain/delivery/retry.py", "(2 * jitter - 1)", "(jitter - 0.5)", f"{DELIVERY}/test_retry.py"),
    Mutant("domain/delivery/retry.py", "(2 * jitter - 1)", "0", f"{DELIVERY}/test_retry.py"),
    Mutant(
        "domain/delivery/retry.py", "MAX_WAIT_S = 604_800.0", "MAX_WAIT_S = 6_048_000.0", f"{DELIVERY}/test_retry.py"
    ),
    Mutant("domain/delivery/retry.py", "and not superseded", "", f"{DELIVERY}/test_retry.py"),
    Mutant("domain/delivery/retry.py", "if attempts >= len(", "if attempts > len(", f"{DELIVERY}/test_retry.py"),
    Mutant("domain/delivery/quarantine.py", "MAX_CRASHES = 5", "MAX_CRASHES = 50", TIME),
    Mutant("domain/delivery/quarantine.py", "crashes >= MAX_CRASHES", "crashes > MAX_CRASHES", TIME),
    Mutant("domain/delivery/quarantine.py", "(DeliveryState.FAILED, EXPIRED)", "(DeliveryState.FAILED, None)", TIME),
    Mutant(
        "domain/delivery/lane.py",
        "bisect_right(ends_s",
        "len(ends_s) if ends_s else bisect_right(ends_s",
        f"{DELIVERY}/test_lane.py",
    ),
    Mutant("domain/delivery/lane.py", "THROTTLE_S = 5.0", "THROTTLE_S = 0.0", f"{DELIVERY}/test_lane.py"),
    Mutant(
        "domain/delivery/lane.py",
        "free = cap if allowed is Permit.PROBE else cap - lane.in_flight",
        "free = cap - lane.in_flight",
        f"{DELIVERY}/test_lane.py",
    ),
    Mutant(
        "domain/delivery/lane.py",
        "return min(started_at + timedelta(milliseconds=latency_ms), now)",
        "return min(started_at, now)",
        f"{DELIVERY}/test_lane.py",
    ),
    Mutant(
        "domain/delivery/circuit_breaker.py",
        "now >= breaker.until",
        "now > breaker.until",
        f"{DELIVERY}/test_circuit_breaker.py",
    ),
    Mutant(
        "domain/delivery/circuit_breaker.py",
        "since = min(breaker.since + 1, policy.window)",
        "since = breaker.since + 1",
        f"{DELIVERY}/test_circuit_breaker.py",
    ),
    Mutant(
        "domain/delivery/circuit_breaker.py",
        "sum(failed) >= policy.ratio",
        "sum(failed) > policy.ratio",
        f"{DELIVERY}/test_circuit_breaker.py",
    ),
    Mutant(
        "domain/delivery/circuit_breaker.py",
        "base_open_s: Seconds = 30.0",
        "base_open_s: Seconds = 10.0",
        f"{DELIVERY}/test_circuit_breaker.py",
    ),
    Mutant(
        "domain/delivery/rate_limit.py",
        "self.per_s, float(self.burst))",
        "self.per_s, self.burst + 1.0)",
        f"{DELIVERY}/test_rate_limit.py",
    ),
    # Deliver and settle.
    Mutant("domain/services/settle.py", "< sent.delivery.fencing_token", "> sent.delivery.fencing_token", SERVICES),
    Mutant("domain/services/settle.py", "- schedule_from[id_]", "- sent.delivery.schedule_from", SETTLE),
    Mutant(
        "domain/services/settle.py",
        "return lane is not None and sent.version == lane.version",
        "return lane is not None",
        MACHINE,
    ),
    Mutant("domain/services/settle.py", "sent.at + behind", "sent.at", MACHINE),
    Mutant("domain/services/settle.py", "if not sent.outcome.throttled:", "if True:", SERVICES),
    Mutant("domain/services/settle.py", "if id_ not in stored]", "if True]", MACHINE),
    Mutant(
        "domain/services/leases.py",
        "DESTINATION_FRESH_S = 30.0",
        "DESTINATION_FRESH_S = 3000.0",
        f"{SERVICES}/test_deliver.py",
    ),
    Mutant("domain/services/leases.py", "cached.version >= version", "cached is not None", SERVICES),
    Mutant(
        "domain/services/webhooks.py",
        "lambda lane: probe_now(lane, uow.now)",
        "lambda lane: lane",
        f"{SERVICES}/test_webhooks.py",
    ),
    Mutant(
        "domain/services/webhooks.py",
        "lambda lane: start_over(lane, uow.now)",
        "reopen",
        f"{SERVICES}/test_webhooks.py",
    ),
    Mutant("worker/stock.py", "self._fresh_s = min(FRESH_S, lease_s)", "self._fresh_s = 1e9", f"{WORKERS} unit/worker"),
    Mutant("worker/delivery_loop.py", "self._results.end_batch(locked", "self._results.end_batch([]", "unit/worker"),
    Mutant(
        "worker/writer.py",
        "if not isinstance(error, DataRejected):",
        "if False:",
        LEASES,
    ),
    # SQL.
    Mutant(
        "adapters/postgres/repositories/detection.py",
        "'quarantined' AND finished_at > now() - interval '1 day'",
        "'quarantined' AND finished_at > now() - interval '10 days'",
        "integration/contract/test_detection.py",
    ),
    Mutant(
        "adapters/postgres/repositories/detection.py",
        "AND d.finished_at > now() - interval '1 day'",
        "AND d.finished_at > now() - interval '10 days'",
        "integration/contract/test_detection.py",
    ),
    Mutant("adapters/postgres/lanes.py", "SELECT clock_timestamp()", "SELECT now()", QUEUE),
    Mutant(
        "adapters/clock.py",
        'getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)',
        "time.CLOCK_MONOTONIC",
        "unit/adapters/test_clock.py",
    ),
    Mutant("adapters/postgres/lanes.py", "AND (NOT w.ordered OR w.order_by_key", "AND (true", READY),
    Mutant("adapters/postgres/lanes.py", "coalesce(l.throttled_until <= now(), true)", "true", READY),
    Mutant(
        "adapters/postgres/lanes.py",
        "WHEN w.ordered AND NOT w.order_by_key THEN 1 ELSE",
        "WHEN false THEN 1 ELSE",
        READY,
    ),
    Mutant(
        "adapters/postgres/queue.py",
        "UPDATE deliveries d SET schedule_from = attempts,",
        "UPDATE deliveries d SET schedule_from = d.schedule_from,",
        QUEUE,
    ),
    Mutant(
        "adapters/postgres/queue.py", "attempts = d.attempts + 1, crashes = 0,", "attempts = d.attempts + 1,", QUEUE
    ),
    Mutant(
        "adapters/postgres/repositories/events.py",
        "len(ids) <= WAKE_IDS_MAX",
        "len(ids) < WAKE_IDS_MAX",
        "integration/contract/test_wakeups.py",
    ),
    Mutant(
        "adapters/postgres/queries/resources.py", "AND (s.expires_at IS NULL OR s.expires_at > now())", "AND true", TIME
    ),
    Mutant(
        "adapters/postgres/queries/resources.py",
        "SELECT jti FROM revoked_tokens WHERE expires_at > now()",
        "SELECT jti FROM revoked_tokens",
        "integration/test_housekeeping.py",
    ),
    # Anomalies, health, metrics, paging.
    Mutant(
        "domain/anomaly/traffic.py",
        "longest *= 0.5 ** (HOUR_S / policy.dispersion_half_life_s)",
        "longest *= 1.0",
        f"{ANOMALY}/test_traffic.py",
    ),
    Mutant(
        "domain/anomaly/episode.py",
        "if at - since < policy.close_after_s:",
        "if at - since <= policy.close_after_s:",
        f"{ANOMALY}/test_model.py",
    ),
    Mutant("domain/anomaly/episode.py", "at < episode.opened_at + policy.freeze_s", "True", ANOMALY),
    Mutant(
        "domain/anomaly/traffic.py",
        "baseline.hours_learned >= HOURS_PER_DAY",
        "baseline.hours_learned > HOURS_PER_DAY",
        f"{ANOMALY}/test_traffic.py",
    ),
    Mutant(
        "domain/monitoring/health.py",
        "tuple(recent[-policy.window :])",
        "tuple(recent)",
        f"{MONITORING}/test_health.py",
    ),
    Mutant("domain/paging.py", "if len(rows) > limit", "if len(rows) >= limit", "unit/domain/test_paging.py"),
    Mutant("domain/paging.py", '.rstrip(b"=")', "", "unit/domain/test_paging.py"),
    # Alerts and silences.
    Mutant(
        "domain/services/alerts.py",
        "if await uow.silences.end(silence_id):",
        "await uow.silences.end(silence_id)\n            if True:",
        f"{SERVICES}/test_alerts.py",
    ),
    Mutant(
        "domain/services/alerts.py",
        "sorted(set(acknowledgement.ids))",
        "acknowledgement.ids",
        f"{SERVICES}/test_alerts.py",
    ),
    # Events inside, live feed.
    Mutant(
        "domain/services/event_dispatch.py",
        "self._done += done\n",
        "pass\n",
        "unit/world/test_background_under_trouble.py",
    ),
    Mutant(
        "domain/services/live_feed.py",
        "                self._has_lost = True\n                raise",
        "                raise",
        "unit/world/test_background_under_trouble.py",
    ),
    # Cache.
    Mutant("cache/lease.py", "POLL_S = 0.1", "POLL_S = 10", f"{CACHE}/test_locks_and_fail_safe.py"),
    Mutant("cache/load.py", " or load.key.text in named", "", TOKENS),
    Mutant("cache/load.py", " or text in named", "", TOKENS),
    Mutant("cache/memory.py", "self.slots[text].invalidate()", "pass", TOKENS),
    # HTTP and tokens.
    Mutant(
        "http/middleware/shared_rate_limit.py",
        "left - self._admitted.get(subject, 0)",
        "left",
        "unit/http/middleware/test_shared_rate_limit.py",
    ),
    Mutant(
        "auth/tokens.py",
        "len(token) > self._policy.max_bytes",
        "len(token) >= self._policy.max_bytes",
        AUTH,
    ),
    Mutant("auth/tokens.py", "or not token.isascii()", "", AUTH),
    # Publishing.
    Mutant("domain/services/publish.py", "elif is_reserved(event.type):", "elif False:", f"{SERVICES}/test_publish.py"),
    Mutant(
        "domain/services/publish.py",
        "if len(event.labels) > MAX_LABELS:",
        "if len(event.labels) >= MAX_LABELS:",
        f"{SERVICES}/test_publish.py",
    ),
    Mutant(
        "domain/services/attempts.py",
        "breaker=before.breaker, throttled_until=before.throttled_until",
        "breaker=before.breaker",
        f"{SERVICES}/test_attempts.py",
    ),
]
