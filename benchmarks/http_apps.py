"""
What the product is held against, on the same server with the same options.

``python -m benchmarks.http_apps raw|short|framework|query|commit PORT``. The first answers the very bytes of the
product, head and body; the second the same body under the shortest head: those in the file that BENCH_ANSWER names.
The last two use the database of MONITOR_DATABASE_URL.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import msgspec
import uvloop
from litestar import Litestar, MediaType, Response, get

from monitor.adapters.postgres.queries.resources import EVALUATED_WEBHOOK
from monitor.http.server.server import Server


class Answer(msgspec.Struct, frozen=True):
    """What the product answered."""

    headers: list[tuple[bytes, bytes]]
    body: bytes


ANSWER = (
    msgspec.json.decode(Path(os.environ["BENCH_ANSWER"]).read_bytes(), type=Answer)
    if "BENCH_ANSWER" in os.environ
    else Answer([], b"{}")
)
BODY = ANSWER.body


def same(headers: list[tuple[bytes, bytes]]) -> Any:
    """Return what answers everything with the body under *headers*, and does nothing else."""

    async def answer(scope: dict[str, Any], _receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": BODY})

    return answer


def raw() -> Any:
    return same(ANSWER.headers)


def short() -> Any:
    return same([(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))])


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
        row = await pool.fetchrow(EVALUATED_WEBHOOK, scope["path"].rpartition("/")[2])
        shown = msgspec.json.encode(dict(row), enc_hook=str)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(shown))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": shown})

    return answer


class Posted(msgspec.Struct, frozen=True):
    """An event as posted."""

    type: str
    payload: msgspec.Raw


async def commit() -> Any:
    """Return what decodes an event and commits it as one row of a table of its own: each request by itself."""
    pool = await asyncpg.create_pool(os.environ["MONITOR_DATABASE_URL"], min_size=8, max_size=8)
    await pool.execute(
        "CREATE TABLE IF NOT EXISTS bench_events (id uuid PRIMARY KEY, type text NOT NULL, payload bytea NOT NULL,"
        " created_at timestamptz NOT NULL DEFAULT now())"
    )
    decode = msgspec.json.Decoder(Posted).decode

    async def answer(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        received, more = b"", True
        while more:
            message = await receive()
            received += message["body"]
            more = message["more_body"]
        event, id_ = decode(received), uuid4()
        await pool.execute(
            "INSERT INTO bench_events (id, type, payload) VALUES ($1, $2, $3)", id_, event.type, bytes(event.payload)
        )
        shown = msgspec.json.encode({"id": id_, "type": event.type})
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(shown))]
        await send({"type": "http.response.start", "status": 202, "headers": headers})
        await send({"type": "http.response.body", "body": shown})

    return answer


async def main(name: str, port: int) -> None:
    """Serve one of them until told to stop."""
    asynchronous = {"query": query, "commit": commit}
    app: Any
    if name in asynchronous:
        app = await asynchronous[name]()
    else:
        app = {"raw": raw, "short": short, "framework": framework}[name]()
    server = Server(app, port=port)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
    await server.serve()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
