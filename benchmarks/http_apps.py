"""
What the product is held against, on the same server with the same options.

``python -m benchmarks.http_apps raw|framework|query PORT``; what the first two answer stands in the file that
BENCH_BODY names, what the third is to ask in MONITOR_DATABASE_URL.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import uvicorn
import uvloop
from litestar import Litestar, MediaType, Response, get

from monitor.adapters.postgres.queries import WATCHED_WEBHOOK
from monitor.cli.serve import Server, server_options

BODY = Path(os.environ["BENCH_BODY"]).read_bytes() if "BENCH_BODY" in os.environ else b"{}"
HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]


async def raw(scope: dict[str, Any], _receive: Any, send: Any) -> None:
    """Answer everything with the body, and nothing else: as fast as a Python server can be."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await send({"type": "http.response.body", "body": BODY})


@get("/", cache=60, media_type=MediaType.JSON)
async def body() -> Response[bytes]:
    return Response(BODY)


def framework() -> Litestar:
    """Return Litestar with its own response cache, and nothing else: no token, no log."""
    return Litestar([body], openapi_config=None)


async def query() -> Any:
    """Return what reads the webhook that the path ends with, by the product's own statement, and shows the row."""
    pool = await asyncpg.create_pool(os.environ["MONITOR_DATABASE_URL"], min_size=8, max_size=8)

    async def answer(scope: dict[str, Any], _receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        row = await pool.fetchrow(WATCHED_WEBHOOK, scope["path"].rpartition("/")[2])
        shown = msgspec.json.encode(dict(row), enc_hook=str)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(shown))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": shown})

    return answer


async def main(name: str, port: int) -> None:
    """Serve one of them until told to stop."""
    app: Any = await query() if name == "query" else {"raw": raw, "framework": framework()}[name]
    server = Server(uvicorn.Config(app, port=port, **server_options()))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
    await server.serve()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
