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
from collections.abc import Iterator
from typing import Any

import uvicorn
import uvicorn.supervisors

from monitor import log as logs
from monitor.cli.common import CommandError, add_address, build_parts, production

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
    build_parts(settings)  # Says what is wrong with a key here, in one line; the server would in a traceback.
    logs.configure(settings.log.level, settings.log.format)
    config = uvicorn.Config(
        "monitor.asgi:create_app",
        factory=True,
        host=args.host,
        port=args.port,
        workers=args.processes,
        **server_options(),
    )
    if args.processes > 1:
        uvicorn.supervisors.Multiprocess(config, [config.bind_socket()]).run()
        return 0
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        return runner.run(_serve(Server(config)))


async def _serve(server: Server) -> int:
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, server.stop)
    await server.serve()
    return 0 if server.started else 1


class Server(uvicorn.Server):
    """A server that leaves signals to its command: uvicorn's own would kill the process once more on its way out."""

    def stop(self) -> None:
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
        "ws": "websockets-sansio",
        "ws_max_size": MAX_MESSAGE_BYTES,
        "ws_per_message_deflate": False,
        "server_header": False,
        "timeout_graceful_shutdown": DRAIN_S,
    }
