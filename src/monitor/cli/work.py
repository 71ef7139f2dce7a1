"""``monitor work``."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
import structlog
import uvloop

from monitor import log as logs
from monitor.adapters.postgres.peers import warn_of_missing_redis
from monitor.bootstrap.container import Container
from monitor.bootstrap.loops import freeze_gc
from monitor.bootstrap.server import build_exposition, build_probes, readiness
from monitor.bootstrap.worker import build_fan_outs, build_figures, build_scheduler, build_worker
from monitor.cli.addresses import listen
from monitor.cli.common import CommandError
from monitor.cli.processes import ProcessGroup, StartFailed, when_parent_dies
from monitor.cli.start import build_container, check_servers
from monitor.http.metrics import GroupMetrics, SharedMemory, make_files
from monitor.http.server.server import Server
from monitor.settings.schema import Settings
from monitor.worker.figures import WorkerFigures

LAST_MESSAGES_S = 1.0
"""How long a worker that ends waits for the live feed to take its last messages."""

STOP_AFTER_DRAIN_S = 15.0
"""How long after its drain a child of a group may take to settle, release and exit."""

log = structlog.get_logger(__name__)


def run(args: argparse.Namespace, settings: Settings) -> int:
    if args.concurrency is not None:
        settings = msgspec.structs.replace(
            settings, worker=msgspec.structs.replace(settings.worker, concurrency=args.concurrency)
        )
    stream = logs.configure(settings.log.level, settings.log.format)
    container = build_container(settings, stream, "work", serves=False)
    if args.inherited:
        lifeline, *numbers = args.inherited
        slot, *files = args.metrics_memory
        group = GroupMetrics(SharedMemory(files, slot), time.monotonic)
        uvloop.run(_work(container, [socket.socket(fileno=number) for number in numbers], lifeline, group))
        return 0
    sockets = [] if args.port is None else listen(args.host, args.port)
    if args.processes == 1:
        uvloop.run(_work(container, sockets))
        return 0
    # Not the children: one that replaces another while the database restarts is started again until it is back.
    asyncio.run(check_servers(settings))
    return asyncio.run(_supervise(args.processes, settings, sockets))


def worker_name() -> str:
    """Return the name under which this process holds leases."""
    return f"{socket.gethostname()}:{os.getpid()}"


async def _supervise(count: int, settings: Settings, sockets: Sequence[socket.socket]) -> int:
    # Or its exit would go through everything that was imported for the children.
    freeze_gc()
    numbers = [listener.fileno() for listener in sockets]
    files = make_files(count)

    def command(lifeline: int, slot: int) -> list[str]:
        inherited, memory = (",".join(map(str, part)) for part in ((lifeline, *numbers), (slot, *files)))
        work = (sys.executable, "-m", "monitor", "work", "--concurrency", str(settings.worker.concurrency))
        return [*work, "--inherited", inherited, "--metrics-memory", memory]

    stop_s = settings.worker.drain_s + STOP_AFTER_DRAIN_S
    group = ProcessGroup(command, count, [*numbers, *files], stop_s=stop_s)
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, group.stop)
    try:
        return 0 if await group.run() else 1
    except StartFailed:
        raise CommandError("a worker process could not start; the log has the reason.") from None


async def _work(
    container: Container,
    sockets: list[socket.socket],
    lifeline: int | None = None,
    group: GroupMetrics | None = None,
) -> None:
    if lifeline is None:
        await check_servers(container.settings)
    async with container:
        if missing := await readiness(container):
            raise CommandError(" ".join(missing))
        # After readiness: a machine with a wrong clock can deliver, by the corrected time.
        await container.clock_watch.measure()
        if container.settings.redis_url is None:
            await warn_of_missing_redis(container.database)
        fan_outs = build_fan_outs(container)
        figures = build_figures(container)
        worker = build_worker(container, name=worker_name(), fan_outs=fan_outs, figures=figures)
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, worker.stop)
        if lifeline is not None:
            when_parent_dies(lifeline, worker.stop)
        freeze_gc()
        loops = {**worker.loops(), **fan_outs.loops(), **build_scheduler(container).loops()}
        loops |= {"clock": container.clock_watch.loop, "encryption_keys": container.key_watch.loop}
        if container.has_feed:
            # Messages go out through the sockets of the serving processes.
            loops |= container.feed.loops()
        async with container.supervisor.running(loops), _probes(container, sockets, figures, group):
            log.info("worker_started", worker=worker_name(), concurrency=container.settings.worker.concurrency)
            await worker.run()
            await container.feed.flush(LAST_MESSAGES_S)


@asynccontextmanager
async def _probes(
    container: Container, sockets: list[socket.socket], figures: WorkerFigures, group: GroupMetrics | None
) -> AsyncIterator[None]:
    """Serve probes and metrics on *sockets*, if there are any, until the worker has ended."""
    if not sockets:
        yield
        return
    exposition = build_exposition(container, figures, group)
    server = Server(build_probes(container, exposition), lifespan="off")
    serving = asyncio.create_task(server.serve(sockets), name="probes")
    loops = {} if group is None else {"metrics.share": exposition.share_loop}
    try:
        async with container.supervisor.running(loops):
            yield
    finally:
        # What the last attempts counted, for the process that takes this place.
        exposition.share()
        server.stop()
        await serving
