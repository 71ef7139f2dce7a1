"""
The yardstick of the load test, a raw ASGI application for the same users: ``python -m benchmarks.load.bare PORT``.

It checks and stores nothing, and answers each route with the status that users expect. What they wait for it is what
the machine, the server and the users themselves take.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.support import process
from benchmarks.up import until_ready
from monitor.http.server.server import Server

MADE = b'{"id": "0198c2a4-7c1e-7b4f-9a55-2f6c7f1f4b10", "items": []}'
CREATED = ("/webhooks", "/silences")
ACCEPTED = ("/events", "/attempts")


@asynccontextmanager
async def bare(ports: list[int], logs: Path) -> AsyncIterator[None]:
    """Serve it on each of *ports* by a process of its own."""
    async with AsyncExitStack() as stack:
        for port in ports:
            command = ("-m", "benchmarks.load.bare", str(port))
            await stack.enter_async_context(process(*command, env={}, log=logs / f"bare-{port}.log"))
        await asyncio.gather(*(until_ready(f"http://127.0.0.1:{port}") for port in ports))
        yield


async def answer(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        return
    while (await receive()).get("more_body"):
        pass
    status = _status(scope["method"], scope["path"])
    body = b"" if status == 204 or scope["path"] == "/metrics" else MADE
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _status(method: str, path: str) -> int:
    if method == "DELETE":
        return 204
    if method == "POST" and path.endswith(ACCEPTED):
        return 202
    return 201 if method == "POST" and path.endswith(CREATED) else 200


async def main(port: int) -> None:
    """Serve until stopped."""
    app: Any = answer
    server = Server(app, port=port, ws="websockets-sansio", lifespan="off")
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
    await server.serve()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
