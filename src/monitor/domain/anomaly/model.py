"""Input of the detector (`Sample`), its result (`Verdict`), and the measurement behind it (`Evidence`)."""

from __future__ import annotations

from enum import StrEnum
from math import isfinite

import msgspec

from monitor.domain.errors import Invalid
from monitor.domain.vocab import Severity


class Signal(StrEnum):
    """A measured property of a webhook, compared with its baseline. In the order of the verdicts."""

    FAILURES = "failures"
    LATENCY = "latency"
    LATENCY_TAIL = "latency_tail"
    VOLUME = "volume"
    NO_DATA = "no_data"


class SignalState(StrEnum):
    """``OPENED`` and ``CLOSED`` are returned once, at the transition; ``OPEN`` in between."""

    LEARNING = "learning"
    NORMAL = "normal"
    OPENED = "opened"
    OPEN = "open"
    CLOSED = "closed"


class Evidence(msgspec.Struct, frozen=True):
    """
    The measurement behind an anomaly.

    The signal fixes the unit of ``observed`` and ``expected``: a ratio (failures, latency tail), milliseconds (latency)
    or attempts (volume, no data). ``n`` attempts lay in the ``window_s`` seconds before. ``p_value`` is the probability
    of at least this deviation in normal operation.
    """

    observed: float
    expected: float
    n: int
    window_s: float
    p_value: float


class Verdict(msgspec.Struct, frozen=True):
    """The result of one signal for one sample. The optional members are set from OPENED to CLOSED."""

    signal: Signal
    state: SignalState
    at: float
    sentence: str
    severity: Severity | None = None
    evidence: Evidence | None = None
    opened_at: float | None = None


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """
    The attempts of one webhook that were settled since the sample before.

    ``at`` is the time of the evaluation, in Unix seconds, and must increase: a sample that is not newer than the
    baseline is a repeat and changes nothing, so a tick may safely be run again. Late attempts belong to the sample of
    their arrival. An empty sample only advances time.

    Order matters only to runs of failures: ``run_head`` failures came before the first success, ``run_tail`` after the
    last one (both are ``failures`` when nothing succeeded), at most ``longest_run`` in a row, in ``runs`` runs in all.

    ``latencies_ms`` are pairs ``(value, count)`` of successful attempts, from raw values or histogram buckets alike. A
    failure's latency is left out: a timeout shows in the failure rate, and an instant refusal is not a fast response.

    ``held``: Monitor itself holds attempts back (paused, breaker open), so volume and no data are not judged.

    Raises:
        Invalid: a number is not finite or the counts contradict each other.
    """

    at: float
    attempts: int = 0
    failures: int = 0
    run_head: int = 0
    run_tail: int = 0
    longest_run: int = 0
    runs: int = 0
    latencies_ms: tuple[tuple[float, int], ...] = ()
    held: bool = False

    def __post_init__(self) -> None:
        if not isfinite(self.at):
            raise Invalid("The time of a sample must be a finite number.")
        if not 0 <= self.failures <= self.attempts:
            raise Invalid("A sample needs 0 <= failures <= attempts.")
        runs = (self.run_head, self.run_tail, self.longest_run, self.runs)
        if min(runs) < 0 or max(runs) > self.failures:
            raise Invalid("The runs of a sample must lie between 0 and its failures.")
        for value_ms, count in self.latencies_ms:
            if not (isfinite(value_ms) and value_ms >= 0 and count > 0):
                raise Invalid("A latency must be finite and not negative, and counted at least once.")
