"""Run a delivery worker and the periodic jobs.

Any number of them, on MONITOR_DATABASE_URL. SIGTERM finishes what is in flight and exits with 0.
"""

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
from monitor.bootstrap.container import Container
from monitor.bootstrap.loops import freeze_gc, restart_forever, tell_feed
from monitor.bootstrap.server import readiness
from monitor.bootstrap.worker import build_scheduler, build_worker
from monitor.cli.common import CommandError, build_parts, production

EXAMPLE = "monitor work --concurrency 200"
LAST_WORD_S = 1.0
"""How long a worker that ends waits for the live feed to take its last messages."""

log = structlog.get_logger(__name__)


def arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--concurrency", type=int, help="attempts that run at once (default MONITOR_WORKER__CONCURRENCY)")


def run(args: argparse.Namespace) -> int:
    settings = production()
    if args.concurrency is not None:
        if args.concurrency < 1:
            raise CommandError("--concurrency starts at 1.")
        settings = msgspec.structs.replace(
            settings, worker=msgspec.structs.replace(settings.worker, concurrency=args.concurrency)
        )
    logs.configure(settings.log.level, settings.log.format)
    uvloop.run(_work(build_parts(settings)))
    return 0


def worker_name() -> str:
    """Return what leases of this process are signed with."""
    return f"{socket.gethostname()}:{os.getpid()}"


async def _work(parts: Container) -> None:
    async with parts:
        if missing := await readiness(parts):
            raise CommandError(" ".join(missing))
        worker = build_worker(parts, name=worker_name())
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, worker.stop)
        freeze_gc()
        beside = [asyncio.create_task(build_scheduler(parts).run())]
        feed = parts.build_feed()
        if parts.feed_log is not None:
            # What happens here is sent by the servers' sockets.
            tell_feed(parts, feed)
            beside += [asyncio.create_task(restart_forever(name, loop)) for name, loop in feed.loops().items()]
        log.info("worker_started", worker=worker_name(), concurrency=parts.settings.worker.concurrency)
        try:
            await worker.run()
            await feed.flush(LAST_WORD_S)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
