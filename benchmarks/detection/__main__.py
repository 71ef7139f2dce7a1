"""Command line of the detection benchmark. Exits 1 when a floor is missed."""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.detection.calendar import (
    CALENDARS,
    FULL_WEEKS,
    SHORT_WEEKS,
    CalendarScores,
    calendar_section,
    run_calendar,
)
from benchmarks.detection.simulate import FULL, SHORT, YOUNG_RATES_PER_MIN, Score, run_case, run_young
from benchmarks.detection.table import Scores, YoungScores, floors, render, young_section
from benchmarks.detection.traffic import KINDS, RATES_PER_MIN


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark and return the exit code."""
    options = _parser().parse_args(arguments)
    plans = SHORT if options.short else FULL
    cases = [(kind, rate, seed) for kind in KINDS for rate in RATES_PER_MIN for seed in options.seed]
    young_cases = [(kind, rate, seed) for kind in KINDS for rate in YOUNG_RATES_PER_MIN for seed in options.seed]
    scores: Scores = {}
    young: YoungScores = {}
    with ProcessPoolExecutor(options.processes) as pool:
        # The busiest rates take longest, and a process that is done early helps with the rest.
        runs = {
            (kind, rate, seed): pool.submit(run_case, kind, rate, plans[rate], seed)
            for kind, rate, seed in reversed(cases)
        }
        young_runs = {case: pool.submit(run_young, *case) for case in young_cases}
        weeks = SHORT_WEEKS if options.short else FULL_WEEKS
        calendar_runs = [pool.submit(run_calendar, calendar, options.seed, weeks) for calendar in CALENDARS]
        for kind, rate, seed in cases:
            total = scores.setdefault((kind, rate), {})
            for name, score in runs[kind, rate, seed].result().items():
                total.setdefault(name, Score()).merge(score)
            print(f"{kind}, {rate:g} attempts a minute, seed {seed}", file=sys.stderr, flush=True)
        for kind, rate, seed in young_cases:
            young.setdefault((kind, rate), Score()).merge(young_runs[kind, rate, seed].result())
        calendars: CalendarScores = {
            calendar.name: run.result() for calendar, run in zip(CALENDARS, calendar_runs, strict=True)
        }
    sections = [young_section(young), calendar_section(calendars)]
    seeds = ", ".join(str(seed) for seed in options.seed)
    text = render(scores, sections, f"Detection quality (seed {seeds}{', short' if options.short else ''})")
    print(text)
    if options.table is not None:
        options.table.write_text(text, encoding="utf-8")
    return 0 if all(holds for _, _, holds in floors(scores, sections)) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.detection", description="Score anomaly detection on simulated traffic."
    )
    parser.add_argument("--seed", type=int, nargs="+", default=[7], help="one run per seed, pooled (default: 7)")
    parser.add_argument("--short", action="store_true", help="a small run: minutes for each seed")
    parser.add_argument("--processes", type=int, metavar="N", help="how many run at once (default: one for each core)")
    parser.add_argument("--table", type=Path, metavar="FILE", help="write the Markdown table here, too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
