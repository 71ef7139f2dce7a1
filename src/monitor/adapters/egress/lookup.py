"""Host names to addresses by c-ares, which waits for name servers without holding a thread for each name."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

import aiodns

FIRST_TIMEOUT_S = 1.0
TRIES = 4
"""c-ares doubles the timeout each time, and lowers the first to a quarter of a second when a name server is quick."""
GIVE_UP_S = 4.5

SILENT_NAMES = 3
"""So many names without an answer, and no answer between, are a name server that is away, not names that are dead."""


class NoNameServer(OSError):
    """No name server can be reached: that is this machine's trouble, not the receiver's."""


class DnsLookup:
    """
    /etc/hosts, then the name servers and search domains of /etc/resolv.conf, both read again when they change.

    Answers are kept for their time to live. Opens nothing before the first name. Called with a name, it returns the
    addresses; raises ``OSError`` when there are none.

    Args:
        servers: ``address:port`` of name servers to query instead of the configured ones.
    """

    def __init__(self, servers: Sequence[str] = ()) -> None:
        self._servers = servers
        self._resolver: aiodns.DNSResolver | None = None
        self._unanswered: set[str] = set()

    async def __call__(self, host: str) -> Sequence[str]:
        if self._resolver is None:
            self._resolver = aiodns.DNSResolver(self._servers or None, timeout=FIRST_TIMEOUT_S, tries=TRIES)
        try:
            async with asyncio.timeout(GIVE_UP_S):
                found = await self._resolver.getaddrinfo(host, family=socket.AF_UNSPEC, type=socket.SOCK_STREAM)
        except TimeoutError:
            raise self._failure(host, aiodns.error.ARES_ETIMEOUT) from None
        except aiodns.error.DNSError as error:
            raise self._failure(host, error.args[0]) from None
        self._unanswered.clear()
        return [node.addr[0].decode() for node in found.nodes]

    def _failure(self, host: str, code: int) -> OSError:
        if code == aiodns.error.ARES_ECONNREFUSED:
            return NoNameServer("connection refused")
        if code != aiodns.error.ARES_ETIMEOUT:
            self._unanswered.clear()
            return socket.gaierror(socket.EAI_NONAME, "no address")
        self._unanswered.add(host)
        if len(self._unanswered) >= SILENT_NAMES:
            return NoNameServer("no answer")
        return TimeoutError("no answer")

    async def close(self) -> None:
        """Give up what is being looked up. Safe to repeat."""
        resolver, self._resolver = self._resolver, None
        if resolver is not None:
            await resolver.close()
