"""Retry schedule: what happens to a delivery after an attempt."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from monitor.domain.delivery.outcome import Outcome

HTTP_GONE = 410
RETRY_AFTER_STATUSES = frozenset({429, 503})
RETRY_AFTER_CAP_S = 86_400.0
MIN_WAIT_S = 0.001
MAX_WAIT_S = 604_800.0
"""A week: no policy, jitter or header makes a delivery wait longer for its next attempt."""

MIN_THROTTLED_WAIT_S = 1.0
"""How soon a delivery is tried again at the earliest after a 429, however short its ``Retry-After``."""

UNCOUNTED_MAX = 1_000
"""Attempts of one delivery, answered 429 with a short ``Retry-After``, that take nothing of its schedule. The next ones
count, so that its attempts are finite."""


STANDARD_SCHEDULE_S = (0.0, 5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Seconds to wait before attempt 1, 2, …: the schedule of the Standard Webhooks specification."""


MAX_ATTEMPTS = 50
MAX_RETRY_S = 30 * 86_400
_Wait = Annotated[float, Meta(extra_json_schema={"minimum": 0, "maximum": MAX_RETRY_S})]
# That the first is 0 stands in words alone: generators of clients cannot read `prefixItems`.
_SCHEDULE = Meta(
    description="Seconds to wait before attempt 1, 2, …. The first is 0.",
    extra_json_schema={"minItems": 1, "maxItems": MAX_ATTEMPTS},
)


class RetryPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often and when a delivery is tried.

    ``schedule_s[k]`` is the wait before attempt ``k + 1``; its length is the number of attempts.
    ``jitter_ratio`` spreads each wait by up to that share, both ways.
    """

    schedule_s: Annotated[tuple[_Wait, ...], _SCHEDULE] = STANDARD_SCHEDULE_S
    jitter_ratio: Annotated[float, Meta(extra_json_schema={"minimum": 0, "maximum": 1})] = 0.2


class Done(msgspec.Struct, frozen=True, tag=True):
    """Delivered."""


class Retry(msgspec.Struct, frozen=True, tag=True):
    """Try again at ``at``. An ``uncounted`` attempt takes nothing of the schedule."""

    at: datetime
    uncounted: bool = False


class Dead(msgspec.Struct, frozen=True, tag=True):
    """No more attempts. ``disable``: the webhook is to be disabled (410 Gone)."""

    disable: bool = False


Decision = Done | Retry | Dead


def decide(
    outcome: Outcome,
    *,
    attempts: int,
    policy: RetryPolicy,
    now: datetime,
    jitter: float,
    superseded: bool = False,
    before: int = 0,
) -> Decision:
    """
    Choose what happens to a delivery after *outcome*. Pure and total.

    Args:
        attempts: how many count, this one included; at least 1.
        now: aware UTC.
        jitter: fraction in [0, 1); 0.5 leaves the wait as scheduled.
        superseded: the webhook was changed since the attempt began, so a 410 is a failure like any other.
        before: attempts of the delivery that do not count: earlier ones of this kind, or before its schedule began.

    Returns:
        ``Retry(at)`` with ``now < at <= now + MAX_WAIT_S`` or a terminal ``Done`` / ``Dead``. 410 means gone for good
        (Standard Webhooks), and a mail server's 5yz that a repeat is useless. ``Retry-After`` on 429 and 503 can
        lengthen the wait. On 429 it can shorten it, too: the receiver works and names the time of the next request.
        Such an attempt does not count, or a busy receiver used up the schedule within seconds; a schedule of one
        attempt stays one.
    """
    if outcome.ok:
        return Done()
    if outcome.status_code == HTTP_GONE and not superseded:
        return Dead(disable=True)
    if outcome.refused_for_good:
        return Dead()
    asked_s = _asked_s(outcome, now)
    if outcome.throttled and asked_s is not None and before < UNCOUNTED_MAX:
        short_s = max(asked_s, MIN_THROTTLED_WAIT_S)
        # After the last attempt, as before it.
        planned_s, *_ = policy.schedule_s[attempts:] or policy.schedule_s[-1:] or (0.0,)
        if short_s < planned_s:
            return Retry(now + timedelta(seconds=short_s), uncounted=True)
    if attempts >= len(policy.schedule_s):
        return Dead()
    wait_s = policy.schedule_s[attempts] * (1 + policy.jitter_ratio * (2 * jitter - 1))
    wait_s = max(wait_s, asked_s or 0.0)
    # In this order a NaN, which compares false with everything, becomes the shortest wait.
    return Retry(now + timedelta(seconds=min(max(MIN_WAIT_S, wait_s), MAX_WAIT_S)))


def _asked_s(outcome: Outcome, now: datetime) -> float | None:
    """Return the wait that the receiver requests; ``None`` if it requests none."""
    if outcome.status_code not in RETRY_AFTER_STATUSES or outcome.retry_after is None:
        return None
    return parse_retry_after(outcome.retry_after, now)


def parse_retry_after(value: str, now: datetime) -> float | None:
    """
    Read a ``Retry-After`` header (RFC 9110 section 10.2.3): seconds or an HTTP date. A fraction of a second is read,
    too, since some services send one.

    Returns:
        Seconds in [0, 86400], or ``None`` when it cannot be read.
    """
    text = value.strip()
    if text.isascii() and text.replace(".", "", 1).isdigit():
        # float, not int: it accepts any number of digits; very many become infinity.
        return min(float(text), RETRY_AFTER_CAP_S)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    if at.tzinfo is None:
        # The asctime form has no zone; RFC 9110 section 5.6.7 makes every HTTP date UTC.
        at = at.replace(tzinfo=UTC)
    return min(max((at - now).total_seconds(), 0.0), RETRY_AFTER_CAP_S)
