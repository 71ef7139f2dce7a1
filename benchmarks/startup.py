"""
How long ``monitor up`` takes until it is ready, on an empty data directory and on a used one; and the memory of all its
processes when nothing has been asked of it for a while, with what the imports of ours are of it.
"""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from collections.abc import Iterator

import msgspec
import psutil

from benchmarks import yardstick
from benchmarks.support import Figure, Figures, scratch
from benchmarks.up import monitor_up

EMPTY_S, USED_S = 6.0, 4.0
IDLE_S = 5.0
TOP = 8
MIB = 2**20

IMPORTS = """
import json, sys, time
def pss():
    with open("/proc/self/smaps_rollup") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
before = pss()
started = time.process_time()
import monitor.cli.up
whole = {"memory": pss() - before, "cpu_s": time.process_time() - started, "modules": len(sys.modules)}
print(json.dumps(whole))
"""

TRACED = """
import json, os, tracemalloc
tracemalloc.start()
import monitor.cli.up
sums = {}
for statistic in tracemalloc.take_snapshot().statistics("filename"):
    name = statistic.traceback[0].filename
    parts = name.replace(os.sep, "/").split("/")
    if name.startswith("<frozen importlib"):
        name = "code of all modules"
    elif "site-packages" in parts:
        name = parts[parts.index("site-packages") + 1].removesuffix(".py")
    elif "monitor" in parts:
        name = "monitor"
    else:
        name = "standard library"
    sums[name] = sums.get(name, 0) + statistic.size
print(json.dumps(sums))
"""


class Imported(msgspec.Struct, frozen=True):
    """What importing all of ``monitor up`` took: bytes, seconds of CPU, and modules."""

    memory: float
    cpu_s: float
    modules: int


async def run() -> list[Figure]:
    figures = Figures("startup")
    with scratch() as directory:
        slower = yardstick.note(figures)
        for name, limit_s in (("empty directory", EMPTY_S), ("used directory", USED_S)):
            async with monitor_up(directory / "data", directory / "up.log") as up:
                figures.at_most(limit_s * slower, f"ready on {name}", up.ready_s, "s")
                if name == "used directory":
                    await asyncio.sleep(IDLE_S)
                    _memory(figures, psutil.Process(up.pid))
    await _imports(figures)
    return figures.all


def _memory(figures: Figures, up: psutil.Process) -> None:
    """
    Note the memory of *up* and its children by part.

    Pages that processes share count in each RSS, and in the proportional set size (PSS) by halves, thirds and so on.
    """
    rss: dict[str, int] = defaultdict(int)
    pss: dict[str, int] = defaultdict(int)
    processes: dict[str, int] = defaultdict(int)
    for part, process in _parts(up):
        memory = process.memory_full_info()
        rss[part] += memory.rss
        pss[part] += memory.pss
        processes[part] += 1
    for part in sorted(pss, key=lambda name: -pss[name]):
        figures.note(f"idle, {part}, processes", processes[part], "")
        figures.note(f"idle, {part}, RSS", rss[part] / MIB, "MiB")
        figures.note(f"idle, {part}, PSS", pss[part] / MIB, "MiB")
    figures.note("idle, all, PSS", sum(pss.values()) / MIB, "MiB")


def _parts(up: psutil.Process) -> Iterator[tuple[str, psutil.Process]]:
    """Yield the processes that still run, each with the name of its part."""
    for process in (up, *up.children(recursive=True)):
        try:
            name = process.name()
            words = process.cmdline()
        except psutil.NoSuchProcess:
            continue
        if name.startswith("postgres"):
            yield "postgres", process
        elif name.startswith("redis"):
            yield "redis", process
        else:
            commands = [word for word in words if word in {"up", "serve", "work"}]
            yield f"monitor {commands[0]}" if commands else name, process


async def _imports(figures: Figures) -> None:
    imported = msgspec.json.decode(await _printed(IMPORTS), type=Imported)
    figures.note("imports of `monitor up`, memory", imported.memory / MIB, "MiB")
    figures.note("imports of `monitor up`, CPU", imported.cpu_s, "s")
    figures.note("imports of `monitor up`, modules", imported.modules, "")
    sums = msgspec.json.decode(await _printed(TRACED), type=dict[str, int])
    for name in sorted(sums, key=lambda name: -sums[name])[:TOP]:
        figures.note(f"imports of `monitor up`, {name}", sums[name] / MIB, "MiB")


async def _printed(program: str) -> bytes:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "ignore", "-c", program, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await child.communicate()
    return printed
