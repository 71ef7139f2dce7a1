"""Held: what keeps a due delivery from being sent, in the words of the API."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from monitor.domain.delivery.circuit_breaker import Breaker, BreakerState, Permit, permit
from monitor.domain.delivery.lane import Lane, refill_s
from monitor.domain.delivery.order import BY_KEY
from monitor.domain.vocab import REFUSALS, short_label


class HeldReason(StrEnum):
    """Cause of waiting."""

    DELETED = "deleted"
    DISABLED = "disabled"
    PAUSED = "paused"
    SILENCE = "silence"
    SECRETS = "secrets"
    CIRCUIT_OPEN = "circuit_open"
    REFUSED = "refused"
    THROTTLED = "throttled"
    ORDER = "order"
    RELEASE = "release"
    CONCURRENCY = "concurrency"
    RATE_LIMIT = "rate_limit"


PROBING = "The circuit is open, and a try is under way; its result decides."

_BY_USER = frozenset({HeldReason.DELETED, HeldReason.DISABLED, HeldReason.PAUSED, HeldReason.SILENCE})


class Held(msgspec.Struct, frozen=True):
    """
    What holds deliveries, and until when; ``until`` is null where that depends on a user or a receiver.

    ``detail`` is the cause in one sentence, of secrets that do not open, of a breaker that a refusal opened, and of one
    whose probe is under way; null for any other. The order holds what is ``behind`` a delivery until that one is
    finished or steps aside; ``until`` is its next attempt, null while it is due or in flight. At a webhook that is
    ordered by key, only the deliveries with its ``order_key`` are held.
    """

    reason: HeldReason
    until: datetime | None = None
    detail: str | None = None
    behind: UUID | UnsetType = UNSET
    order_key: str | UnsetType = UNSET


class Head(msgspec.Struct, frozen=True):
    """The head of a line: the delivery that those behind it wait for."""

    id: UUID
    due_at: datetime
    order_key: str | None = None


def held_webhook(lane: Lane, *, enabled: bool, paused: bool, now: datetime, head: Head | None = None) -> Held | None:
    """
    Return what holds the due deliveries of a webhook; ``None`` if the next one may be sent. Pure and total.

    Args:
        head: one with others behind it, if there is one that waits for its next attempt.
    """
    closed = _closed(lane, enabled=enabled, paused=paused, now=now)
    return closed or (None if head is None else _behind(lane, head, now)) or _without_token(lane, now)


def held_delivery(
    lane: Lane,
    *,
    enabled: bool,
    paused: bool,
    delivery_id: UUID,
    due_at: datetime,
    head: Head | None,
    now: datetime,
) -> Held | None:
    """
    Return what holds a delivery that is not leased; ``None`` if only its due time does, or nothing. Pure and total.

    Args:
        lane: with its ``in_flight`` counted.
        head: that of its line; ``None`` if it is in no line.
    """
    closed = _closed(lane, enabled=enabled, paused=paused, now=now)
    if closed is not None and (closed.until is None or closed.until > due_at):
        return closed
    if head is not None and head.id != delivery_id:
        return _behind(lane, head, now)
    if due_at > now:
        return None
    if lane.resumed_at is not None and due_at <= lane.resumed_at:
        return Held(HeldReason.RELEASE)
    most = 1 if lane.ordered is True else lane.max_concurrency
    if permit(lane.breaker, now) is Permit.ALL and lane.in_flight >= most:
        return Held(HeldReason.CONCURRENCY)
    return _without_token(lane, now)


def held_by_secrets(held: Held | None, detail: str) -> Held:
    """
    Return what holds deliveries of a webhook with secrets that do not open: a user, as in *held*, else the secrets.

    Args:
        held: of the same webhook or delivery, whatever its secrets are.
        detail: why the secrets do not open.
    """
    if held is not None and held.reason in _BY_USER:
        return held
    return Held(HeldReason.SECRETS, detail=detail)


def _behind(lane: Lane, head: Head, now: datetime) -> Held:
    key = head.order_key if lane.ordered is BY_KEY else None
    until = head.due_at if head.due_at > now else None
    return Held(HeldReason.ORDER, until, behind=head.id, order_key=UNSET if key is None else key)


def _closed(lane: Lane, *, enabled: bool, paused: bool, now: datetime) -> Held | None:
    if lane.deleted:
        return Held(HeldReason.DELETED)
    if not enabled:
        return Held(HeldReason.DISABLED)
    if paused:
        return Held(HeldReason.PAUSED)
    if lane.held_until is not None and lane.held_until > now:
        return Held(HeldReason.SILENCE, lane.held_until)
    if permit(lane.breaker, now) is Permit.NONE:
        return _by_breaker(lane.breaker)
    if lane.throttled_until is not None and lane.throttled_until > now:
        return Held(HeldReason.THROTTLED, lane.throttled_until)
    return None


def _by_breaker(breaker: Breaker) -> Held:
    if breaker.cause not in REFUSALS or breaker.cause_at is None or breaker.until is None:
        return Held(HeldReason.CIRCUIT_OPEN, breaker.until, PROBING if _is_probing(breaker) else None)
    # In absolute times, so that two reads show the same.
    following = f"next try at {breaker.until:%H:%M:%S} UTC"
    if _is_probing(breaker):
        following = "a try is under way"
    since = f"{short_label(breaker.cause)} since {breaker.cause_at:%d %B, %H:%M} UTC"
    sentence = f"{since}: {REFUSALS[breaker.cause]}; {following}."
    return Held(HeldReason.REFUSED, breaker.until, sentence)


def _is_probing(breaker: Breaker) -> bool:
    return breaker.state is BreakerState.HALF_OPEN


def _without_token(lane: Lane, now: datetime) -> Held | None:
    if lane.rate_limit is None or lane.tokens is None or lane.tokens_at is None or refill_s(lane, now) is None:
        return None
    # From the stored time, so that two reads show the same.
    full_s = (1 - lane.tokens) / lane.rate_limit.per_s
    return Held(HeldReason.RATE_LIMIT, lane.tokens_at + timedelta(seconds=full_s))
