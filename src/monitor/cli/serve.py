"""Serve the API.

Any number of them, on MONITOR_DATABASE_URL and, for more than one process, MONITOR_REDIS_URL.
"""

from __future__ import annotations

import argparse
import sys

import uvicorn

from monitor import log as logs
from monitor.cli.common import CommandError, add_address, production

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
    logs.configure(settings.log.level, settings.log.format)
    uvicorn.run(
        "monitor.asgi:create_app",
        factory=True,
        host=args.host,
        port=args.port,
        workers=args.processes,
        **server_options(),
    )
    return 0


def server_options() -> dict[str, object]:
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
