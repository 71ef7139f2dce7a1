"""Held: what keeps a due delivery from being sent, in the words of the API."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

import msgspec

from monitor.domain.delivery.circuit_breaker import Breaker, BreakerState, Permit, permit
from monitor.domain.delivery.lane import Lane, refill_s
from monitor.domain.vocab import REFUSALS


class HeldReason(StrEnum):
    """Cause of waiting."""

    DISABLED = "disabled"
    PAUSED = "paused"
    CIRCUIT_OPEN = "circuit_open"
    REFUSED = "refused"
    THROTTLED = "throttled"
    ORDER = "order"
    CONCURRENCY = "concurrency"
    RATE_LIMIT = "rate_limit"


class Held(msgspec.Struct, frozen=True):
    """What holds deliveries, and until when; ``until`` is null where that depends on a user or a receiver.

    ``detail`` is the cause in one sentence, of a breaker that a refusal opened; null for any other.
    """

    reason: HeldReason
    until: datetime | None = None
    detail: str | None = None


def held_webhook(lane: Lane, *, enabled: bool, paused: bool, now: datetime) -> Held | None:
    """Return what holds the due deliveries of a webhook; ``None`` if the next one may be sent. Pure and total."""
    return _closed(lane, enabled=enabled, paused=paused, now=now) or _without_token(lane, now)


def held_delivery(
    lane: Lane,
    *,
    enabled: bool,
    paused: bool,
    delivery_id: UUID,
    due_at: datetime,
    head: tuple[UUID, datetime] | None,
    now: datetime,
) -> Held | None:
    """
    Return what holds a delivery that is not leased; ``None`` if only its due time does, or nothing. Pure and total.

    Args:
        lane: with its ``in_flight`` counted.
        head: id and due time of the oldest delivery of an ordered lane.
    """
    closed = _closed(lane, enabled=enabled, paused=paused, now=now)
    if closed is not None and (closed.until is None or closed.until > due_at):
        return closed
    if lane.ordered and head is not None and head[0] != delivery_id:
        return Held(HeldReason.ORDER, head[1] if head[1] > now else None)
    if due_at > now:
        return None
    if permit(lane.breaker, now) is Permit.ALL and lane.in_flight >= (1 if lane.ordered else lane.max_concurrency):
        return Held(HeldReason.CONCURRENCY)
    return _without_token(lane, now)


def _closed(lane: Lane, *, enabled: bool, paused: bool, now: datetime) -> Held | None:
    if not enabled:
        return Held(HeldReason.DISABLED)
    if paused:
        return Held(HeldReason.PAUSED)
    if permit(lane.breaker, now) is Permit.NONE:
        return _by_breaker(lane.breaker)
    if lane.throttled_until is not None and lane.throttled_until > now:
        return Held(HeldReason.THROTTLED, lane.throttled_until)
    return None


def _by_breaker(breaker: Breaker) -> Held:
    if breaker.cause not in REFUSALS or breaker.cause_at is None or breaker.until is None:
        return Held(HeldReason.CIRCUIT_OPEN, breaker.until)
    # In absolute times, so that two reads show the same.
    following = f"next try at {breaker.until:%H:%M:%S} UTC"
    if breaker.state is BreakerState.HALF_OPEN:
        following = "a try is under way"
    sentence = f"{breaker.cause} since {breaker.cause_at:%d %B, %H:%M} UTC: {REFUSALS[breaker.cause]}; {following}."
    return Held(HeldReason.REFUSED, breaker.until, sentence)


def _without_token(lane: Lane, now: datetime) -> Held | None:
    if lane.rate_limit is None or lane.tokens is None or lane.tokens_at is None or refill_s(lane, now) is None:
        return None
    # From the stored time, so that two reads show the same.
    full_s = (1 - lane.tokens) / lane.rate_limit.per_s
    return Held(HeldReason.RATE_LIMIT, lane.tokens_at + timedelta(seconds=full_s))
