"""How long ``monitor up`` takes until it is ready, on an empty data directory and on a used one."""

from __future__ import annotations

from benchmarks.support import Figure, Figures, scratch
from benchmarks.up import monitor_up


async def run() -> list[Figure]:
    figures = Figures("startup")
    with scratch() as directory:
        for name, bar in (("empty directory", 10.0), ("used directory", 4.0)):
            async with monitor_up(directory / "data", directory / "up.log") as up:
                figures.at_most(bar, f"ready on {name}", up.ready_s, "s")
    return figures.all
