"""Mutants of order, fan-outs, jobs, and the release of what a pause held."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

DELIVERY = "unit/domain/delivery"
SERVICES = "unit/domain/services"
CONTRACT = "integration/contract"
ORDER = f"{DELIVERY}/test_order.py"
CLAIMS = f"{CONTRACT}/test_order.py"
COST = f"{CLAIMS} integration/test_order_cost.py integration/test_order_by_key.py"
FAN_OUT = f"{DELIVERY}/test_fan_out.py"
FAN_OUTS = f"{CONTRACT}/test_fan_outs.py"
TAKEN = "integration/test_taken_once.py"
JOBS = f"{CONTRACT}/test_jobs.py"
WORK = f"{SERVICES}/test_jobs.py"
REPLAYS = f"{CONTRACT}/test_replays.py"
RELEASE = f"{SERVICES}/test_release.py"
BREAKER = f"{DELIVERY}/test_circuit_breaker.py"

order = "domain/delivery/order.py"
claims = "adapters/postgres/claims.py"
lanes = "adapters/postgres/lanes.py"
fan_out = "domain/delivery/fan_out.py"
fan_outs = "adapters/postgres/repositories/fan_outs.py"
job = "domain/delivery/job.py"
jobs = "adapters/postgres/repositories/jobs.py"
queue = "adapters/postgres/queue.py"
lane = "domain/delivery/lane.py"
breaker = "domain/delivery/circuit_breaker.py"

ORDER_AND_JOBS = [
    # Order: the rule.
    Mutant(order, "if delivery.aside or ordered is False:", "if ordered is False:", ORDER),
    Mutant(order, 'return ("all", delivery.replayed)', 'return ("all", False)', ORDER),
    Mutant(order, '("key", delivery.order_key, delivery.replayed)', '("key", delivery.order_key, False)', ORDER),
    Mutant(order, "key=lambda one: one.id)", "key=lambda one: one.due_at)", ORDER),
    Mutant(order, "if one.due_at <= now and head_of(", "if one.due_at < now and head_of(", ORDER),
    Mutant(order, "key=lambda one: (one.due_at, one.id))", "key=lambda one: one.id)", ORDER),
    Mutant(order, "key=lambda one: one.replayed and not one.aside)", "key=lambda one: False)", ORDER),
    Mutant(order, "[: min(count, 1)]", "[:count]", ORDER),
    Mutant(order, "or one.order_key in busy", "", ORDER),
    Mutant(order, "or (one.replayed and one.order_key in new)", "", ORDER),
    Mutant(order, "if one.in_flight and line_of(one, ordered)}", "if one.in_flight}", ORDER),
    Mutant(order, "waits = one.id in preceded or", "waits =", FAN_OUTS),
    Mutant(order, "if not one.behind), default", "), default", ORDER),
    Mutant(order, "attempts >= skip_after", "attempts > skip_after", ORDER),
    # Order: claims.
    Mutant(lanes, "f.id < {delivery_id} AND", "", FAN_OUTS),
    Mutant(lanes, "coalesce(f.after < w.id, true)", "coalesce(f.after <= w.id, true)", FAN_OUTS),
    Mutant(lanes, "AND f.event_types && w.event_types", "", FAN_OUTS),
    Mutant(claims, 'AND (one.aside OR {FIRST.format(delivery_id="one.id")})', "", FAN_OUTS),
    Mutant(claims, 'AND {FIRST.format(delivery_id="p.id")}', "", FAN_OUTS),
    Mutant(claims, "ORDER BY one.last, one.due_at, one.id", "ORDER BY one.due_at, one.id", CLAIMS),
    Mutant(claims, "AND d.behind <= false AND d.id <> ALL", "AND d.id <> ALL", COST),
    Mutant(claims, "SET behind = true FROM", "SET behind = false FROM", COST),
    Mutant(claims, "AND (p.webhook_id, p.order_key) NOT IN (SELECT webhook_id, order_key FROM busy)", "", CLAIMS),
    Mutant(claims, "(PARTITION BY webhook_id ORDER BY due_at, id)", "(PARTITION BY webhook_id ORDER BY id)", CLAIMS),
    Mutant(
        claims,
        "SELECT webhook_id, count(*) = $6 AS is_cut",
        "SELECT webhook_id, false AS is_cut",
        CLAIMS,
    ),
    Mutant(claims, "if lines := list(lines):", "if False:", CLAIMS),
    Mutant(
        claims,
        'by_key[row["webhook_id"]] -= 1',
        "pass",
        CLAIMS,
    ),
    Mutant(queue, "AND attempts - schedule_from >= $2", "AND attempts >= $2", CLAIMS),
    # Fan-outs.
    Mutant(fan_out, "return unfinished.id < delivery_id and", "return", FAN_OUT),
    Mutant(fan_out, "unfinished.after < webhook_id", "unfinished.after <= webhook_id", FAN_OUT),
    Mutant(fan_out, "and not set(event_types).isdisjoint(patterns_of(unfinished.events))", "", FAN_OUT),
    Mutant(fan_out, "derived(event.id, done + index + 1)", "derived(event.id, index + 1)", FAN_OUT),
    Mutant(fan_out, "done=unfinished.done + chunk.subscriptions", "done=chunk.subscriptions", FAN_OUT),
    Mutant(fan_out, "last = page.subscriptions[chunk.subscriptions - 1].webhook_id", "pass", FAN_OUT),
    Mutant(fan_out, "if pairs > bound and index:", "if pairs > bound:", FAN_OUT),
    Mutant(fan_out, "if pairs > bound and index:", "if pairs >= bound and index:", FAN_OUT),
    Mutant(fan_out, " and event.except_webhook != subscription.webhook_id", "", f"{SERVICES}/test_notifications.py"),
    Mutant(fan_outs, "id > $2) AND event_types", "id >= $2) AND event_types", FAN_OUTS),
    Mutant(fan_outs, "AND created_at <= $3", "", FAN_OUTS),
    Mutant(fan_outs, "ORDER BY stepped_at, id LIMIT 1 FOR UPDATE", "ORDER BY id LIMIT 1 FOR UPDATE", FAN_OUTS),
    Mutant(fan_outs, "LIMIT 1 FOR UPDATE SKIP LOCKED", "LIMIT 1 FOR UPDATE", TAKEN),
    Mutant(fan_outs, "LIMIT 1 FOR UPDATE SKIP LOCKED", "LIMIT 1", TAKEN),
    # Jobs.
    Mutant(job, "done=job.done + chunk.rows", "done=chunk.rows", f"{DELIVERY}/test_job.py"),
    Mutant(job, "cursor=chunk.cursor, ", "", f"{DELIVERY}/test_job.py"),
    Mutant(job, ", stepped_at=now)\n    return more", ")\n    return more", WORK),
    Mutant("domain/services/jobs.py", "if not chunk.more and job.cursor is not None:", "if False:", WORK),
    Mutant("domain/services/jobs.py", "job.done / REPLAY_PER_S", "0", WORK),
    Mutant("domain/services/jobs.py", "if job.state is JobState.RUNNING:", "if True:", WORK),
    Mutant(jobs, "with_for_update(skip_locked=True)", "with_for_update()", TAKEN),
    Mutant(jobs, ".with_for_update(skip_locked=True)", "", TAKEN),
    Mutant(jobs, "order_by(JobRow.stepped_at, JobRow.id)", "order_by(JobRow.id)", JOBS),
    Mutant(jobs, "where(JobRow.id < after)", "where(JobRow.id <= after)", JOBS),
    Mutant(jobs, "where(JobRow.finished_at.is_(None))", "where(JobRow.id.is_not(None))", JOBS),
    Mutant(
        queue, 'row["last"] or after, row["examined"] == limit', 'row["last"] or after, row["rows"] == limit', REPLAYS
    ),
    Mutant(queue, 'row["last"] or after, row["examined"]', 'row["last"], row["examined"]', REPLAYS),
    Mutant(queue, 'row["last"], row["rows"] == limit)', 'row["last"], False)', JOBS),
    # Pauses.
    Mutant(lane, "RELEASE_PER_S) + 1, RELEASE_BURST)", "RELEASE_PER_S), RELEASE_BURST)", RELEASE),
    Mutant(lane, "RELEASE_PER_S) + 1, RELEASE_BURST)", "RELEASE_PER_S) + 1, 10**6)", RELEASE),
    Mutant(lane, "lane.release_at > now:", "lane.release_at >= now:", RELEASE),
    Mutant(lane, "max(lane.release_at, earliest)", "lane.release_at", RELEASE),
    Mutant(lane, "seconds=(RELEASE_BURST - 1) / RELEASE_PER_S", "seconds=RELEASE_BURST / RELEASE_PER_S", RELEASE),
    # The cause of an opening.
    Mutant(breaker, "cause = label if label in REFUSALS else None", "cause = label", BREAKER),
    Mutant(breaker, "since = breaker.cause_at if breaker.cause == cause else None", "since = None", BREAKER),
    Mutant(breaker, "len(newest) == policy.refusals and all(", "all(", BREAKER),
    Mutant(breaker, "refusals: Count = 3", "refusals: Count = 5", BREAKER),
    Mutant(breaker, "if breaker.cause is None or breaker.state", "if breaker.state", BREAKER),
]
