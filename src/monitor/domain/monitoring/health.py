"""Health of a webhook: a status computed from its latest attempts, and the reason in one sentence.

With hysteresis: getting worse takes little evidence and getting better takes more::

    unavailable   the last 5 attempts failed, or half of at least 5; kept until 5 in a row succeed
    degraded      2 failures that make 15 %, or half of any number (so 1 of 1); kept until fewer than 2 failures are
                  in the window or 10 in a row succeed
    throttled     one of the last 5 attempts was answered 429; such attempts are left out of everything else
    healthy       none of these
    unknown       no attempts

A success streak long enough to leave a status also outweighs the failures before it, so evaluating twice is the same
as evaluating once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import takewhile
from typing import Literal

import msgspec

from monitor.domain.vocab import (
    ERRORS_IN_WORDS,
    OK_LABEL,
    REFUSALS,
    THROTTLED_LABELS,
    Count,
    HealthStatus,
    Ratio,
    Seconds,
    short_label,
)

KINDS_SHOWN = 3
"""Error labels that a reason names; the rest is "others"."""

PRIOR_FAILURE_RATIO = 0.05
"""Failure probability of a webhook without attempts; it weighs as much as one attempt."""

WEIGHT_HALF_LIFE = 5
"""Attempts after which a sample counts half: failures come in runs, so recent ones predict best."""


class HealthPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, cache_hash=True):
    """The numbers of the table above. ``window`` counts attempts, ``*_streak`` consecutive ones.

    ``warn_after_s`` and ``disable_after_s`` limit failure without a single success; two days lie between
    the warning and the disabling.
    """

    window: Count = 20
    unavailable_streak: Count = 5
    unavailable_ratio: Ratio = 0.5
    unavailable_min_samples: Count = 5
    recovery_streak: Count = 5
    degraded_failures: Count = 2
    degraded_ratio: Ratio = 0.15
    degraded_small_ratio: Ratio = 0.5
    settled_streak: Count = 10
    warn_after_s: Seconds = 3 * 86_400.0
    disable_after_s: Seconds = 5 * 86_400.0


class Health(msgspec.Struct, frozen=True):
    """A status with its reason. ``failure_probability`` in (0, 1) is the chance that the next delivery fails;
    ``changed_at`` is when the status last changed, null while it never did.
    """

    status: HealthStatus
    reason: str
    failure_probability: float
    changed_at: datetime | None = None


UNKNOWN_HEALTH = Health(HealthStatus.UNKNOWN, "No attempts yet.", PRIOR_FAILURE_RATIO)
"""Health of a webhook without attempts."""


class _Sample(msgspec.Struct, frozen=True):
    """Input of the rules. Making one outcome worse never lowers ``failures`` and ``failure_streak`` and never
    raises ``success_streak``; each rule is monotone in those three, and so is the status.
    """

    size: int
    failures: int
    failure_streak: int
    success_streak: int

    @property
    def failure_ratio(self) -> float:
        return self.failures / self.size


def evaluate_health(recent: Sequence[str], previous: Health | None, policy: HealthPolicy, now: datetime) -> Health:
    """
    Return the health of a webhook after its *recent* attempts. Pure and total; safe to repeat.

    Args:
        recent: outcome labels (:attr:`Outcome.label`), oldest first; only the last ``policy.window`` count.
        previous: the health before, ``None`` the first time.
        now: aware UTC; becomes ``changed_at`` only if the status changes.

    Returns:
        A health that, for a fixed *previous*, never improves when a success in *recent* becomes a failure, other than
        a 429.
    """
    before = previous or UNKNOWN_HEALTH
    status, reason, probability = _assess(tuple(recent[-policy.window :]), before.status, policy)
    return Health(status, reason, probability, before.changed_at if status is before.status else now)


def failure_probability(recent: Sequence[str]) -> float:
    """
    Estimate the chance that the next delivery fails, in (0, 1), to four decimals.

    The posterior mean of a Beta prior worth one attempt, with the samples weighted by age::

        p = (0.05 + sum(w[i] * failed[i])) / (1 + sum(w[i]))      w[i] = 2 ** (-age[i] / 5), newest has age 0

    Args:
        recent: outcome labels, oldest first; empty gives the prior, 0.05.
    """
    weights = [2 ** (-age / WEIGHT_HALF_LIFE) for age in range(len(recent))]
    failed = sum(weight for weight, label in zip(weights, reversed(recent), strict=True) if label != OK_LABEL)
    return round((PRIOR_FAILURE_RATIO + failed) / (1 + sum(weights)), 4)


def continuous_failure(
    failing_since: datetime | None, now: datetime, policy: HealthPolicy
) -> Literal["none", "warn", "disable"]:
    """Return whether a webhook has failed without one success for so long that it needs a warning or is disabled.

    *failing_since* is the first failure after the last success, ``None`` if the last attempt succeeded.
    """
    if failing_since is None:
        return "none"
    failing_for = now - failing_since
    if failing_for >= timedelta(seconds=policy.disable_after_s):
        return "disable"
    return "warn" if failing_for >= timedelta(seconds=policy.warn_after_s) else "none"


@lru_cache(maxsize=4096)
def _assess(window: tuple[str, ...], before: HealthStatus, policy: HealthPolicy) -> tuple[HealthStatus, str, float]:
    """Cached, since every attempt needs it and most webhooks have one of a few windows."""
    judged = tuple(label for label in window if label not in THROTTLED_LABELS)
    sample = _sample(judged)
    status = _status(sample, before, policy)
    well = status in (HealthStatus.HEALTHY, HealthStatus.UNKNOWN)
    if well and not THROTTLED_LABELS.isdisjoint(window[-policy.recovery_streak :]):
        return HealthStatus.THROTTLED, _throttled(window), failure_probability(window)
    return status, _reason(judged, sample, status, policy), failure_probability(window)


def _sample(window: Sequence[str]) -> _Sample:
    newest_first = [label == OK_LABEL for label in reversed(window)]
    return _Sample(
        size=len(window),
        failures=newest_first.count(False),
        failure_streak=sum(1 for _ in takewhile(lambda ok: not ok, newest_first)),
        success_streak=sum(1 for _ in takewhile(lambda ok: ok, newest_first)),
    )


def _status(sample: _Sample, before: HealthStatus, policy: HealthPolicy) -> HealthStatus:
    if not sample.size:
        return HealthStatus.UNKNOWN
    if _is_unavailable(sample, before, policy):
        return HealthStatus.UNAVAILABLE
    return HealthStatus.DEGRADED if _is_degraded(sample, before, policy) else HealthStatus.HEALTHY


def _is_unavailable(sample: _Sample, before: HealthStatus, policy: HealthPolicy) -> bool:
    if sample.failure_streak >= policy.unavailable_streak:
        return True
    if sample.success_streak >= policy.recovery_streak:
        return False
    mostly_failing = sample.size >= policy.unavailable_min_samples and sample.failure_ratio >= policy.unavailable_ratio
    return mostly_failing or before is HealthStatus.UNAVAILABLE


def _is_degraded(sample: _Sample, before: HealthStatus, policy: HealthPolicy) -> bool:
    if sample.success_streak >= policy.settled_streak:
        return False
    if sample.failure_ratio >= policy.degraded_small_ratio:
        return True
    was_bad = before in (HealthStatus.DEGRADED, HealthStatus.UNAVAILABLE)
    return sample.failures >= policy.degraded_failures and (was_bad or sample.failure_ratio >= policy.degraded_ratio)


def _reason(window: Sequence[str], sample: _Sample, status: HealthStatus, policy: HealthPolicy) -> str:
    if not sample.size:
        return UNKNOWN_HEALTH.reason
    if not sample.failures:
        return f"{_all_of(sample.size)} succeeded{_pending(sample, status, policy)}."
    subject = (
        _all_of(sample.size)
        if sample.failures == sample.size
        else f"{sample.failures} of the last {sample.size} attempts"
    )
    failed = f"{subject} failed: {_kinds(window)}{_pending(sample, status, policy)}."
    if status is HealthStatus.HEALTHY and sample.success_streak >= policy.settled_streak:
        # The failures alone would not explain why it is healthy.
        return f"{_all_of(sample.success_streak)} succeeded; {failed}"
    return failed


def _throttled(window: Sequence[str]) -> str:
    found, size = [label for label in window if label in THROTTLED_LABELS], len(window)
    count = len(found)
    subject = _all_of(size) if count == size else f"{count} of the last {size} attempts"
    return f"{subject} exceeded the rate that the receiver allows: {short_label(found[-1])}."


def _all_of(size: int) -> str:
    return "The last attempt" if size == 1 else f"All of the last {size} attempts"


def _pending(sample: _Sample, status: HealthStatus, policy: HealthPolicy) -> str:
    """Return how many successes an unavailable webhook still needs, as text."""
    if status is not HealthStatus.UNAVAILABLE or not sample.success_streak:
        return ""
    missing = policy.recovery_streak - sample.success_streak
    return f"; available again after {missing} more success{'es' if missing > 1 else ''} in a row"


def in_words(label: str) -> str:
    """Return an error label in words: ``503`` is ``HTTP 503``, and ``connect`` is ``could not connect``."""
    return f"HTTP {label}" if label.isdecimal() else ERRORS_IN_WORDS.get(label, short_label(label))


def _kinds(window: Sequence[str]) -> str:
    """Return the kinds of failure as text, most frequent first; with counts if there are several."""
    counts = Counter(label for label in window if label != OK_LABEL)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    if len(ranked) == 1:
        (label, _), *_ = ranked
        return f"{in_words(label)}, {REFUSALS[label]}" if label in REFUSALS else in_words(label)
    shown = [f"{in_words(label)} ({count})" for label, count in ranked[:KINDS_SHOWN]]
    others = sum(count for _, count in ranked[KINDS_SHOWN:])
    return ", ".join([*shown, f"others ({others})"] if others else shown)
