"""Backlog of one webhook: how much waits, since when, and when the next attempt is made. Pure and total."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Annotated

import msgspec
from msgspec import Meta

from monitor.domain.delivery.circuit_breaker import Breaker, BreakerState
from monitor.domain.delivery.held import Held
from monitor.domain.monitoring.health import HealthPolicy
from monitor.domain.vocab import OK_LABEL, THROTTLED_LABELS

BACKLOG_COUNTED = 10_000
"""Deliveries of a backlog that are counted, at most: reading a webhook costs the same however much waits."""


class Queued(msgspec.Struct, frozen=True):
    """
    Unfinished deliveries of one webhook, as read.

    ``counted`` are all, up to ``BACKLOG_COUNTED`` and one more. ``oldest_due_at`` is the earliest due time of
    those that are due; ``next_due_at`` that of those that wait for a later attempt.
    """

    counted: int
    in_flight: int
    oldest_due_at: datetime | None
    next_due_at: datetime | None


class BreakerView(msgspec.Struct, frozen=True):
    """
    The circuit breaker of a webhook.

    ``opened_at`` is when it opened, by its present cause; ``next_probe_at`` when it admits a probe. The former is null
    while closed, the latter also while a probe is under way. ``failures_in_row`` counts the latest attempts that failed
    without a success among them, up to the 20 that are known.
    """

    state: BreakerState
    opened_at: datetime | None
    next_probe_at: datetime | None
    failures_in_row: int


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """
    What waits for a webhook. ``waiting`` deliveries are unfinished and not in flight; at least so many if ``complete``
    is false, since at most 10,000 are counted.

    ``oldest_due_at`` is since when the first of them is due; null if none is. ``next_try_at`` is when the next attempt
    can be made; null if nothing waits, or if that depends on a user or a receiver. Monitor disables the webhook at the
    first attempt that fails at or after ``disables_at``, unless one succeeds before; null while none fails.
    """

    waiting: Annotated[int, Meta(ge=0)]
    complete: bool
    in_flight: Annotated[int, Meta(ge=0)]
    oldest_due_at: datetime | None
    next_try_at: datetime | None
    breaker: BreakerView
    failing_since: datetime | None
    disables_at: datetime | None


def backlog_of(
    queued: Queued,
    breaker: Breaker,
    held: Held | None,
    recent: Sequence[str],
    failing_since: datetime | None,
    *,
    enabled: bool,
    policy: HealthPolicy,
) -> Backlog:
    """
    Return the backlog of a webhook.

    Args:
        held: what holds its due deliveries.
        recent: outcome labels, oldest first.
    """
    complete = queued.counted <= BACKLOG_COUNTED
    return Backlog(
        waiting=max(queued.counted - queued.in_flight, 0) if complete else BACKLOG_COUNTED,
        complete=complete,
        in_flight=queued.in_flight,
        oldest_due_at=queued.oldest_due_at,
        next_try_at=next_try_at(held, queued.oldest_due_at or queued.next_due_at),
        breaker=breaker_view(breaker, recent),
        failing_since=failing_since,
        disables_at=disables_at(failing_since, policy) if enabled else None,
    )


def next_try_at(held: Held | None, first_due_at: datetime | None) -> datetime | None:
    """Return when the next attempt can be made: once the first delivery is due and no longer held."""
    if held is None or first_due_at is None:
        return first_due_at
    return None if held.until is None else max(first_due_at, held.until)


def breaker_view(breaker: Breaker, recent: Sequence[str]) -> BreakerView:
    """Return *breaker* as it is shown, with the failures at the end of *recent*, outcome labels, oldest first."""
    judged = (label for label in reversed(recent) if label not in THROTTLED_LABELS)
    return BreakerView(
        state=breaker.state,
        opened_at=breaker.cause_at,
        next_probe_at=breaker.until if breaker.state is BreakerState.OPEN else None,
        failures_in_row=sum(1 for _ in takewhile(lambda label: label != OK_LABEL, judged)),
    )


def disables_at(failing_since: datetime | None, policy: HealthPolicy) -> datetime | None:
    """Return when a webhook is disabled that has failed since *failing_since*; the rule of ``continuous_failure``."""
    return None if failing_since is None else failing_since + timedelta(seconds=policy.disable_after_s)
