"""How a TCP connection detects that its peer is gone, or that the network in between dropped it."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

_SECONDS = {"TCP_KEEPIDLE": 10, "TCP_KEEPALIVE": 10, "TCP_KEEPINTVL": 3, "TCP_KEEPCNT": 3}
_MILLISECONDS = {"TCP_USER_TIMEOUT": 15_000}

KEEPALIVE: Mapping[int, int] = {
    getattr(socket, name): value for name, value in (_SECONDS | _MILLISECONDS).items() if hasattr(socket, name)
}
"""
Options of ``IPPROTO_TCP``, those that the platform has: a silent peer is probed after 10 s and given up 9 s later, one
that does not confirm what it is sent after 15 s. An idle connection is also kept alive in the tables of a NAT.
"""


def keep_alive(connection: Any) -> None:
    """Set :data:`KEEPALIVE` on *connection*, a socket or what a transport has of it, unless it is local."""
    if connection is None or connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEPALIVE.items():
        connection.setsockopt(socket.IPPROTO_TCP, option, value)
