"""Simulated attempts of one webhook: four kinds of normal traffic, and incidents."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from math import exp, log, pi, sin
from random import Random

DAY_S = 86_400.0
MONDAY = 4 * DAY_S
"""The first Monday after the Unix epoch, midnight UTC: simulations begin there."""

KINDS = ("steady", "bursty", "daily", "drifting")
RATES_PER_MIN = (0.02, 0.1, 1.0, 10.0, 60.0)

Attempt = tuple[bool, float]
"""Whether it succeeded, and its latency in milliseconds."""


@dataclass(frozen=True)
class Incident:
    """
    A change for the worse, from its first second.

    Attributes:
        fail_ratio: share of attempts that fail on top of the normal ones.
        slow_factor: what every latency is multiplied by.
        tail_ratio: share of answers that take ``tail_factor`` times as long.
        timeout_s: how long a failed attempt takes; 0 for as long as any.
        is_silent: whether attempts stop.
        signals: the signals that should open.
    """

    name: str
    signals: frozenset[str]
    fail_ratio: float = 0.0
    slow_factor: float = 1.0
    tail_ratio: float = 0.0
    tail_factor: float = 6.0
    timeout_s: float = 0.0
    is_silent: bool = False


FAILING = frozenset({"failures"})
SLOWING = frozenset({"latency", "latency_tail"})

INCIDENTS = (
    Incident("total outage", FAILING, fail_ratio=1.0),
    Incident("50 % failures", FAILING, fail_ratio=0.5),
    Incident("15 % failures", FAILING, fail_ratio=0.15),
    Incident("50 % time out", FAILING, fail_ratio=0.5, timeout_s=30.0),
    Incident("slow ×1.3", SLOWING, slow_factor=1.3),
    Incident("slow ×2", SLOWING, slow_factor=2.0),
    Incident("slow ×5", SLOWING, slow_factor=5.0),
    Incident("tail only", SLOWING, tail_ratio=0.2),
    Incident("silence", frozenset({"no_data", "volume"}), is_silent=True),
)

CALM = Incident("none", frozenset())
YOUNG_INCIDENT = next(incident for incident in INCIDENTS if incident.name == "slow ×5")
"""Tried on webhooks in their first two hours, too."""


class Traffic:
    """
    The attempts of one webhook, tick by tick. An attempt is news when it ends, so a slow one follows faster ones.

    Every webhook draws its own failure ratio (0.2-2 %), median latency (40-400 ms) and latency spread (0.3-0.6 in
    logarithms). On top of that

    * ``bursty``: about six times a day half of all attempts fail for three minutes (exponential) and answers are
      slower, attempts come in clumps of three, and latency wanders (autocorrelated over 20 minutes);
    * ``daily``: volume swings by ±80 % and latency by ±25 % over the day, weekends bring half;
    * ``drifting``: latency and volume grow or shrink by up to 15 % a day, failures by up to 30 % a day.
    """

    def __init__(self, kind: str, rate_per_min: float, random: Random) -> None:
        self.kind = kind
        self.random = random
        self.rate_per_s = rate_per_min / 60
        self.fail_ratio = exp(random.uniform(log(0.002), log(0.02)))
        self.median_ms = exp(random.uniform(log(40), log(400)))
        self.log_sd = random.uniform(0.3, 0.6)
        self.phase = random.uniform(0, 2 * pi)
        self.drifts = [random.uniform(-1, 1) for _ in range(3)]
        self.wander = 0.0
        self.burst_until = 0.0
        self.next_burst_at = MONDAY + random.expovariate(6 / DAY_S)
        self.next_at = MONDAY
        self.in_flight: list[tuple[float, Attempt]] = []

    def tick(self, start_at: float, end_at: float, incident: Incident = CALM) -> list[Attempt]:
        """Return the attempts that ended from *start_at* up to *end_at*, in the order in which they ended."""
        rate_per_s, fail_ratio, log_shift = self._level(start_at, end_at)
        fail_ratio = 1 - (1 - fail_ratio) * (1 - incident.fail_ratio)
        log_median = log(self.median_ms * incident.slow_factor) + log_shift
        uniform, gauss, expovariate = self.random.random, self.random.gauss, self.random.expovariate
        clump = 3 if self.kind == "bursty" else 1
        rate_per_s /= clump
        made = list(self.in_flight)
        while self.next_at < end_at:
            began_at = max(self.next_at, start_at)
            self.next_at = began_at + expovariate(rate_per_s)
            if incident.is_silent:
                continue
            for _ in range(clump):
                latency_ms = exp(gauss(log_median, self.log_sd))
                if incident.tail_ratio and uniform() < incident.tail_ratio:
                    latency_ms *= incident.tail_factor
                succeeded = uniform() >= fail_ratio
                if incident.timeout_s and not succeeded:
                    latency_ms = incident.timeout_s * 1_000
                made.append((began_at + latency_ms / 1_000, (succeeded, latency_ms)))
        made.sort()
        ended = bisect_left(made, (end_at,))
        self.in_flight = made[ended:]
        return [attempt for _, attempt in made[:ended]]

    def _level(self, at: float, end_at: float) -> tuple[float, float, float]:
        """Return the rate, the failure ratio and the shift of log latency for this tick."""
        shape: Callable[[float, float], tuple[float, float, float]] | None = {
            "bursty": self._bursty,
            "daily": self._daily,
            "drifting": self._drifting,
        }.get(self.kind)
        return (self.rate_per_s, self.fail_ratio, 0.0) if shape is None else shape(at, end_at)

    def _bursty(self, at: float, end_at: float) -> tuple[float, float, float]:
        keep = exp(-(end_at - at) / 1_200)
        self.wander = keep * self.wander + self.random.gauss(0, 0.12 * (1 - keep * keep) ** 0.5)
        if at >= self.next_burst_at:
            self.burst_until = at + self.random.expovariate(1 / 180)
            self.next_burst_at = self.burst_until + self.random.expovariate(6 / DAY_S)
        if at < self.burst_until:
            return self.rate_per_s, 0.5, self.wander + 0.5
        return self.rate_per_s, self.fail_ratio, self.wander

    def _daily(self, at: float, end_at: float) -> tuple[float, float, float]:
        wave = sin(2 * pi * at / DAY_S + self.phase)
        is_weekend = (at - MONDAY) // DAY_S % 7 >= 5
        rate_per_s = self.rate_per_s * (1 + 0.8 * wave) * (0.5 if is_weekend else 1.0)
        return rate_per_s, self.fail_ratio * (1 + 0.5 * wave), log(1 + 0.25 * wave)

    def _drifting(self, at: float, end_at: float) -> tuple[float, float, float]:
        days = (at - MONDAY) / DAY_S
        rate_per_s = self.rate_per_s * exp(log(1.15) * self.drifts[0] * days)
        fail_ratio = min(self.fail_ratio * exp(log(1.3) * self.drifts[1] * days), 0.1)
        return rate_per_s, fail_ratio, log(1.15) * self.drifts[2] * days
