"""
Attempts that an outside sender reports: their rules, and the columns that a report is stored by.

A report holds up to a thousand attempts of one webhook, so each step works on a column; only what judges the webhook,
its latest attempts, becomes an :class:`Outcome`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from monitor.domain.anomaly.tally import Tally, tally_of_runs
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.errors import FieldError, Invalid
from monitor.domain.monitoring.metrics import MINUTE_S, Rollup, RollupBuilder, merge_histograms
from monitor.domain.text import LINE, text_errors
from monitor.domain.vocab import OK_LABEL, THROTTLED_LABELS, ErrorKind

MAX_REPORTED = 1000
OLDEST = timedelta(days=1)
NEWEST = timedelta(minutes=5)
"""How far a reported time may lie behind and ahead of the database's."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND_US = 1_000_000
_MINUTE_US = MINUTE_S * _SECOND_US


class ReportedAttempt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """One attempt that an outside sender made. Give ``status_code`` if an answer came, else ``error``: one of
    ``dns``, ``connect``, ``tls``, ``timeout``, ``reset``, ``protocol`` or ``other``."""

    delivered_at: datetime
    latency_ms: Annotated[float, Meta(ge=0, le=86_400_000)]
    status_code: Annotated[int, Meta(ge=100, le=999)] | None = None
    error: ErrorKind | None = None
    event_id: UUID | None = None
    event_type: Annotated[str, Meta(min_length=1, max_length=128, extra_json_schema=LINE)] | None = None


class AttemptColumns(msgspec.Struct, frozen=True, kw_only=True):
    """
    The attempts of one report as parallel columns, in the order of their ends.

    Times are microseconds since 1970. ``labels`` holds each :attr:`Outcome.label`, ``errors`` what is stored of it.
    """

    started_us: list[int]
    ended_us: list[int]
    labels: list[str]
    status_codes: list[int | None]
    errors: list[ErrorKind | None]
    latencies_ms: list[float]
    event_ids: list[UUID | None]
    event_types: list[str | None]

    def made(self, n: int) -> tuple[Outcome, datetime]:
        """Return outcome and end of attempt *n*."""
        outcome = Outcome(latency_ms=self.latencies_ms[n], status_code=self.status_codes[n], error=self.errors[n])
        return outcome, _EPOCH + timedelta(microseconds=self.ended_us[n])

    def minutes(self) -> list[tuple[datetime, Rollup]]:
        """Return the rollup of each minute in which attempts started."""
        latencies: defaultdict[tuple[int, str], list[float]] = defaultdict(list)
        for started_us, label, latency_ms in zip(self.started_us, self.labels, self.latencies_ms, strict=True):
            latencies[started_us // _MINUTE_US, label].append(latency_ms)
        builders: defaultdict[int, RollupBuilder] = defaultdict(RollupBuilder)
        for (minute, label), latencies_ms in latencies.items():
            builders[minute].add_all(label, latencies_ms)
        return [
            (datetime.fromtimestamp(minute * MINUTE_S, UTC), builder.build()) for minute, builder in builders.items()
        ]

    def tally(self, minutes: Sequence[tuple[datetime, Rollup]]) -> Tally:
        """Return what the detector counts, given :meth:`minutes`. That the receiver requested a lower rate is neither
        success nor failure."""
        failed = [label != OK_LABEL for label in self.labels if label not in THROTTLED_LABELS]
        return tally_of_runs(failed, merge_histograms(*(rollup.histogram for _, rollup in minutes)))


def columns_of(reported: Sequence[ReportedAttempt], now: datetime) -> AttemptColumns:
    """
    Check a report and turn it into columns.

    Args:
        now: no attempt ends after it: a reported time may lie ahead of the clock, and stored as it is, all attempts
            until then would end before it.

    Raises:
        Invalid: not 1 to ``MAX_REPORTED`` attempts, or one breaks a rule.
    """
    _check(reported, now)
    now_us = _micros(now)
    starts_us = [_micros(attempt.delivered_at) for attempt in reported]
    ends_us = [
        end_us if (end_us := at_us + round(attempt.latency_ms * 1_000)) < now_us else now_us
        for at_us, attempt in zip(starts_us, reported, strict=True)
    ]
    order = sorted(range(len(reported)), key=ends_us.__getitem__)
    attempts = [reported[n] for n in order]
    answers = [(attempt.status_code, attempt.error) for attempt in attempts]
    # A report holds few different ones.
    outcomes = {answer: _outcome(*answer) for answer in set(answers)}
    labels = {answer: outcome.label for answer, outcome in outcomes.items()}
    errors = {answer: outcome.error for answer, outcome in outcomes.items()}
    return AttemptColumns(
        started_us=[starts_us[n] for n in order],
        ended_us=[ends_us[n] for n in order],
        labels=[labels[answer] for answer in answers],
        status_codes=[status_code for status_code, _ in answers],
        errors=[errors[answer] for answer in answers],
        latencies_ms=[attempt.latency_ms for attempt in attempts],
        event_ids=[attempt.event_id for attempt in attempts],
        event_types=[attempt.event_type for attempt in attempts],
    )


def _outcome(status_code: int | None, error: ErrorKind | None) -> Outcome:
    failed = status_code is not None and not 200 <= status_code < 300
    return Outcome(
        latency_ms=0.0, status_code=status_code, error=error if error is not None or not failed else ErrorKind.STATUS
    )


def _micros(at: datetime) -> int:
    """Return the microseconds from 1970 to *at*, aware: until 2242, a float holds seconds to a quarter of one."""
    return round(at.timestamp() * _SECOND_US)


def _check(reported: Sequence[ReportedAttempt], now: datetime) -> None:
    if not 1 <= len(reported) <= MAX_REPORTED:
        raise Invalid(
            f"Report 1 to {MAX_REPORTED} attempts at once.", errors=(FieldError("/attempts", "Split the report."),)
        )
    oldest, newest = now - OLDEST, now + NEWEST
    refused = {type_ for type_ in {attempt.event_type for attempt in reported} if any(text_errors("", type_))}
    errors: list[FieldError] = []
    for i, attempt in enumerate(reported):
        if (attempt.status_code is None) == (attempt.error is None):
            errors.append(FieldError(f"/attempts/{i}", "Give either status_code or error."))
        if attempt.event_type in refused:
            errors += text_errors(f"/attempts/{i}/event_type", attempt.event_type)
        at = attempt.delivered_at
        if at.tzinfo is None or not oldest <= at <= newest:
            errors.append(
                FieldError(f"/attempts/{i}/delivered_at", "Give an RFC 3339 time with offset, at most a day old.")
            )
    if errors:
        raise Invalid("An attempt breaks a rule, so none was stored; see errors.", errors=tuple(errors[:20]))
