"""
Traffic by the calendar: jobs at fixed minutes, working weeks, changes of clocks, and incidents in them.

What repeats daily must raise nothing after its second day, what repeats weekly nothing after its second week, and a
change of clocks nothing after two days (weekly jobs: after the first one by the new clock).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import exp, pi, sin
from random import Random
from statistics import median

from benchmarks.detection.table import Section
from benchmarks.detection.traffic import DAY_S, MONDAY
from monitor.domain.anomaly import Sample, SignalState
from monitor.domain.anomaly.no_data import observe_no_data
from monitor.domain.anomaly.traffic import TrafficBaseline, start_traffic_baseline
from monitor.domain.anomaly.volume import observe_volume

TICK_S = 60.0
SHORT_WEEKS, FULL_WEEKS = 5, 8
HOUR_S = 3_600.0
WEEK_S = 7 * DAY_S
CHANGE_AT = 4 * WEEK_S - DAY_S + HOUR_S
"""A change of clocks: 01:00 on the fourth Sunday."""

WORKDAYS = (0, 1, 2, 3, 4)
EVERY_DAY = (*WORKDAYS, 5, 6)
MOST_MINUTES = 180.0
"""An incident not found by then is missed."""


@dataclass(frozen=True)
class Span:
    """Attempts at ``per_min`` from ``start_h`` for ``length_h`` hours on some ``days`` of the week, from a week on."""

    start_h: float
    length_h: float
    per_min: float
    days: tuple[int, ...] = EVERY_DAY
    from_s: float = 0.0

    def holds(self, at: float) -> bool:
        """Whether it is on *at*, in seconds of local time since the Monday of the start."""
        if at < self.from_s:
            return False
        # A span may end after midnight.
        return any(
            (at // DAY_S - ago) % 7 in self.days
            and 0 <= at % DAY_S + ago * DAY_S - self.start_h * HOUR_S < self.length_h * HOUR_S
            for ago in (0, 1)
        )


@dataclass(frozen=True)
class Trial:
    """An incident from ``at`` on: ``factor`` times the usual attempts, and ``surge_per_min`` more."""

    at: float
    factor: float = 0.0
    surge_per_min: float = 0.0


@dataclass(frozen=True)
class Calendar:
    """
    Traffic that repeats.

    Attributes:
        quiet_from_s: no alarm may open from then on, in seconds since the start.
        background_per_min: attempts at all times.
        swing: part by which the background swings over the day.
        changes_h: by how much later everything comes after the change of clocks.
        quiet_again_s: how long after the change of clocks alarms are no fault.
    """

    name: str
    quiet_from_s: float
    spans: tuple[Span, ...] = ()
    background_per_min: float = 0.0
    swing: float = 0.0
    changes_h: int = 0
    quiet_again_s: float = 2 * DAY_S
    trials: tuple[Trial, ...] = ()

    def rate_per_min(self, at: float, strength: Callable[[int, float], float]) -> float:
        """Return the attempts a minute, *at* seconds after the start."""
        local = at - self.changes_h * HOUR_S if at >= CHANGE_AT else at
        rate = self.background_per_min * (1 + self.swing * sin(2 * pi * local / DAY_S))
        return rate + sum(
            span.per_min * strength(number, local // DAY_S)
            for number, span in enumerate(self.spans)
            if span.holds(local)
        )

    def is_faulty(self, at: float) -> bool:
        """Whether an alarm is a fault."""
        learns_again = self.changes_h and CHANGE_AT <= at < CHANGE_AT + self.quiet_again_s
        return at >= self.quiet_from_s and not learns_again


def _at(week: int, day: int, hour: float) -> float:
    return week * WEEK_S + day * DAY_S + hour * HOUR_S


WORK = Span(9, 9, 10, WORKDAYS)
WORK_TRIALS = (
    Trial(_at(3, 0, 11)),
    Trial(_at(3, 2, 14)),
    Trial(_at(4, 3, 9)),
    Trial(_at(3, 5, 12), surge_per_min=50),
    Trial(_at(4, 1, 23), surge_per_min=50),
)
NIGHT = Span(2, 0.5, 30)
NIGHT_TRIALS = (Trial(_at(2, 0, 2)), Trial(_at(3, 3, 2)), Trial(_at(4, 2, 14), 1.0, 150))
CHANGED_NIGHT_TRIALS = (Trial(_at(4, 3, 1)), Trial(_at(4, 3, 3)))
WEEKLY = Span(3, 0.5, 30, (2,))
DAYS_2, WEEKS_2 = 2 * DAY_S, 2 * WEEK_S

CALENDARS = (
    Calendar("job 02:00-02:30", DAYS_2, (NIGHT,), trials=NIGHT_TRIALS),
    Calendar("job 02:00-02:30, 1/min else", DAYS_2, (NIGHT,), 1.0, trials=NIGHT_TRIALS),
    Calendar("job 03:07-03:12", DAYS_2, (Span(3 + 7 / 60, 5 / 60, 30),), trials=(Trial(_at(3, 3, 3)),)),
    Calendar(
        "job 04:09-04:10, 1/min else",
        DAYS_2,
        (Span(4 + 9 / 60, 1 / 60, 300),),
        1.0,
        trials=(Trial(_at(3, 3, 4), 0.0, 1.0), Trial(_at(4, 3, 16), 1.0, 50)),
    ),
    Calendar(
        "two jobs a day, 10/min",
        DAYS_2,
        (Span(2, 0.5, 10), Span(14.5, 0.75, 10)),
        trials=(Trial(_at(3, 1, 2)), Trial(_at(3, 1, 14.5)), Trial(_at(4, 5, 9), surge_per_min=50)),
    ),
    Calendar("job 22:30-01:30, 2/min", DAYS_2, (Span(22.5, 3, 2),), trials=(Trial(_at(3, 2, 22.5)),)),
    Calendar("job each hour, 5 minutes", DAYS_2, tuple(Span(h + 0.25, 5 / 60, 20) for h in range(24))),
    Calendar(
        "job from week 3 on, 1/min else",
        _at(2, 2, 0),
        (Span(2, 0.5, 30, from_s=_at(2, 0, 0)),),
        1.0,
        trials=(Trial(_at(4, 2, 14), 1.0, 150),),
    ),
    Calendar("job on workdays", WEEKS_2, (Span(2, 0.5, 30, WORKDAYS),), trials=NIGHT_TRIALS),
    Calendar("job once a week", WEEKS_2, (WEEKLY,), trials=(Trial(_at(3, 2, 3)), Trial(_at(4, 4, 3), 1.0, 150))),
    Calendar("job once a week, 1/min else", WEEKS_2, (WEEKLY,), 1.0, trials=(Trial(_at(3, 2, 3), 0.0, 1.0),)),
    Calendar("working week, 10/min", WEEKS_2, (WORK,), trials=WORK_TRIALS),
    Calendar("working week, 1/min", WEEKS_2, (Span(9, 9, 1, WORKDAYS),), trials=WORK_TRIALS),
    Calendar("working week, 0.1/min", WEEKS_2, (Span(9, 9, 0.1, WORKDAYS),)),
    Calendar("working week, night job", WEEKS_2, (WORK, NIGHT), trials=WORK_TRIALS),
    *(
        calendar
        for name, hours in (("later", 1), ("earlier", -1))
        for calendar in (
            Calendar(f"daily cycle, clock {name}", DAYS_2, (), 10.0, 0.8, hours, trials=(Trial(_at(4, 2, 14)),)),
            Calendar(f"job, clock {name}", DAYS_2, (NIGHT,), 0.0, 0.0, hours, trials=(Trial(_at(4, 3, 2 + hours)),)),
            Calendar(f"job, 1/min else, clock {name}", DAYS_2, (NIGHT,), 1.0, 0.0, hours),
            Calendar(f"working week, clock {name}", WEEKS_2, (WORK,), 0.0, 0.0, hours, trials=(Trial(_at(4, 3, 11)),)),
            Calendar(f"job once a week, clock {name}", WEEKS_2, (WEEKLY,), 0.0, 0.0, hours, 4 * DAY_S),
        )
    ),
)


@dataclass
class CalendarScore:
    """Alarms while learning and after it, over the days after it, and the minutes to detect, ``None`` if missed."""

    days: float = 0.0
    learning: int = 0
    alarms: list[str] = field(default_factory=list)
    minutes: list[float | None] = field(default_factory=list)


CalendarScores = dict[str, CalendarScore]


def run_calendar(calendar: Calendar, seeds: list[int], weeks: int, webhooks: int = 1) -> CalendarScore:
    """Simulate *calendar* for *weeks*, with *webhooks* per seed."""
    score = CalendarScore()
    for seed in seeds:
        for number in range(webhooks):
            _run(calendar, Random(f"{seed}/{calendar.name}/{number}"), weeks, score)
    return score


def _run(calendar: Calendar, random: Random, weeks: int, score: CalendarScore) -> None:
    strengths: dict[tuple[int, float], float] = {}

    def strength(span: int, day: float) -> float:
        """Return how busy a span is that day: no two days are equal."""
        if (span, day) not in strengths:
            strengths[span, day] = exp(random.gauss(0, 0.1))
        return strengths[span, day]

    baseline = start_traffic_baseline(MONDAY)
    trials = sorted(calendar.trials, key=lambda trial: trial.at)
    for at in _ticks(0.0, weeks * WEEK_S):
        while trials and at >= trials[0].at:
            score.minutes.append(_try(calendar, trials.pop(0), baseline, random, strength))
        rate = calendar.rate_per_min(at, strength)
        baseline, opened = _observe(baseline, at + TICK_S, _poisson(random, rate))
        if calendar.is_faulty(at):
            score.alarms += [f"{signal} {_name_of(at)}" for signal in opened]
            score.days += TICK_S / DAY_S
        else:
            score.learning += len(opened)


def _try(
    calendar: Calendar,
    trial: Trial,
    baseline: TrafficBaseline,
    random: Random,
    strength: Callable[[int, float], float],
) -> float | None:
    """Return the minutes until a signal opens. What was open before counts as not found."""
    random = Random(f"{random.random()}/trial")
    for at in _ticks(trial.at, MOST_MINUTES * 60):
        rate = trial.factor * calendar.rate_per_min(at, strength) + trial.surge_per_min
        baseline, opened = _observe(baseline, at + TICK_S, _poisson(random, rate))
        if opened:
            return (at + TICK_S - trial.at) / 60
    return None


def _observe(baseline: TrafficBaseline, at: float, attempts: int) -> tuple[TrafficBaseline, list[str]]:
    sample = Sample(at=MONDAY + at, attempts=attempts)
    baseline, volume = observe_volume(baseline, sample)
    baseline, no_data = observe_no_data(baseline, sample)
    return baseline, [verdict.signal for verdict in (volume, no_data) if verdict.state is SignalState.OPENED]


def _ticks(at: float, length_s: float) -> Iterator[float]:
    return (at + number * TICK_S for number in range(round(length_s / TICK_S)))


def _poisson(random: Random, mean: float) -> int:
    """Return a Poisson count: from 30 on by the normal law, which is close enough there."""
    if mean <= 0:
        return 0
    if mean >= 30:
        return max(round(random.gauss(mean, mean**0.5)), 0)
    count, product, least = 0, random.random(), exp(-mean)
    while product > least:
        count += 1
        product *= random.random()
    return count


def _name_of(at: float) -> str:
    day = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"][int(at // DAY_S % 7)]
    return f"week {at // WEEK_S + 1:.0f} {day} {at % DAY_S // HOUR_S:02.0f}:{at % HOUR_S // 60:02.0f}"


def calendar_table(scores: CalendarScores) -> list[str]:
    """Return the lines of the Markdown table."""
    lines = [
        "| calendar | alarms while learning | webhook-days after | alarms after | incidents found | median minutes |",
        "|---|---|---|---|---|---|",
    ]
    for name, score in scores.items():
        found = [minutes for minutes in score.minutes if minutes is not None]
        incidents = f"{len(found)} of {len(score.minutes)}" if score.minutes else "–"
        minutes = f"{median(found):.3g}" if found else "–"
        cells = (name, str(score.learning), f"{score.days:.0f}", str(len(score.alarms)), incidents, minutes)
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def calendar_floors(scores: CalendarScores) -> list[tuple[str, str, bool]]:
    """Return each floor: its text, what was measured, and whether it holds."""
    alarms = sum(len(score.alarms) for score in scores.values())
    days = sum(score.days for score in scores.values())
    tried = [minutes for score in scores.values() for minutes in score.minutes]
    found = sum(minutes is not None for minutes in tried)
    return [
        ("alarms for what repeats, once learned: 0", f"{alarms} in {days:.0f} days", alarms == 0),
        ("incidents found in what repeats: >= 95%", f"{found} of {len(tried)}", found >= 0.95 * len(tried)),
    ]


def calendar_section(scores: CalendarScores) -> Section:
    """Return what was measured on calendars."""
    note = "Alarms for jobs, working weeks and changes of clocks, simulated for weeks."
    return Section("What repeats", [note, "", *calendar_table(scores)], calendar_floors(scores))
