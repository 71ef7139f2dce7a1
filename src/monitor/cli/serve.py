"""``monitor serve``."""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence

from monitor import log as logs
from monitor.bootstrap.container import Container
from monitor.bootstrap.loops import freeze_gc
from monitor.bootstrap.server import build_app, http_bounds, served_hosts
from monitor.cli.addresses import bound_addresses, listen
from monitor.cli.common import CommandError
from monitor.cli.processes import CANNOT_START, ProcessGroup, StartFailed, when_parent_dies
from monitor.cli.start import build_container, check_servers
from monitor.http.metrics import GroupMetrics, SharedMemory, make_files
from monitor.http.server.server import Server
from monitor.settings.schema import Settings

HARMLESS = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Signals by which log rotation and service managers request a reload, which needs none here."""


def run(args: argparse.Namespace, settings: Settings) -> int:
    if args.processes > 1 and settings.redis_url is None:
        print("warning: without MONITOR_REDIS_URL, processes share neither caches nor rate limits", file=sys.stderr)
    stream = logs.configure(settings.log.level, settings.log.format)
    # Before children are started: each would report a bad key.
    container = build_container(settings, stream, "serve")
    for name in HARMLESS:
        signal.signal(name, signal.SIG_IGN)
    if args.inherited:
        lifeline, *numbers = args.inherited
        slot, *files = args.metrics_memory
        group = GroupMetrics(SharedMemory(files, slot), time.monotonic)
        return _serve(container, args.host, [socket.socket(fileno=number) for number in numbers], lifeline, group)
    sockets = listen(args.host, args.port)
    # Not the children: one that replaces another while the database restarts waits for it, and answers 503.
    asyncio.run(check_servers(settings))
    if args.processes == 1:
        return _serve(container, args.host, sockets)
    return asyncio.run(_supervise(args.processes, args.host, sockets))


async def _supervise(count: int, host: str, sockets: Sequence[socket.socket]) -> int:
    # Or its exit would go through everything that was imported for the children.
    freeze_gc()
    numbers = [listener.fileno() for listener in sockets]
    files = make_files(count)

    def command(lifeline: int, slot: int) -> list[str]:
        inherited, memory = (",".join(map(str, part)) for part in ((lifeline, *numbers), (slot, *files)))
        serve = (sys.executable, "-m", "monitor", "serve", "--host", host)
        return [*serve, "--inherited", inherited, "--metrics-memory", memory]

    def stop() -> None:
        # Or a client that connects while the children finish would wait without an answer.
        for listener in sockets:
            listener.close()
        group.stop()

    group = ProcessGroup(command, count, [*numbers, *files])
    _on_stop_signals(stop)
    try:
        return 0 if await group.run() else 1
    except StartFailed:
        raise CommandError("a server process could not start; the log has the reason.") from None


def _serve(
    container: Container,
    host: str,
    sockets: list[socket.socket],
    lifeline: int | None = None,
    group: GroupMetrics | None = None,
) -> int:
    app = build_app(container, hosts=served_hosts(container.settings, host, bound_addresses(sockets)), group=group)
    freeze_gc()
    http = container.settings.http
    server = Server(app, container.hub.drain, bounds=http_bounds(http), trusted_proxies=http.trusted_proxies)

    async def serve() -> int:
        _on_stop_signals(server.stop)
        if lifeline is not None:
            when_parent_dies(lifeline, server.stop)
        await server.serve(sockets)
        return 0 if server.started else CANNOT_START

    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        return runner.run(serve())


def _on_stop_signals(stop: Callable[[], None]) -> None:
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop)
