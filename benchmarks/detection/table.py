"""The benchmark's result as Markdown, and the floors it is held to."""

from __future__ import annotations

from statistics import median
from typing import NamedTuple

from benchmarks.detection.simulate import Score
from benchmarks.detection.traffic import INCIDENTS, KINDS, RATES_PER_MIN, YOUNG_INCIDENT

Scores = dict[tuple[str, float], dict[str, Score]]
"""By case (kind, attempts a minute), then by detector."""

Floor = tuple[str, str, bool]
"""Its text, what was measured, and whether it holds."""

YoungScores = dict[tuple[str, float], Score]
"""By case: the product's detector on webhooks in their first two hours."""


TIMES_NOTE = (
    "Minutes from the first second of an incident until a fitting signal opens, over the incidents found; in brackets "
    "the share found before the benchmark gives up (24 h at 0.02 attempts a minute, 12 h at 0.1, 6 h at 1, 3 h at 10, "
    "2 h at 60). A detector with many false alarms is often right by luck, so read both tables."
)


YOUNG_NOTE = "Monitor only. The slowdown begins at a random time after the first 200 responses."


class Section(NamedTuple):
    """A part of the result beside the cases: a heading, Markdown lines, and floors."""

    heading: str
    lines: list[str]
    floors: list[Floor]


def render(scores: Scores, sections: list[Section], title: str) -> str:
    """Return the whole result as Markdown."""
    detectors = list(next(iter(scores.values())))
    parts = [f"# {title}", "", "## False alarms per webhook-day", "", *_alarm_table(scores, detectors), ""]
    parts += ["Monitor's by signal: " + _by_signal(scores) + ".", ""]
    parts += ["## Median minutes to detect (share found)", "", TIMES_NOTE, ""]
    for detector in detectors:
        parts += [f"### {detector}", "", *_time_table(scores, detector), ""]
    for section in sections:
        parts += [f"## {section.heading}", "", *section.lines, ""]
    parts += ["## Floors", "", "| floor | measured | holds |", "|---|---|---|"]
    parts += [
        f"| {text} | {measured} | {'yes' if holds else '**no**'} |"
        for text, measured, holds in floors(scores, sections)
    ]
    return "\n".join(parts) + "\n"


def floors(scores: Scores, sections: list[Section]) -> list[Floor]:
    """Return every floor."""
    return [
        *(_alarm_floor(scores, "steady", rate, 0.01) for rate in RATES_PER_MIN),
        *(_alarm_floor(scores, "bursty", rate, 0.3) for rate in RATES_PER_MIN),
        _time_floor(scores, 1.0, "total outage", 3.0),
        _time_floor(scores, 10.0, "15 % failures", 7.0),
        _found_floor(scores, "steady", 1.0, "slow ×2", 0.95),
        _found_floor(scores, "daily", 1.0, "slow ×2", 0.95),
        _found_floor(scores, "daily", 10.0, "slow ×2", 0.95),
        *(floor for section in sections for floor in section.floors),
    ]


def _alarm_floor(scores: Scores, kind: str, rate: float, most: float) -> Floor:
    score = scores[kind, rate]["Monitor"]
    measured = f"{score.alarms_per_day:.3f} ({score.alarms.total()} in {score.days:.0f} days)"
    return f"false alarms per webhook-day, {kind}, {rate:g}/min: <= {most}", measured, score.alarms_per_day <= most


def _time_floor(scores: Scores, rate: float, incident: str, most: float) -> Floor:
    minutes = scores["steady", rate]["Monitor"].minutes[incident]
    middle = _median(minutes)
    return f"{incident} at {rate:g}/min, steady, median: <= {most:g} min", _cell(minutes), middle <= most


def _found_floor(scores: Scores, kind: str, rate: float, incident: str, least: float) -> Floor:
    minutes = scores[kind, rate]["Monitor"].minutes[incident]
    return f"{incident} at {rate:g}/min, {kind}, found: >= {least:.0%}", _cell(minutes), _found(minutes) >= least


def young_section(young: YoungScores) -> Section:
    """Return what was measured on webhooks in their first two hours."""
    lines = [YOUNG_NOTE, "", *_young_table(young)]
    return Section("Webhooks in their first two hours", lines, _young_floors(young))


def _young_floors(young: YoungScores) -> list[Floor]:
    total = Score()
    for score in young.values():
        total.merge(score)
    minutes = total.minutes[YOUNG_INCIDENT.name]
    per_webhook = total.alarms.total() / total.webhooks
    found = f"{sum(m is not None for m in minutes)} of {len(minutes)}"
    measured = f"{per_webhook:.3f} ({total.alarms.total()} of {total.webhooks})"
    return [
        (f"{YOUNG_INCIDENT.name} in the first two hours, found: 100%", found, _found(minutes) == 1),
        ("false alarms per webhook in its first two hours: <= 0.1", measured, per_webhook <= 0.1),
    ]


def _young_table(young: YoungScores) -> list[str]:
    lines = [f"| traffic | attempts/min | webhooks | false alarms per webhook | {YOUNG_INCIDENT.name} |"]
    lines.append("|---|---|---|---|---|")
    for (kind, rate), score in young.items():
        alarms = f"{score.alarms.total() / score.webhooks:.3f}"
        minutes = _cell(score.minutes[YOUNG_INCIDENT.name])
        lines.append(f"| {kind} | {rate:g} | {score.webhooks} | {alarms} | {minutes} |")
    return lines


def _alarm_table(scores: Scores, detectors: list[str]) -> list[str]:
    lines = ["| traffic | attempts/min | webhook-days | " + " | ".join(detectors) + " |"]
    lines.append("|---|---|---|" + "---|" * len(detectors))
    for (kind, rate), by_detector in scores.items():
        cells = [f"{by_detector[name].alarms_per_day:.3f}" for name in detectors]
        lines.append(f"| {kind} | {rate:g} | {by_detector['Monitor'].days:.0f} | " + " | ".join(cells) + " |")
    return lines


def _time_table(scores: Scores, detector: str) -> list[str]:
    lines = ["| traffic | attempts/min | " + " | ".join(i.name for i in INCIDENTS) + " |"]
    lines.append("|---|---|" + "---|" * len(INCIDENTS))
    for kind in KINDS:
        for rate in RATES_PER_MIN:
            score = scores[kind, rate][detector]
            cells = [_cell(score.minutes[i.name]) for i in INCIDENTS]
            lines.append(f"| {kind} | {rate:g} | " + " | ".join(cells) + " |")
    return lines


def _by_signal(scores: Scores) -> str:
    counts = []
    for kind in KINDS:
        total = Score()
        for rate in RATES_PER_MIN:
            total.merge(scores[kind, rate]["Monitor"])
        counted = ", ".join(f"{signal} {n}" for signal, n in sorted(total.alarms.items())) or "none"
        counts.append(f"{kind} {counted}")
    return "; ".join(counts)


def _median(minutes: list[float | None]) -> float:
    """Return the median over all trials, a miss counting as never; infinite when half are missed."""
    return median([float("inf") if m is None else m for m in minutes])


def _found(minutes: list[float | None]) -> float:
    return sum(m is not None for m in minutes) / len(minutes)


def _cell(minutes: list[float | None]) -> str:
    found = [m for m in minutes if m is not None]
    if not found:
        return "–"
    return f"{median(found):.3g} ({_found(minutes):.0%})"
