"""Command line of the detection benchmark. Exits 1 when a floor is missed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.detection.simulate import FULL, SHORT, Score, run_case
from benchmarks.detection.table import Scores, floors, render
from benchmarks.detection.traffic import KINDS, RATES_PER_MIN


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark and return the exit code."""
    options = _parser().parse_args(arguments)
    plans = SHORT if options.short else FULL
    scores: Scores = {}
    for kind in KINDS:
        for rate in RATES_PER_MIN:
            print(f"{kind}, {rate:g} attempts a minute", file=sys.stderr, flush=True)
            total: dict[str, Score] = {}
            for seed in options.seed:
                for name, score in run_case(kind, rate, plans[rate], seed).items():
                    total.setdefault(name, Score()).merge(score)
            scores[kind, rate] = total
    seeds = ", ".join(str(seed) for seed in options.seed)
    text = render(scores, f"Detection quality (seed {seeds}{', short' if options.short else ''})")
    print(text)
    if options.table is not None:
        options.table.write_text(text, encoding="utf-8")
    return 0 if all(holds for _, _, holds in floors(scores)) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.detection", description="Score anomaly detection on simulated traffic."
    )
    parser.add_argument("--seed", type=int, nargs="+", default=[7], help="one run per seed, pooled (default: 7)")
    parser.add_argument("--short", action="store_true", help="a small run for CI, under two minutes")
    parser.add_argument("--table", type=Path, metavar="FILE", help="write the Markdown table here, too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
