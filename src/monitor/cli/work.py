"""``monitor work``."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket

import msgspec
import structlog
import uvloop

from monitor import log as logs
from monitor.adapters.postgres.peers import warn_of_missing_redis
from monitor.bootstrap.container import Container
from monitor.bootstrap.loops import freeze_gc
from monitor.bootstrap.server import readiness
from monitor.bootstrap.worker import build_fan_outs, build_scheduler, build_worker
from monitor.cli.common import CommandError
from monitor.cli.start import build_container, check_servers
from monitor.settings.schema import Settings

LAST_MESSAGES_S = 1.0
"""How long a worker that ends waits for the live feed to take its last messages."""

log = structlog.get_logger(__name__)


def run(args: argparse.Namespace, settings: Settings) -> int:
    if args.concurrency is not None:
        settings = msgspec.structs.replace(
            settings, worker=msgspec.structs.replace(settings.worker, concurrency=args.concurrency)
        )
    stream = logs.configure(settings.log.level, settings.log.format)
    uvloop.run(_work(build_container(settings, stream, "work", serves=False)))
    return 0


def worker_name() -> str:
    """Return the name under which this process holds leases."""
    return f"{socket.gethostname()}:{os.getpid()}"


async def _work(container: Container) -> None:
    await check_servers(container.settings)
    async with container:
        if missing := await readiness(container):
            raise CommandError(" ".join(missing))
        # After readiness: a machine whose clock is off can deliver, by the corrected time.
        await container.clock_watch.measure()
        if container.settings.redis_url is None:
            await warn_of_missing_redis(container.database)
        fan_outs = build_fan_outs(container)
        worker = build_worker(container, name=worker_name(), fan_outs=fan_outs)
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, worker.stop)
        freeze_gc()
        loops = {**worker.loops(), **fan_outs.loops(), **build_scheduler(container).loops()}
        loops |= {"clock": container.clock_watch.loop, "encryption_keys": container.key_watch.loop}
        if container.has_feed:
            # Messages go out through the sockets of the serving processes.
            loops |= container.feed.loops()
        async with container.supervisor.running(loops):
            log.info("worker_started", worker=worker_name(), concurrency=container.settings.worker.concurrency)
            await worker.run()
            await container.feed.flush(LAST_MESSAGES_S)
