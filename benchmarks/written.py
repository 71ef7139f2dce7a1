"""Measured results as files, and as lines to read: what a run measured, on which machine, by which command."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import psutil

from benchmarks.support import Figure

ROOT = Path(__file__).parents[1]
MEASUREMENTS = ROOT / "docs" / "measurements"
COMMIT = ("git", "describe", "--always", "--dirty", "--abbrev=10")


class Machine(msgspec.Struct, frozen=True):
    """
    What a figure depends on.

    Args:
        load: how many processes wanted a core in the last minute, when the run ended.
        commit: of the code that ran, marked if it was changed; empty outside of a repository.
    """

    at: datetime
    cores: int
    memory_gib: int
    system: str
    python: str
    load: float
    commit: str = ""


class Run(msgspec.Struct, frozen=True):
    """
    One run of a benchmark.

    Args:
        command: repeats it.
        routes: name, count, and milliseconds at P50, P95 and P99.
        views: what was counted of each cached view, see :class:`benchmarks.load.exchange.Measured`.
    """

    title: str
    command: str
    machine: Machine
    figures: list[Figure]
    routes: list[tuple[str, int, float, float, float]] = []
    views: dict[str, dict[str, float]] = {}


def machine() -> Machine:
    return Machine(
        at=datetime.now(UTC).replace(microsecond=0),
        cores=os.cpu_count() or 0,
        memory_gib=round(psutil.virtual_memory().total / 2**30),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        load=round(os.getloadavg()[0], 1),
        commit=_commit(),
    )


def _commit() -> str:
    try:
        described = subprocess.run(COMMIT, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return described.stdout.strip()


def stored(name: str) -> Path:
    """Return the file of docs/measurements that keeps a run of *name*."""
    return MEASUREMENTS / f"{name}.json"


def write_run(file: Path, run: Run) -> None:
    file.write_bytes(msgspec.json.format(msgspec.json.encode(run)) + b"\n")


def print_figures(figures: Iterable[Figure]) -> None:
    for figure in figures:
        print(line(figure), flush=True)


def line(figure: Figure) -> str:
    verdict = "" if figure.must is None else f"  must be {figure.must}: {'holds' if figure.holds else 'MISSED'}"
    return f"{figure.bench:8} {figure.name:70} {figure.value:>12,.3f} {figure.unit}{verdict}"
