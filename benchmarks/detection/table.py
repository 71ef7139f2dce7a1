"""The benchmark's result as Markdown, and the floors it is held to."""

from __future__ import annotations

from statistics import median

from benchmarks.detection.simulate import Score
from benchmarks.detection.traffic import INCIDENTS, KINDS, RATES_PER_MIN

Scores = dict[tuple[str, float], dict[str, Score]]
"""By case (kind, attempts a minute), then by detector."""


TIMES_NOTE = (
    "Minutes from the first second of an incident until a fitting signal opens, over the incidents found; in brackets "
    "the share found before the benchmark gives up (24 h at 0.02 attempts a minute, 12 h at 0.1, 6 h at 1, 3 h at 10, "
    "2 h at 60). A detector with many false alarms is often right by luck, so read both tables."
)


def render(scores: Scores, title: str) -> str:
    """Return the whole result as Markdown."""
    detectors = list(next(iter(scores.values())))
    parts = [f"# {title}", "", "## False alarms per webhook-day", "", *_alarm_table(scores, detectors), ""]
    parts += ["Monitor's by signal: " + _by_signal(scores) + ".", ""]
    parts += ["## Median minutes to detect (share found)", "", TIMES_NOTE, ""]
    for detector in detectors:
        parts += [f"### {detector}", "", *_time_table(scores, detector), ""]
    parts += ["## Floors", "", "| floor | measured | holds |", "|---|---|---|"]
    parts += [f"| {text} | {measured} | {'yes' if holds else '**no**'} |" for text, measured, holds in floors(scores)]
    return "\n".join(parts) + "\n"


def floors(scores: Scores) -> list[tuple[str, str, bool]]:
    """Return each floor: its text, what was measured, and whether it holds."""
    return [
        _alarm_floor(scores, "steady", 0.05),
        _alarm_floor(scores, "bursty", 0.5),
        _time_floor(scores, 1.0, "total outage", 5.0),
        _time_floor(scores, 10.0, "15 % failures", 12.0),
        _found_floor(scores, 1.0, "slow ×2", 0.95),
    ]


def _alarm_floor(scores: Scores, kind: str, most: float) -> tuple[str, str, bool]:
    total = Score()
    for (case_kind, _), by_detector in scores.items():
        if case_kind == kind:
            total.merge(by_detector["Monitor"])
    measured = f"{total.alarms_per_day:.3f} ({total.alarms.total()} in {total.days:.0f} days)"
    return f"false alarms per webhook-day, {kind}, all rates: <= {most}", measured, total.alarms_per_day <= most


def _time_floor(scores: Scores, rate: float, incident: str, most: float) -> tuple[str, str, bool]:
    minutes = scores["steady", rate]["Monitor"].minutes[incident]
    middle = _median(minutes)
    return f"{incident} at {rate:g}/min, steady, median: <= {most:g} min", _cell(minutes), middle <= most


def _found_floor(scores: Scores, rate: float, incident: str, least: float) -> tuple[str, str, bool]:
    minutes = scores["steady", rate]["Monitor"].minutes[incident]
    found = sum(m is not None for m in minutes) / len(minutes)
    return f"{incident} at {rate:g}/min, steady, found: >= {least:.0%}", _cell(minutes), found >= least


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


def _cell(minutes: list[float | None]) -> str:
    found = [m for m in minutes if m is not None]
    if not found:
        return "–"
    return f"{median(found):.3g} ({len(found) / len(minutes):.0%})"
