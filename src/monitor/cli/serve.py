"""Serve the API.

Any number of them, on MONITOR_DATABASE_URL and, for more than one process, MONITOR_REDIS_URL.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
import uvicorn.supervisors

from monitor import log as logs
from monitor.background import spare_the_collector
from monitor.bootstrap import build_app
from monitor.cli.common import CommandError, add_address, build_parts, production
from monitor.http.live.wire import LiveProtocol
from monitor.http.server import BoundedHttp

EXAMPLE = "monitor serve --host 0.0.0.0 --port 8000 --processes 2"

MAX_MESSAGE_BYTES = 16_384
DRAIN_S = 10


def arguments(sub: argparse.ArgumentParser) -> None:
    add_address(sub)
    sub.add_argument("--processes", type=int, default=1, help="server processes (default 1)")


def run(args: argparse.Namespace) -> int:
    settings = production()
    if args.processes < 1:
        raise CommandError("--processes starts at 1.")
    if args.processes > 1 and settings.redis_url is None:
        print("warning: more than one process needs MONITOR_REDIS_URL to share caches and limits", file=sys.stderr)
    parts = build_parts(settings)  # Says what is wrong with a key here, in one line; the server would in a traceback.
    logs.configure(settings.log.level, settings.log.format)
    if args.processes > 1:
        config = uvicorn.Config(
            "monitor.asgi:create_app",
            factory=True,
            host=args.host,
            port=args.port,
            workers=args.processes,
            **server_options(),
        )
        uvicorn.supervisors.Multiprocess(config, [config.bind_socket()]).run()
        return 0
    app = build_app(parts)
    spare_the_collector()
    config = uvicorn.Config(app, host=args.host, port=args.port, **server_options())
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        return runner.run(_serve(Server(config, app.state.hub.drain)))


async def _serve(server: Server) -> int:
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, server.stop)
    await server.serve()
    return 0 if server.started else 1


class Server(uvicorn.Server):
    """A server that leaves signals to its command: uvicorn's own would kill the process once more on its way out."""

    def __init__(self, config: uvicorn.Config, drain: Callable[[], None] = lambda: None) -> None:
        super().__init__(config)
        self._drain = drain

    def stop(self) -> None:
        # First of all: whoever knocks until the port is closed is told to come back, and sockets say good-bye.
        self._drain()
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        # An address that is taken would end the process from in here, over the head of whoever runs beside the server.
        try:
            await super().startup(sockets)
        except SystemExit:
            self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def server_options() -> dict[str, Any]:
    """Return the options of every server of ours. Its access log is off: it would print query strings."""
    return {
        "access_log": False,
        "log_config": None,
        "http": BoundedHttp,
        "ws": LiveProtocol,
        "ws_max_size": MAX_MESSAGE_BYTES,
        "ws_per_message_deflate": False,
        "server_header": False,
        "timeout_graceful_shutdown": DRAIN_S,
    }
