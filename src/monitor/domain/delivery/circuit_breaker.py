"""The circuit breaker of one webhook, shared by all workers as one row.

::

             too many failures             probe sent
    CLOSED ────────────────────► OPEN ────────────────► HALF_OPEN ─┐ probe sent again:
       ▲                           ▲                     │  │  ▲   │ the first prober died
       │                           └─── probe failed ────┘  │  └───┘
       └──────────────────────────────── probe succeeded ───┘

While open, attempts that began before change nothing: a failure adds nothing, and one success is no reason to release
the whole queue; only the probe decides. The shortest opening lasts as long as the longest attempt, so an attempt that
settles while half-open is the probe.

A refusal (401, 403, 404) shows a wrong configuration, with which every delivery would fail: fewer refusals open
the breaker than failures that may pass, and it keeps the refusal as its cause.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from monitor.domain.errors import Conflict
from monitor.domain.vocab import (
    LOGIN_REFUSED,
    OK_LABEL,
    REFUSALS,
    SMTP_LABEL,
    THROTTLED_LABELS,
    Count,
    Ratio,
    Seconds,
)

MAX_DOUBLINGS = 32
"""Bounds the exponent, so that a webhook that is down for a year cannot overflow a float."""


class BreakerState(StrEnum):
    """Whether deliveries may be sent: all, none, or one probe."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class BreakerEvent(StrEnum):
    """Cause of a transition."""

    TOO_MANY_FAILURES = "too_many_failures"
    PROBE_SENT = "probe_sent"
    PROBE_SUCCEEDED = "probe_succeeded"
    PROBE_FAILED = "probe_failed"


class Permit(StrEnum):
    """What may be sent now: anything, exactly one probe, or nothing."""

    ALL = "all"
    PROBE = "probe"
    NONE = "none"


TRANSITIONS: dict[tuple[BreakerState, BreakerEvent], BreakerState] = {
    (BreakerState.CLOSED, BreakerEvent.TOO_MANY_FAILURES): BreakerState.OPEN,
    (BreakerState.OPEN, BreakerEvent.PROBE_SENT): BreakerState.HALF_OPEN,
    (BreakerState.HALF_OPEN, BreakerEvent.PROBE_SENT): BreakerState.HALF_OPEN,
    (BreakerState.HALF_OPEN, BreakerEvent.PROBE_SUCCEEDED): BreakerState.CLOSED,
    (BreakerState.HALF_OPEN, BreakerEvent.PROBE_FAILED): BreakerState.OPEN,
}
"""All transitions. Any other pair is illegal."""


class BreakerPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a breaker opens and for how long.

    It opens at ``consecutive`` failures in a row, or when at least ``ratio`` of a full ``window`` of attempts failed,
    or at ``refusals`` in a row. One or two of those may be about their events (a 404 for an order that is unknown): a
    share of 1 % of these, at 100 attempts a second, would open it every second, or every two minutes; three in a row
    come every three hours.
    Each failed probe doubles the opening, from ``base_open_s`` to ``cap_open_s``. ``base_open_s`` should not be
    shorter than the longest attempt (30 s); ``probe_lease_s`` covers that attempt and settling it.
    """

    consecutive: Count = 5
    refusals: Count = 3
    ratio: Ratio = 0.5
    window: Count = 20
    base_open_s: Seconds = 30.0
    cap_open_s: Seconds = 600.0
    probe_lease_s: Seconds = 60.0


class Breaker(msgspec.Struct, frozen=True):
    """State of a breaker.

    ``until`` is null while closed; while open, when the next probe may be sent; while half-open, when the probe's lease
    ends. ``trips`` counts the openings since it was last closed, ``since`` the outcomes, up to the policy's window, so
    that failures from before a successful probe do not open it again. ``cause`` is the refusal that opened it, one of
    ``REFUSALS``, null if failures of all kinds did; ``cause_at`` is the time of the first opening by that cause.
    """

    state: BreakerState = BreakerState.CLOSED
    until: datetime | None = None
    trips: int = 0
    since: int = 0
    cause: str | None = None
    cause_at: datetime | None = None


def concerns_receiver(label: str) -> bool:
    """
    Whether an outcome counts for the breaker: it shows the state of the receiver.

    A 4xx is about this event (RFC 9110 section 15.5), a 429 about the rate; either shows that the receiver
    works. The exceptions are those that every event would get: bad credentials, a wrong path, no time to read. A mail
    server's permanent error is about the recipients.
    """
    if label.startswith(SMTP_LABEL):
        return label in LOGIN_REFUSED or (label not in THROTTLED_LABELS and label[len(SMTP_LABEL) :].startswith("4"))
    return not (len(label) == 3 and label.startswith("4")) or label in _RECEIVER_STATUSES


_RECEIVER_STATUSES = frozenset({"401", "403", "404", "408", "410"})


def permit(breaker: Breaker, now: datetime) -> Permit:
    """Return what may be sent at *now* (aware UTC); nothing before ``until``. Pure and total."""
    if breaker.state is BreakerState.CLOSED:
        return Permit.ALL
    if breaker.until is None or now >= breaker.until:
        return Permit.PROBE
    return Permit.NONE


def probe_due(breaker: Breaker, now: datetime) -> Breaker:
    """Return an open breaker with its probe due at *now*, any other as it is. Pure and total."""
    if breaker.state is not BreakerState.OPEN or permit(breaker, now) is Permit.PROBE:
        return breaker
    return msgspec.structs.replace(breaker, until=now)


def reconfigured(breaker: Breaker, now: datetime) -> Breaker:
    """
    Return a breaker that a refusal opened with its first probe due at *now*, any other as it is. Pure and total.

    The configuration was changed, so earlier refusals prove nothing now. It is not closed: if the change is wrong,
    one attempt shows it instead of as many as may run at once.
    """
    if breaker.cause is None or breaker.state is BreakerState.CLOSED:
        return breaker
    return msgspec.structs.replace(breaker, state=BreakerState.OPEN, until=now, trips=1)


def start_probe(breaker: Breaker, now: datetime, policy: BreakerPolicy) -> Breaker:
    """
    Record that the probe was leased; another is due only when that lease has run out.

    Raises:
        Conflict: no probe is due at *now*: it was leased already, or the breaker is closed.
    """
    if permit(breaker, now) is not Permit.PROBE:
        raise Conflict(f"No probe is due: the circuit is {breaker.state}.")
    return msgspec.structs.replace(
        breaker,
        state=transition(breaker.state, BreakerEvent.PROBE_SENT),
        until=now + timedelta(seconds=policy.probe_lease_s),
    )


def release_probe(breaker: Breaker, now: datetime) -> Breaker:
    """Return a half-open breaker, whose probe was leased and not sent, with another due at *now*; any other as it is.
    Pure and total."""
    if breaker.state is not BreakerState.HALF_OPEN or permit(breaker, now) is Permit.PROBE:
        return breaker
    return msgspec.structs.replace(breaker, until=now)


def record_outcome(
    breaker: Breaker, recent: Sequence[str], ok: bool, now: datetime, policy: BreakerPolicy, *, label: str | None = None
) -> Breaker:
    """
    Return the breaker after one attempt settled. Pure and total.

    Call it once for each attempt, in the order of entry into *recent*.

    Args:
        recent: outcome labels, oldest first, this attempt included; must reach back ``policy.window`` attempts for
            the ratio rule to apply.
        ok: whether this attempt succeeded.
        now: aware UTC.
        label: of this attempt; by default the latest of *recent*.

    Returns:
        An equal breaker if nothing changed, so the caller can skip the write.
    """
    if breaker.state is BreakerState.OPEN:
        return breaker
    if breaker.state is BreakerState.HALF_OPEN:
        shown = label or (recent[-1] if recent else None)
        return _closed() if ok else _opened(breaker, BreakerEvent.PROBE_FAILED, now, policy, shown)
    since = min(breaker.since + 1, policy.window)
    newest = recent[-since:]
    if _refused(newest, policy):
        return _opened(breaker, BreakerEvent.TOO_MANY_FAILURES, now, policy, newest[-1])
    if _too_many_failures(newest, policy):
        return _opened(breaker, BreakerEvent.TOO_MANY_FAILURES, now, policy)
    return msgspec.structs.replace(breaker, since=since)


def transition(state: BreakerState, signal: BreakerEvent) -> BreakerState:
    """
    Return the state after *signal*.

    Raises:
        Conflict: the table has no such transition.
    """
    try:
        return TRANSITIONS[state, signal]
    except KeyError:
        raise Conflict(f"A circuit that is {state} does not react to {signal}.") from None


def _closed() -> Breaker:
    return Breaker(state=transition(BreakerState.HALF_OPEN, BreakerEvent.PROBE_SUCCEEDED))


def _opened(
    breaker: Breaker, signal: BreakerEvent, now: datetime, policy: BreakerPolicy, label: str | None = None
) -> Breaker:
    open_s = policy.base_open_s * 2.0 ** min(breaker.trips, MAX_DOUBLINGS)
    cause = label if label in REFUSALS else None
    since = breaker.cause_at if breaker.cause == cause else None
    return Breaker(
        state=transition(breaker.state, signal),
        until=now + timedelta(seconds=min(open_s, policy.cap_open_s)),
        trips=breaker.trips + 1,
        cause=cause,
        cause_at=since or now,
    )


def _refused(outcomes: Sequence[str], policy: BreakerPolicy) -> bool:
    newest = outcomes[-policy.refusals :]
    return len(newest) == policy.refusals and all(label in REFUSALS for label in newest)


def _too_many_failures(outcomes: Sequence[str], policy: BreakerPolicy) -> bool:
    failed = [label != OK_LABEL for label in outcomes]
    streak = len(failed) >= policy.consecutive and all(failed[-policy.consecutive :])
    return streak or (len(failed) >= policy.window and sum(failed) >= policy.ratio * len(failed))
