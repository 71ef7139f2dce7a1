"""Lane: the limits of one webhook's deliveries, and the state that its latest attempts leave."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from monitor.domain.anomaly.tally import NO_ATTEMPTS, Tally, merge_tallies
from monitor.domain.delivery.circuit_breaker import (
    Breaker,
    BreakerPolicy,
    BreakerState,
    Permit,
    concerns_receiver,
    permit,
    probe_due,
    reconfigured,
    record_outcome,
    release_probe,
    start_probe,
)
from monitor.domain.delivery.order import Order
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.delivery.rate_limit import RateLimit
from monitor.domain.delivery.retry import RetryPolicy, parse_retry_after
from monitor.domain.monitoring.health import (
    UNKNOWN_HEALTH,
    Health,
    HealthPolicy,
    continuous_failure,
    evaluate_health,
)
from monitor.domain.vocab import OK_LABEL, THROTTLED_LABELS

THROTTLE_S = 5.0
"""How long a 429 without a readable ``Retry-After`` holds a lane."""


RELEASE_PER_S = 50.0
RELEASE_BURST = 10
"""Rate at which a resumed webhook gets the deliveries that were held, and how many at once."""


class LanePolicy(msgspec.Struct, frozen=True):
    """Thresholds of health and breaker."""

    health: HealthPolicy = HealthPolicy()
    breaker: BreakerPolicy = BreakerPolicy()


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """State of one webhook that changes with every attempt, and the limits of its configuration.

    ``recent`` holds outcome labels in the order in which the attempts ended, oldest first; ``recent_ends_s`` their
    ends, in seconds since 1970. Labels without a time, at the front, ended before all others. ``last_attempt_at`` is
    the latest end, ``failing_since`` the end of the first failure after the last success.

    Until ``throttled_until`` nothing is sent, as the receiver requested by a 429. ``resumed_at`` is when a pause ended,
    and ``release_at`` when the next delivery that was due by then may be leased; both are null once none is left.

    Until ``held_until`` a silence holds what is due; ``hold_ended_at`` is when the latest one ended that is over, and
    ``hold_seen_at`` the end of the one whose release began. While ``uncounted``, attempts are left out of the uptime.

    ``tokens`` is the rate limit's bucket as of ``tokens_at``, null while full. ``unevaluated`` is what the detector has
    yet to evaluate, at ``evaluate_at``, null for never. ``in_flight`` counts leased deliveries; ``version`` is that of
    the webhook's configuration.
    """

    webhook_id: UUID
    recent: tuple[str, ...] = ()
    recent_ends_s: tuple[float, ...] = ()
    last_attempt_at: datetime | None = None
    failing_since: datetime | None = None
    health: Health = UNKNOWN_HEALTH
    breaker: Breaker = Breaker()
    tokens: float | None = None
    tokens_at: datetime | None = None
    throttled_until: datetime | None = None
    resumed_at: datetime | None = None
    release_at: datetime | None = None
    held_until: datetime | None = None
    hold_ended_at: datetime | None = None
    hold_seen_at: datetime | None = None
    uncounted: bool = False
    unevaluated: Tally = NO_ATTEMPTS
    evaluate_at: datetime | None = None
    version: int = 1
    max_concurrency: int = 10
    rate_limit: RateLimit | None = None
    ordered: Order = False
    skip_after: int | None = None
    retry: RetryPolicy = RetryPolicy()
    in_flight: int = 0
    deleted: bool = False


def capacity(lane: Lane, now: datetime) -> int:
    """Return how many deliveries may be leased from *lane* now, at least 0. Pure and total."""
    allowed = permit(lane.breaker, now)
    if allowed is Permit.NONE or any(
        until is not None and now < until for until in (lane.throttled_until, lane.held_until)
    ):
        return 0
    cap = 1 if lane.ordered is True or allowed is Permit.PROBE else lane.max_concurrency
    # A probe is sent even if attempts from before the opening still hang.
    free = cap if allowed is Permit.PROBE else cap - lane.in_flight
    if lane.rate_limit is not None:
        free = min(free, int(lane.rate_limit.available(lane.tokens, lane.tokens_at, now)))
    return max(free, 0)


def resume(lane: Lane, now: datetime) -> Lane:
    """Return *lane* of a webhook whose pause ends: what is due by now is released, one after the other."""
    return msgspec.structs.replace(lane, resumed_at=now, release_at=now)


def after_hold(lane: Lane) -> Lane:
    """Return *lane* after the latest silence that held its deliveries: what was due by its end is released as after a
    pause. A lane whose pause ended later is released from there."""
    ended_at = lane.hold_ended_at
    if ended_at is None or (lane.hold_seen_at is not None and lane.hold_seen_at >= ended_at):
        return lane
    if lane.resumed_at is None or lane.resumed_at < ended_at:
        lane = resume(lane, ended_at)
    return msgspec.structs.replace(lane, hold_seen_at=ended_at)


def releasable(lane: Lane, now: datetime) -> int:
    """Return how many of the deliveries that a pause held may be leased now, by ``RELEASE_PER_S``. Pure and total."""
    if lane.release_at is None or lane.release_at > now:
        return 0
    return min(int((now - lane.release_at).total_seconds() * RELEASE_PER_S) + 1, RELEASE_BURST)


def release(lane: Lane, taken: int, now: datetime) -> Lane:
    """Return *lane* after *taken* deliveries, at most :func:`releasable`, of those that a pause held."""
    if lane.release_at is None or not taken:
        return lane
    # The generic cell rate algorithm (ITU-T I.371): one time is the whole state.
    earliest = now - timedelta(seconds=(RELEASE_BURST - 1) / RELEASE_PER_S)
    release_at = max(lane.release_at, earliest) + timedelta(seconds=taken / RELEASE_PER_S)
    return msgspec.structs.replace(lane, release_at=release_at)


def end_release(lane: Lane) -> Lane:
    """Return *lane* after the last delivery that a pause held."""
    return msgspec.structs.replace(lane, resumed_at=None, release_at=None)


def refill_s(lane: Lane, now: datetime) -> float | None:
    """Return the seconds until the rate limit has a token; ``None`` if it has one now, or there is no limit."""
    if lane.rate_limit is None:
        return None
    missing = 1 - lane.rate_limit.available(lane.tokens, lane.tokens_at, now)
    return missing / lane.rate_limit.per_s if missing > 0 else None


def reopen(lane: Lane) -> Lane:
    """Return *lane* for a webhook that was enabled again: earlier failures no longer count."""
    return msgspec.structs.replace(lane, failing_since=None, breaker=Breaker(), throttled_until=None)


def start_over(lane: Lane, now: datetime) -> Lane:
    """Return *lane* for a webhook with another URL: what attempts showed of the former one does not count for it."""
    return msgspec.structs.replace(
        lane,
        recent=(),
        recent_ends_s=(),
        failing_since=None,
        health=msgspec.structs.replace(UNKNOWN_HEALTH, changed_at=now),
        breaker=Breaker(),
        throttled_until=None,
        evaluate_at=now,
    )


def probe_now(lane: Lane, now: datetime) -> Lane:
    """Return *lane* with its probe due at *now* if its breaker is open: a user requested an attempt."""
    breaker = probe_due(lane.breaker, now)
    return lane if breaker == lane.breaker else msgspec.structs.replace(lane, breaker=breaker)


def unprobe(lane: Lane, now: datetime) -> Lane:
    """Return *lane* after its probe was released unsent: the next one is due at *now*, not when the lease runs out."""
    breaker = release_probe(lane.breaker, now)
    return lane if breaker == lane.breaker else msgspec.structs.replace(lane, breaker=breaker)


def try_again(lane: Lane, now: datetime) -> Lane:
    """Return *lane* for a webhook with other headers or secrets: a breaker that a refusal opened admits its probe."""
    breaker = reconfigured(lane.breaker, now)
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


def attempt_end(started_at: datetime, latency_ms: float, now: datetime) -> datetime:
    """
    Return when an attempt ended: its start and its latency, never after *now*, which is when it is settled.

    Args:
        started_at: by the clock of *now*, the database's.
    """
    return min(started_at + timedelta(milliseconds=latency_ms), now)


def record_attempt(lane: Lane, outcome: Outcome, ended_at: datetime, now: datetime, policy: LanePolicy) -> Lane:
    """
    Return *lane* after one more attempt. Pure and total.

    What an attempt shows is known when it ends, so the end decides its place among the others, whatever the order
    of settling: an attempt that timed out counts as much as its quick neighbours. One that ended before all of a
    full window changes nothing but a half-open breaker.

    Args:
        ended_at: when the attempt ended, by the clock of *now* and not after it.
        now: when it is settled.
    """
    recorded, later = _insert(lane, outcome, ended_at, policy.health.window)
    if recorded.recent is not lane.recent:
        health = evaluate_health(recorded.recent, lane.health, policy.health, now)
        recorded = msgspec.structs.replace(recorded, health=health)
    return _throttle(_break(recorded, outcome, later, now, policy), outcome, ended_at)


def catch_up(lane: Lane, attempts: Iterable[tuple[Outcome, datetime]], policy: LanePolicy) -> Lane:
    """
    Return *lane* after attempts that newer ones will push out of its window. Pure and total.

    Args:
        attempts: outcome and end. Health and breaker do not follow these, the rest does as in :func:`record_attempt`:
            evaluating health a thousand times to keep the last result costs more than storing all.
    """
    for outcome, ended_at in attempts:
        lane, _ = _insert(lane, outcome, ended_at, policy.health.window)
    return lane


def lasting(lane: Lane, labels: Sequence[str], ends_s: Sequence[float], policy: LanePolicy) -> list[int]:
    """
    Return which attempts leave a trace in *lane*, ascending; without the others it ends up the same. Pure and total.

    The latest ones decide the window. Of those before, the last success and the first failure after it decide since
    when it fails; a lane that works goes on doing so, whatever ended before its own latest attempt.

    Args:
        labels: at least one, in the order of *ends_s*, which ascend.
    """
    known = zip(reversed(lane.recent), reversed(_ends_s(lane)), strict=True)
    newest_s = next((end_s for label, end_s in known if label not in THROTTLED_LABELS), -math.inf)
    first = bisect_left(ends_s, newest_s)
    since = lane.failing_since
    if since is not None and (first or since.timestamp() > ends_s[0]):
        return list(range(len(labels)))
    latest = max(len(labels) - 2 * policy.health.window, 0)
    succeeded = next((n for n in range(latest - 1, first - 1, -1) if labels[n] == OK_LABEL), None)
    after = range(first if succeeded is None else succeeded + 1, latest)
    failed = next((n for n in after if labels[n] != OK_LABEL and labels[n] not in THROTTLED_LABELS), None)
    return [*(n for n in (succeeded, failed) if n is not None), *range(latest, len(labels))]


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


def _insert(lane: Lane, outcome: Outcome, ended_at: datetime, window: int) -> tuple[Lane, tuple[str, ...]]:
    """Return *lane* with an attempt at its place among the recent ones, and those of these that ended later."""
    known, ends_s = lane.recent, _ends_s(lane)
    place = bisect_right(ends_s, ended_at.timestamp())
    changes: dict[str, object] = {"failing_since": _failing_since(lane, outcome, ended_at, place, window)}
    if place or len(known) < window:
        changes["recent"] = (*known[:place], outcome.label, *known[place:])[-window:]
        changes["recent_ends_s"] = (*ends_s[:place], ended_at.timestamp(), *ends_s[place:])[-window:]
    if lane.last_attempt_at is None or ended_at > lane.last_attempt_at:
        changes["last_attempt_at"] = ended_at
    return msgspec.structs.replace(lane, **changes), known[place:]


def _ends_s(lane: Lane) -> tuple[float, ...]:
    """Return an end for each recent label; a version that stored none leaves some without."""
    missing = len(lane.recent) - len(lane.recent_ends_s)
    if not missing:
        return lane.recent_ends_s
    return (0.0,) * missing + lane.recent_ends_s if missing > 0 else lane.recent_ends_s[-missing:]


def _failing_since(lane: Lane, outcome: Outcome, ended_at: datetime, place: int, window: int) -> datetime | None:
    """Return ``failing_since`` after an attempt that ended at *ended_at*, before ``lane.recent[place:]``."""
    since, later = lane.failing_since, lane.recent[place:]
    if outcome.throttled:
        return since
    if outcome.ok:
        if since is None or since > ended_at:
            return since
        # Only failures ended after it.
        ends_s = zip(later, _ends_s(lane)[place:], strict=True)
        first_s = next((end_s for label, end_s in ends_s if label not in THROTTLED_LABELS), None)
        return None if first_s is None else datetime.fromtimestamp(first_s, UTC)
    if since is None:
        return None if set(later) - THROTTLED_LABELS else ended_at
    # Whether a success came between this failure and a full window after it is not known any more.
    before_all_known = place == 0 and len(lane.recent) >= window
    return since if since <= ended_at or OK_LABEL in later or before_all_known else ended_at


def _break(lane: Lane, outcome: Outcome, later: tuple[str, ...], now: datetime, policy: LanePolicy) -> Lane:
    settled = lane.breaker.state is BreakerState.CLOSED and lane.breaker.since == policy.breaker.window
    if settled and outcome.ok and lane.recent.count(OK_LABEL) == len(lane.recent):
        # What nearly every attempt finds, and nothing below changes it.
        return lane
    counts = concerns_receiver(outcome.label)
    if lane.breaker.state is BreakerState.CLOSED:
        ended_before_it_closed = sum(map(concerns_receiver, later)) > lane.breaker.since
        if ended_before_it_closed or not counts:
            return lane
    recent = tuple(filter(concerns_receiver, lane.recent))
    # A probe that got an answer about its event or its rate found the receiver working.
    ok = outcome.ok or not counts
    breaker = record_outcome(lane.breaker, recent, ok, now, policy.breaker, label=outcome.label)
    return lane if breaker == lane.breaker else msgspec.structs.replace(lane, breaker=breaker)


def _throttle(lane: Lane, outcome: Outcome, ended_at: datetime) -> Lane:
    if not outcome.throttled:
        return lane
    asked_s = None if outcome.retry_after is None else parse_retry_after(outcome.retry_after, ended_at)
    until = ended_at + timedelta(seconds=THROTTLE_S if asked_s is None else asked_s)
    if lane.throttled_until is not None and until <= lane.throttled_until:
        return lane
    return msgspec.structs.replace(lane, throttled_until=until)
