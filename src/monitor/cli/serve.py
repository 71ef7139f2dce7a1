"""Serve the API.

Any number of them share MONITOR_DATABASE_URL and, with more than one process, MONITOR_REDIS_URL. SIGTERM finishes the
requests in flight, closes live feeds for reconnection and exits with 0.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any

from monitor import log as logs
from monitor.bootstrap.container import Container
from monitor.bootstrap.loops import freeze_gc
from monitor.bootstrap.server import build_app, http_bounds, served_hosts
from monitor.cli.common import CommandError, add_address, count
from monitor.cli.processes import CANNOT_START, ProcessGroup, StartFailed, when_parent_dies
from monitor.cli.start import build_container, production
from monitor.http.server.server import Server

EXAMPLE = "monitor serve --host 0.0.0.0 --port 8000 --processes 2"

HARMLESS = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Signals by which log rotation and service managers request a reload, which needs none here."""


def arguments(sub: argparse.ArgumentParser) -> None:
    add_address(sub)
    sub.add_argument("--processes", type=count, default=1, help="server processes (default 1)")
    # From a parent to its children: descriptors of the lifeline and of the sockets to listen on.
    sub.add_argument("--inherited", type=_numbers, default=(), help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    settings = production()
    if args.processes > 1 and settings.redis_url is None:
        print("warning: without MONITOR_REDIS_URL, processes share neither caches nor rate limits", file=sys.stderr)
    stream = logs.configure(settings.log.level, settings.log.format)
    # Before children are started: each of them would report a bad key.
    container = build_container(settings, stream)
    for name in HARMLESS:
        signal.signal(name, signal.SIG_IGN)
    if args.inherited:
        lifeline, *numbers = args.inherited
        return _serve(container, args.host, [socket.socket(fileno=number) for number in numbers], lifeline)
    sockets = listen(args.host, args.port)
    if args.processes == 1:
        return _serve(container, args.host, sockets)
    return asyncio.run(_supervise(args.processes, args.host, sockets))


def listen(host: str, port: int) -> list[socket.socket]:
    """Take *port* on every address of *host* that this machine has. Raises :class:`CommandError` if that cannot be."""
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, address in dict.fromkeys((family, address) for family, *_, address in found):
            try:
                sockets.append(_listener(family, address))
            except OSError as error:
                # `localhost` has an address of IPv6 also where nothing else has.
                if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                    raise
                missing = error
        if missing is not None and not sockets:
            raise missing
    except (OSError, UnicodeError) as error:
        for taken in sockets:
            taken.close()
        raise CommandError(f"cannot listen on {host}:{port}: {getattr(error, 'strerror', None) or error}.") from None
    return sockets


def _listener(family: int, address: tuple[Any, ...]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        # Two processes can bind one port; only one of them can listen.
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


def addresses(sockets: Sequence[socket.socket]) -> list[str]:
    """Return the IP addresses that *sockets* are bound to."""
    return [listener.getsockname()[0].partition("%")[0] for listener in sockets]


async def _supervise(count: int, host: str, sockets: Sequence[socket.socket]) -> int:
    numbers = [listener.fileno() for listener in sockets]

    def command(lifeline: int) -> list[str]:
        inherited = ",".join(map(str, (lifeline, *numbers)))
        return [sys.executable, "-m", "monitor", "serve", "--host", host, "--inherited", inherited]

    def stop() -> None:
        # Or a client that connects while the children finish would wait without an answer.
        for listener in sockets:
            listener.close()
        group.stop()

    group = ProcessGroup(command, count, numbers)
    _on_stop_signals(stop)
    try:
        return 0 if await group.run() else 1
    except StartFailed:
        raise CommandError("a server process could not start; the log has the reason.") from None


def _serve(container: Container, host: str, sockets: list[socket.socket], lifeline: int | None = None) -> int:
    app = build_app(container, hosts=served_hosts(container.settings, host, addresses(sockets)))
    freeze_gc()
    server = Server(app, container.hub.drain, bounds=http_bounds(container.settings.http))

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


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))
