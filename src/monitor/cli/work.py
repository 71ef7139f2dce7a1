"""``monitor work``."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import structlog
import uvloop

from monitor import log as logs
from monitor.adapters.postgres.peers import warn_of_missing_redis
from monitor.bootstrap.container import Container
from monitor.bootstrap.loops import freeze_gc
from monitor.bootstrap.server import build_probes, readiness
from monitor.bootstrap.worker import build_fan_outs, build_figures, build_scheduler, build_worker
from monitor.cli.addresses import listen
from monitor.cli.common import CommandError
from monitor.cli.start import build_container, check_servers
from monitor.http.server.server import Server
from monitor.settings.schema import Settings
from monitor.worker.figures import WorkerFigures

LAST_MESSAGES_S = 1.0
"""How long a worker that ends waits for the live feed to take its last messages."""

log = structlog.get_logger(__name__)


def run(args: argparse.Namespace, settings: Settings) -> int:
    if args.concurrency is not None:
        settings = msgspec.structs.replace(
            settings, worker=msgspec.structs.replace(settings.worker, concurrency=args.concurrency)
        )
    stream = logs.configure(settings.log.level, settings.log.format)
    container = build_container(settings, stream, "work", serves=False)
    sockets = [] if args.port is None else listen(args.host, args.port)
    uvloop.run(_work(container, sockets))
    return 0


def worker_name() -> str:
    """Return the name under which this process holds leases."""
    return f"{socket.gethostname()}:{os.getpid()}"


async def _work(container: Container, sockets: list[socket.socket]) -> None:
    await check_servers(container.settings)
    async with container:
        if missing := await readiness(container):
            raise CommandError(" ".join(missing))
        # After readiness: a machine whose clock is off can deliver, by the corrected time.
        await container.clock_watch.measure()
        if container.settings.redis_url is None:
            await warn_of_missing_redis(container.database)
        fan_outs = build_fan_outs(container)
        figures = build_figures(container)
        worker = build_worker(container, name=worker_name(), fan_outs=fan_outs, figures=figures)
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, worker.stop)
        freeze_gc()
        loops = {**worker.loops(), **fan_outs.loops(), **build_scheduler(container).loops()}
        loops |= {"clock": container.clock_watch.loop, "encryption_keys": container.key_watch.loop}
        if container.has_feed:
            # Messages go out through the sockets of the serving processes.
            loops |= container.feed.loops()
        async with container.supervisor.running(loops), _probes(container, sockets, figures):
            log.info("worker_started", worker=worker_name(), concurrency=container.settings.worker.concurrency)
            await worker.run()
            await container.feed.flush(LAST_MESSAGES_S)


@asynccontextmanager
async def _probes(container: Container, sockets: list[socket.socket], figures: WorkerFigures) -> AsyncIterator[None]:
    """Serve probes and metrics on *sockets*, if there are any, until the worker has ended."""
    if not sockets:
        yield
        return
    server = Server(build_probes(container, figures), lifespan="off")
    serving = asyncio.create_task(server.serve(sockets), name="probes")
    try:
        yield
    finally:
        server.stop()
        await serving
