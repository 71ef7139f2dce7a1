"""Runs every detector over clean traffic, and tries incidents on copies of its state on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, field
from random import Random

from benchmarks.detection.detectors import Detector, Monitor, all_detectors
from benchmarks.detection.traffic import DAY_S, INCIDENTS, MONDAY, YOUNG_INCIDENT, Incident, Traffic


@dataclass(frozen=True)
class Plan:
    """
    How long one rate is simulated.

    Attributes:
        tick_s: interval of the samples.
        days: length of the clean traffic of one webhook; incidents branch off after the second day, once a day.
        webhooks: how many webhooks of each kind.
        give_up_s: an incident not found by then is missed.
    """

    tick_s: float
    days: int
    webhooks: int
    give_up_s: float


FULL: dict[float, Plan] = {
    0.02: Plan(60, 15, 6, DAY_S),
    0.1: Plan(60, 15, 6, DAY_S / 2),
    1.0: Plan(15, 8, 10, DAY_S / 4),
    10.0: Plan(15, 5, 12, DAY_S / 8),
    60.0: Plan(15, 3, 10, DAY_S / 12),
}
SHORT: dict[float, Plan] = {
    0.02: Plan(60, 4, 2, DAY_S),
    0.1: Plan(60, 4, 2, DAY_S / 2),
    1.0: Plan(15, 4, 10, DAY_S / 4),
    10.0: Plan(15, 3, 6, DAY_S / 8),
    60.0: Plan(15, 3, 1, DAY_S / 12),
}


YOUNG_S = 7_200.0
YOUNG_WEBHOOKS = 20
YOUNG_RATES_PER_MIN = (10.0, 60.0)
"""Rates at which a webhook has learned latency in good time before it is two hours old."""

YOUNG_RESPONSES = 200
"""A slowdown within the first responses is learned, so none begins before."""


@dataclass
class Score:
    """
    What one detector did on one case (kind of traffic, rate).

    ``alarms`` counts openings per signal over ``days`` webhook-days of clean traffic after learning. ``minutes`` holds
    the time to detect of each incident that was tried, ``None`` when it was missed.
    """

    webhooks: int = 0
    days: float = 0.0
    alarms: Counter[str] = field(default_factory=Counter)
    minutes: dict[str, list[float | None]] = field(default_factory=lambda: {i.name: [] for i in INCIDENTS})

    @property
    def alarms_per_day(self) -> float:
        return self.alarms.total() / self.days

    def merge(self, other: Score) -> None:
        """Add the runs of *other*."""
        self.webhooks += other.webhooks
        self.days += other.days
        self.alarms.update(other.alarms)
        for name, minutes in other.minutes.items():
            self.minutes[name] += minutes


def run_case(kind: str, rate_per_min: float, plan: Plan, seed: int) -> dict[str, Score]:
    """Simulate one case and return each detector's score by its name."""
    scores: dict[str, Score] = {}
    for number in range(plan.webhooks):
        # Seeding by a string is stable over processes and Python versions, unlike ``hash``.
        random = Random(f"{seed}/{kind}/{rate_per_min}/{number}")
        _run_webhook(Traffic(kind, rate_per_min, random), plan, scores)
    return scores


def _run_webhook(traffic: Traffic, plan: Plan, scores: dict[str, Score]) -> None:
    detectors = all_detectors(MONDAY)
    for detector in detectors:
        scores.setdefault(detector.name, Score())
    branches = [MONDAY + DAY_S * (day + traffic.random.random()) for day in range(2, plan.days)]
    for start_at, end_at in _ticks(MONDAY, plan.days * DAY_S, plan.tick_s):
        attempts = traffic.tick(start_at, end_at)
        for detector in detectors:
            opened = detector.observe(end_at, attempts)
            score = scores[detector.name]
            score.alarms.update(opened)
            score.days += 0.0 if detector.is_learning() else plan.tick_s / DAY_S
        if branches and end_at >= branches[0]:
            del branches[0]
            for incident in INCIDENTS:
                _branch(traffic, detectors, incident, end_at, plan, scores)


def run_young(kind: str, rate_per_min: float, seed: int) -> Score:
    """Simulate the first two hours of webhooks, and a fivefold slowdown in them, with the product's detector."""
    scores = {Monitor.name: Score()}
    plan = SHORT[rate_per_min]
    for number in range(YOUNG_WEBHOOKS):
        traffic = Traffic(kind, rate_per_min, Random(f"{seed}/young/{kind}/{rate_per_min}/{number}"))
        detector: Detector = Monitor.start(MONDAY)
        score, responses, slow_at = scores[Monitor.name], 0, 0.0
        score.webhooks += 1
        for start_at, end_at in _ticks(MONDAY, YOUNG_S, plan.tick_s):
            attempts = traffic.tick(start_at, end_at)
            score.alarms.update(detector.observe(end_at, attempts))
            responses += sum(succeeded for succeeded, _ in attempts)
            if responses < YOUNG_RESPONSES:
                continue
            slow_at = slow_at or traffic.random.uniform(end_at, MONDAY + YOUNG_S)
            if start_at < slow_at <= end_at:
                _branch(traffic, [detector], YOUNG_INCIDENT, end_at, plan, scores)
        score.days += YOUNG_S / DAY_S
    return scores[Monitor.name]


def _branch(
    traffic: Traffic, detectors: list[Detector], incident: Incident, at: float, plan: Plan, scores: dict[str, Score]
) -> None:
    """Try *incident* on copies. A detector with a fitting signal already open is left out."""
    traffic = copy(traffic)
    traffic.random = Random(f"{traffic.random.random()}/{incident.name}")
    waiting = [d.copy() for d in detectors if not d.open_signals() & incident.signals]
    for start_at, end_at in _ticks(at, plan.give_up_s, plan.tick_s):
        attempts = traffic.tick(start_at, end_at, incident)
        still = []
        for detector in waiting:
            if incident.signals.isdisjoint(detector.observe(end_at, attempts)):
                still.append(detector)
            else:
                scores[detector.name].minutes[incident.name].append((end_at - at) / 60)
        waiting = still
        if not any(_can_find(detector, incident) for detector in waiting):
            break
    for detector in waiting:
        scores[detector.name].minutes[incident.name].append(None)


def _can_find(detector: Detector, incident: Incident) -> bool:
    """Whether *detector* can find *incident* at all: counting failures finds no slowness."""
    return detector.name != "5 in a row" or "failures" in incident.signals


def _ticks(at: float, length_s: float, tick_s: float) -> Iterator[tuple[float, float]]:
    for number in range(round(length_s / tick_s)):
        yield at + number * tick_s, at + (number + 1) * tick_s
