"""
Command line of the load test. Exits 1 when a bar is missed.

Everything runs on this machine, the users included. A yardstick shows how fast it is: a loop of plain Python, before
and after the run, and a raw ASGI application under the same users. The bars of times are scaled by how much slower than
the reference it is; the hard ones are not, but for messages of the live feed.

``--latency-slack`` widens the scaled bars further, for a machine that does something else meanwhile. ``--hit-ratio``
lowers that bar for a run too short to make up for first reads.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import time
from pathlib import Path

import asyncpg
import msgspec
import psutil

import benchmarks.load
from benchmarks import yardstick
from benchmarks.load.bare import bare
from benchmarks.load.exchange import STAGE, TOLD, WRITTEN, Measured, Stage
from benchmarks.load.stage import product, set_stage
from benchmarks.support import PATIENCE_S, Figures, quantile, scratch
from benchmarks.written import Run, machine, print_figures, stored, write_run
from monitor.http.routes.prometheus import READ_FROM

ROOT = Path(benchmarks.load.__file__).parents[2]
SCENARIO = ROOT / "tests" / "load_test.py"
P95_MS, P99_MS, LIVE_P99_MS, WRITTEN_P99_MS, HIT_RATIO = 20, 50, 20, 50, 0.95
HARD_P95_MS, HARD_P99_MS, HARD_WRITTEN_P99_MS = 200, 500, 100
BARE_S, BARE_WARM_UP_S = 15.0, 3.0
BARE_P95_MS = 2.5
"""P95 of the raw application under a hundred users at the reference speed."""

SETTLE_S = 5.0

IN_USE = """
SELECT pid, xact_start FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND state <> 'idle'
"""
CONNECTED = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the load test and return the exit code."""
    options = _parser().parse_args(arguments)
    with scratch() as directory:
        try:
            run = asyncio.run(_run(options, directory))
        except BaseException:
            _show_logs(directory)
            raise
        finally:
            if options.logs is not None:
                shutil.copytree(directory, options.logs, ignore=shutil.ignore_patterns("database"), dirs_exist_ok=True)
    print_figures(run.figures)
    if options.json is not None:
        write_run(options.json, run)
    if options.store:
        write_run(stored("load"), run)
    return 1 if any(figure.holds is False for figure in run.figures) else 0


async def _run(options: argparse.Namespace, directory: Path) -> Run:
    _say("setting the stage …")
    sizes = {"users": options.users, "webhooks": options.webhooks, "attempts": options.attempts}
    async with set_stage(directory, **sizes) as on:
        _say("the yardstick …")
        loops_ms = [yardstick.loop_ms()]
        bare_stage = msgspec.structs.replace(
            on.stage, warm_up_s=BARE_WARM_UP_S, result=str(directory / "bare-measured.json")
        )
        async with bare(on.ports, directory):
            raw = await _load(bare_stage, options.users, min(BARE_S, options.minutes * 60), directory)
        async with product(on, directory) as running:
            _say(f"{options.users} users for {options.minutes:g} minutes …")
            before = {name: _used(process) for name, process in running.items()}
            measured = await _load(on.stage, options.users, options.minutes * 60, directory)
            after = {name: _used(process) for name, process in running.items()}
            held = await _held(on.dsn)
        left = await _connected(on.dsn)
        loops_ms.append(yardstick.loop_ms())
    figures = Figures("load")
    slower = _note_yardstick(figures, loops_ms, raw)
    scale = slower * options.latency_slack
    _judge_hard(figures, measured, scale)
    _judge(figures, measured, scale, options.hit_ratio)
    figures.at_most(0, "database connections held after the load", held, "")
    figures.at_most(0, "database connections left by ended processes", left, "")
    for name, (cpu_s, rss) in after.items():
        busy_s = cpu_s - before[name][0]
        figures.note(f"{name}, share of a core", busy_s / (measured.seconds + on.stage.warm_up_s), "")
        figures.note(f"{name}, memory after the load", rss / 2**20, "MiB")
    command = f"nox -s load -- --minutes {options.minutes:g} --users {options.users} --webhooks {options.webhooks}"
    return Run("Load", command, machine(), figures.all, _routes(measured), _views(measured))


async def _load(stage: Stage, count: int, seconds: float, directory: Path) -> Measured:
    """Let so many users loose, and return what they saw in *seconds* after the warm-up."""
    file = directory / "stage.json"
    file.write_bytes(msgspec.json.encode(stage))
    seconds += stage.warm_up_s
    users = ("--users", str(count), "--spawn-rate", str(max(count // 5, 1)))
    with (directory / "locust.log").open("ab") as log:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "locust", "--locustfile", SCENARIO, "--headless", "--loglevel", "WARNING"),
            *users,
            *("--run-time", f"{seconds:.0f}s", "--stop-timeout", "5", "--only-summary"),
            env={**os.environ, STAGE: str(file), "PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=log,
        )
        try:
            await asyncio.wait_for(child.wait(), seconds + PATIENCE_S)
        finally:
            if child.returncode is None:
                child.kill()
    return await asyncio.to_thread(_measured, Path(stage.result))


def _measured(file: Path) -> Measured:
    return msgspec.json.decode(file.read_bytes(), type=Measured)


def _note_yardstick(figures: Figures, loops_ms: list[float], raw: Measured) -> float:
    """Return what bars of times are scaled by: the slower of the loop and the raw application."""
    raw_ms = _http(raw)
    by_loop, by_raw = yardstick.slowness(*loops_ms), max(1.0, quantile(raw_ms, 0.95) / BARE_P95_MS)
    slower = max(by_loop, by_raw)
    figures.note("yardstick: a plain loop", sum(loops_ms) / len(loops_ms), "ms")
    figures.note("yardstick: raw ASGI application, same users, P95", quantile(raw_ms, 0.95), "ms")
    figures.note("yardstick: raw ASGI application, same users, P99", quantile(raw_ms, 0.99), "ms")
    figures.note("yardstick: bars of times are scaled by", slower, "×")
    _say(f"bars of times × {slower:.2f}: × {by_loop:.2f} by a plain loop, × {by_raw:.2f} by a raw ASGI application")
    if raw.errors:
        raise RuntimeError(f"the raw application was called wrongly: {raw.errors}")
    return slower


def _judge_hard(figures: Figures, measured: Measured, scale: float) -> None:
    """Hold what holds on any machine."""
    http = _http(measured)
    figures.at_most(HARD_P95_MS, "hard: all routes, P95", quantile(http, 0.95), "ms")
    figures.at_most(HARD_P99_MS, "hard: all routes, P99", quantile(http, 0.99), "ms")
    written = quantile(measured.samples.get(WRITTEN) or [0], 0.99)
    figures.at_most(HARD_WRITTEN_P99_MS * scale, "hard: live, from the request to the client, P99", written, "ms")


def _judge(figures: Figures, measured: Measured, slack: float, hit_ratio: float) -> None:
    http = _http(measured)
    figures.note("requests a second", len(http) / measured.seconds, "1/s")
    figures.note("all routes, P50", quantile(http, 0.5), "ms")
    figures.at_most(P95_MS * slack, "all routes, P95", quantile(http, 0.95), "ms")
    figures.at_most(P99_MS * slack, "all routes, P99", quantile(http, 0.99), "ms")
    _judge_live(figures, "live, from `at` to the client", measured.samples.get(TOLD, []), LIVE_P99_MS * slack)
    written = measured.samples.get(WRITTEN, [])
    _judge_live(figures, "live, from the request to the client", written, WRITTEN_P99_MS * slack)
    figures.at_most(0, "errors", sum(measured.errors.values()), "")
    for error, count in measured.errors.items():
        _say(f"{count} × {error}")
    hits, reads = _hits(measured)
    figures.note("reads of cached views a second", reads / measured.seconds, "1/s")
    figures.at_least(hit_ratio, "cache hit ratio", hits / max(reads, 1), "")


def _judge_live(figures: Figures, name: str, latencies_ms: list[float], p99_ms: float) -> None:
    figures.at_least(1, f"{name}, messages", len(latencies_ms), "")
    figures.note(f"{name}, P50", quantile(latencies_ms or [0], 0.5), "ms")
    figures.at_most(p99_ms, f"{name}, P99", quantile(latencies_ms or [0], 0.99), "ms")


def _http(measured: Measured) -> list[float]:
    """Return the milliseconds of all requests."""
    return [ms for name, samples in measured.samples.items() if _is_http(name) for ms in samples]


def _is_http(name: str) -> bool:
    return not name.startswith(("WS ", "LIVE "))


def _hits(measured: Measured) -> tuple[float, float]:
    reads = sum(sum(view.get(source, 0) for source in READ_FROM) for view in measured.views.values())
    return reads - sum(view.get("created", 0) for view in measured.views.values()), reads


def _routes(measured: Measured) -> list[tuple[str, int, float, float, float]]:
    return [
        (name, len(samples), *(round(quantile(samples, q), 2) for q in (0.5, 0.95, 0.99)))  # type: ignore[misc]
        for name, samples in sorted(measured.samples.items(), key=lambda item: item[0].partition(" ")[2])
    ]


def _views(measured: Measured) -> dict[str, dict[str, float]]:
    return {name: dict(sorted(view.items())) for name, view in sorted(measured.views.items())}


async def _held(dsn: str) -> int:
    """Count the connections whose transaction stays open although nobody calls any more."""
    connection = await asyncpg.connect(dsn)
    try:
        held = {tuple(row) for row in await connection.fetch(IN_USE)}
        until = time.monotonic() + SETTLE_S
        while held and time.monotonic() < until:
            await asyncio.sleep(0.1)
            held &= {tuple(row) for row in await connection.fetch(IN_USE)}
    finally:
        await connection.close()
    return len(held)


async def _connected(dsn: str) -> int:
    """Count the connections to the database, which nothing of ours should have any more."""
    connection = await asyncpg.connect(dsn)
    try:
        until = time.monotonic() + SETTLE_S
        while (left := await connection.fetchval(CONNECTED)) and time.monotonic() < until:
            # A backend takes a moment to notice that its client is gone.
            await asyncio.sleep(0.1)
    finally:
        await connection.close()
    return int(left)


def _used(process: psutil.Process) -> tuple[float, int]:
    """Return seconds of processor and bytes of memory."""
    times = process.cpu_times()
    return times.user + times.system, process.memory_info().rss


def _show_logs(directory: Path) -> None:
    for log in sorted(directory.glob("*.log")):
        _say(f"--- {log.name}\n{log.read_text(errors='replace')[-2000:]}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nox -s load --", description="Put the product under load, as users would, and hold it to its bars."
    )
    parser.add_argument("--minutes", type=float, default=0.5, help="how long, after 10 s to warm up (default: 0.5)")
    parser.add_argument("--users", type=int, default=100, help="half read, a fifth writes, the rest listens")
    parser.add_argument("--webhooks", type=int, default=1000, help="with a past (default: 1000)")
    parser.add_argument("--attempts", type=int, default=1_000_000, help="in that past, a day (default: a million)")
    parser.add_argument("--latency-slack", type=float, default=1.0, help="widens the scaled bars (default: 1)")
    parser.add_argument(
        "--hit-ratio", type=float, default=HIT_RATIO, help=f"must be reached by cached views (default: {HIT_RATIO})"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was measured here, too")
    parser.add_argument("--store", action="store_true", help="keep what was measured for benchmarks.report")
    parser.add_argument("--logs", type=Path, metavar="DIR", help="keep the logs of all processes here")
    return parser


if __name__ == "__main__":
    sys.exit(main())
