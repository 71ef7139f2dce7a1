"""Lane: the limits of one webhook's deliveries, and the state that its latest attempts leave."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

import msgspec

from monitor.domain.anomaly.tally import NO_ATTEMPTS, Tally, merge_tallies
from monitor.domain.delivery.circuit_breaker import (
    Breaker,
    BreakerPolicy,
    BreakerState,
    Permit,
    permit,
    probe_due,
    record_outcome,
    start_probe,
)
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.delivery.rate_limit import RateLimit
from monitor.domain.delivery.retry import RetryPolicy
from monitor.domain.monitoring.health import (
    UNKNOWN_HEALTH,
    Health,
    HealthPolicy,
    append_outcome,
    continuous_failure,
    evaluate_health,
)


class LanePolicy(msgspec.Struct, frozen=True):
    """Thresholds of health and breaker."""

    health: HealthPolicy = HealthPolicy()
    breaker: BreakerPolicy = BreakerPolicy()


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """State of one webhook that changes with every attempt, and the limits of its configuration.

    ``recent`` holds outcome labels, oldest first. ``tokens`` is the rate limit's bucket as of ``tokens_at``, null
    while full. ``unevaluated`` is what the detector has yet to evaluate, at ``evaluate_at``, null for never.
    ``in_flight`` counts leased deliveries; ``version`` is that of the webhook's configuration.
    """

    webhook_id: UUID
    recent: tuple[str, ...] = ()
    last_attempt_at: datetime | None = None
    failing_since: datetime | None = None
    health: Health = UNKNOWN_HEALTH
    breaker: Breaker = Breaker()
    tokens: float | None = None
    tokens_at: datetime | None = None
    unevaluated: Tally = NO_ATTEMPTS
    evaluate_at: datetime | None = None
    version: int = 1
    max_concurrency: int = 10
    rate_limit: RateLimit | None = None
    ordered: bool = False
    retry: RetryPolicy = RetryPolicy()
    in_flight: int = 0
    deleted: bool = False


def capacity(lane: Lane, now: datetime) -> int:
    """Return how many deliveries may be leased from *lane* now, at least 0. Pure and total."""
    allowed = permit(lane.breaker, now)
    if allowed is Permit.NONE:
        return 0
    cap = 1 if lane.ordered or allowed is Permit.PROBE else lane.max_concurrency
    # A probe is sent even if attempts from before the opening still hang.
    free = cap if allowed is Permit.PROBE else cap - lane.in_flight
    if lane.rate_limit is not None:
        free = min(free, int(lane.rate_limit.available(lane.tokens, lane.tokens_at, now)))
    return max(free, 0)


def refill_s(lane: Lane, now: datetime) -> float | None:
    """Return the seconds until the rate limit has a token; ``None`` if it has one now, or there is no limit."""
    if lane.rate_limit is None:
        return None
    missing = 1 - lane.rate_limit.available(lane.tokens, lane.tokens_at, now)
    return missing / lane.rate_limit.per_s if missing > 0 else None


def reopen(lane: Lane) -> Lane:
    """Return *lane* for a webhook that was enabled again: earlier failures no longer count."""
    return msgspec.structs.replace(lane, failing_since=None, breaker=Breaker())


def probe_now(lane: Lane, now: datetime) -> Lane:
    """Return *lane* with its probe due at *now* if its breaker is open: a user asked for an attempt."""
    breaker = probe_due(lane.breaker, now)
    return lane if breaker == lane.breaker else msgspec.structs.replace(lane, breaker=breaker)


def reserve(lane: Lane, taken: int, now: datetime, policy: LanePolicy) -> Lane:
    """Return *lane* after *taken* deliveries, at most its :func:`capacity`, were leased from it."""
    if not taken:
        return lane
    changes: dict[str, object] = {}
    if permit(lane.breaker, now) is Permit.PROBE:
        changes["breaker"] = start_probe(lane.breaker, now, policy.breaker)
    if lane.rate_limit is not None:
        changes |= _bucket(lane, lane.rate_limit.available(lane.tokens, lane.tokens_at, now) - taken, now)
    return msgspec.structs.replace(lane, **changes) if changes else lane


def recharge(lane: Lane, held: int, wanted: int, now: datetime) -> tuple[Lane, int]:
    """
    Give back the tokens of *held* leased deliveries, and charge those to be sent now. Pure and total.

    A token belongs to the moment of its request: deliveries that waited since their lease would otherwise be sent
    beside those of the refilled bucket, above the limit.

    Returns:
        The lane, and how many of *wanted* (at most *held*) may be sent.
    """
    if lane.rate_limit is None or not held:
        return lane, wanted
    tokens = min(lane.rate_limit.available(lane.tokens, lane.tokens_at, now) + held, float(lane.rate_limit.burst))
    allowed = min(wanted, max(int(tokens), 0))
    return msgspec.structs.replace(lane, **_bucket(lane, tokens - allowed, now)), allowed


def _bucket(lane: Lane, tokens: float, now: datetime) -> dict[str, object]:
    """Return the changes that store *tokens*. Their time never goes back: what passed since would be filled twice."""
    return {"tokens": tokens, "tokens_at": max(now, lane.tokens_at or now)}


def record_attempt(lane: Lane, outcome: Outcome, at: datetime, now: datetime, policy: LanePolicy) -> Lane:
    """
    Return *lane* after one more attempt. Pure and total; call it in the order in which the attempts started.

    Args:
        at: when the attempt started. One that started before the lane's latest changes a half-open breaker only.
        now: when it is settled.
    """
    if lane.last_attempt_at is not None and at < lane.last_attempt_at:
        # It may be the probe.
        probed = lane.breaker.state is BreakerState.HALF_OPEN
        return _break(lane, outcome, now, policy) if probed else lane
    recent = append_outcome(lane.recent, outcome.label, policy.health.window)
    recorded = msgspec.structs.replace(
        lane,
        recent=recent,
        last_attempt_at=at,
        failing_since=None if outcome.ok else (lane.failing_since or at),
        health=evaluate_health(recent, lane.health, policy.health, now),
    )
    return _break(recorded, outcome, now, policy)


def catch_up(lane: Lane, attempts: Iterable[tuple[Outcome, datetime]]) -> Lane:
    """
    Return *lane* after attempts that newer ones will push out of its window. Pure and total.

    Args:
        attempts: outcome and start, oldest first. Only ``failing_since`` and ``last_attempt_at`` follow them, as in
            :func:`record_attempt`: evaluating health a thousand times to keep the last result costs more than storing
            them all.
    """
    failing_since, last_at = lane.failing_since, lane.last_attempt_at
    for outcome, at in attempts:
        if last_at is None or at >= last_at:
            failing_since = None if outcome.ok else (failing_since or at)
            last_at = at
    return msgspec.structs.replace(lane, failing_since=failing_since, last_attempt_at=last_at)


def accumulate(before: Lane, after: Lane, made: Tally, now: datetime) -> Lane:
    """
    Return *after* with *made*, the attempts since *before*, added to what the detector has yet to evaluate.

    A change of status is evaluated as soon as possible, anything else at the time that was set before.
    """
    changed = before.health.status is not after.health.status
    return msgspec.structs.replace(
        after, unevaluated=merge_tallies(before.unevaluated, made), evaluate_at=now if changed else before.evaluate_at
    )


def failed_for_good(lane: Lane, now: datetime, policy: LanePolicy) -> bool:
    """Whether the webhook failed so long without one success that it must be disabled."""
    return continuous_failure(lane.failing_since, now, policy.health) == "disable"


def _break(lane: Lane, outcome: Outcome, now: datetime, policy: LanePolicy) -> Lane:
    breaker = record_outcome(lane.breaker, lane.recent, outcome.ok, now, policy.breaker)
    return lane if breaker == lane.breaker else msgspec.structs.replace(lane, breaker=breaker)
