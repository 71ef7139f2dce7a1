"""Opens TCP connections to addresses that were checked."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Sequence

STAGGER_S = 0.25
"""How long an address may be silent before the next is tried beside it (RFC 8305 section 5)."""


async def connect_first(addresses: Sequence[str], port: int, admit: Callable[[str], object]) -> socket.socket:
    """
    Return a non-blocking socket to the first address that takes the connection.

    Args:
        admit: raises for an address that may not be reached; called before each dial, and for the peer after it.

    Raises:
        OSError: none takes it; that of the first that failed. Whatever *admit* raises.
    """
    for ip in addresses:
        admit(ip)
    sock = await (_connect(addresses[0], port) if len(addresses) == 1 else _race(_mixed(addresses), port))
    try:
        admit(sock.getpeername()[0])
    except BaseException:
        sock.close()
        raise
    return sock


async def _race(addresses: Sequence[str], port: int) -> socket.socket:
    waiting = deque(addresses)
    running: set[asyncio.Task[socket.socket]] = set()
    failures: list[BaseException] = []
    try:
        while waiting or running:
            if waiting:
                running.add(asyncio.create_task(_connect(waiting.popleft(), port)))
            timeout_s = STAGGER_S if waiting else None
            done, running = await asyncio.wait(running, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            failures += [error for task in done if (error := task.exception()) is not None]
            sockets = [task.result() for task in done if task.exception() is None]
            for spare in sockets[1:]:
                spare.close()
            if sockets:
                return sockets[0]
        raise failures[0]
    finally:
        for task in running:
            task.cancel()
        # One that connects just now closes its socket when it is cancelled.
        await asyncio.gather(*running, return_exceptions=True)


def _mixed(addresses: Sequence[str]) -> list[str]:
    """Let the second one be of the other family, which may be the one that works."""
    others = [ip for ip in addresses if (":" in ip) != (":" in addresses[0])]
    return [addresses[0], *others[:1], *[ip for ip in addresses[1:] if ip not in others[:1]]]


async def _connect(ip: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (ip, port))
    except BaseException:
        sock.close()
        raise
    return sock
