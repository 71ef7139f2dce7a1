"""
Command line of the benchmarks. Exits 1 when a bar is missed.

Machines differ and are noisy, so most bars are ratios, and both sides of a ratio are measured in the same run.
``--store`` keeps each run in docs/measurements, which ``python -m benchmarks.report`` makes pages of.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks import (
    accept,
    cache,
    capacity,
    claim,
    cold,
    deliver,
    fan_out,
    growth,
    http,
    ingest,
    keys,
    live,
    neighbours,
    replays,
    sender,
    startup,
)
from benchmarks.support import Figure
from benchmarks.written import Run, machine, print_figures, stored, write_run

BENCHES: dict[str, Callable[[], Awaitable[list[Figure]]]] = {
    "deliver": deliver.run,
    "sender": sender.run,
    "accept": accept.run,
    "fanout": fan_out.run,
    "keys": keys.run,
    "replays": replays.run,
    "cache": cache.run,
    "startup": startup.run,
    "claim": claim.run,
    "ingest": ingest.run,
    "http": http.run,
    "live": live.run,
    "cold": cold.run,
    "growth": growth.run,
    "neighbours": neighbours.run,
    "capacity": capacity.run,
}


def main(arguments: list[str] | None = None) -> int:
    """Run the chosen benchmarks and return the exit code."""
    options = _parser().parse_args(arguments)
    logging.disable(logging.INFO)
    figures: list[Figure] = []
    names = options.bench or list(BENCHES)
    for name in names:
        print(f"{name} …", file=sys.stderr, flush=True)
        found = asyncio.run(_measure(name))
        print_figures(found)
        figures += found
        if options.store:
            write_run(stored(name), Run(name, f"python -m benchmarks {name}", machine(), found))
    if options.json is not None:
        write_run(options.json, Run(", ".join(names), f"python -m benchmarks {' '.join(names)}", machine(), figures))
    return 1 if any(figure.holds is False for figure in figures) else 0


async def _measure(name: str) -> list[Figure]:
    return await BENCHES[name]()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the product against its bars.")
    parser.add_argument("bench", nargs="*", choices=[[], *BENCHES], help="which ones (default: all)", metavar="bench")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures of all of them here, too")
    parser.add_argument(
        "--store", action="store_true", help="keep each run for benchmarks.report, which makes the pages"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
