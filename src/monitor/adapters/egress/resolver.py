"""Names to addresses: looked up once, every answer judged."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from monitor.adapters.egress.guard import EgressPolicy, Target, check_address
from monitor.domain.errors import UrlRefused

MAX_ANSWERS = 16
LOOKUP_TIMEOUT_S = 5.0
LOOKUP_THREADS = 64

Lookup = Callable[[str], Coroutine[Any, Any, Sequence[str]]]
"""ASCII host name to the addresses it has, as text; raises ``OSError`` when it has none."""


class SystemLookup:
    """The system's ``getaddrinfo`` on threads of its own.

    A dead name server holds a thread for many seconds, and neither asyncio's shared pool of a few threads nor uvloop's
    four could spare it: lookups of healthy webhooks would queue behind it.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(LOOKUP_THREADS, thread_name_prefix="dns")

    async def __call__(self, host: str) -> Sequence[str]:
        return await asyncio.get_running_loop().run_in_executor(self._threads, _getaddrinfo, host)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _getaddrinfo(host: str) -> list[str]:
    # Bytes keep Python from running the name through its IDNA codec, which maps some characters to others.
    infos = socket.getaddrinfo(host.encode("ascii"), None, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in infos]


class Resolver:
    """Turns a :class:`Target` into the addresses that may be dialled for it.

    Keeps no answers. Callers that ask for a name while it is being looked up share the one lookup, so a dead name
    costs one thread however many deliveries wait for it.
    """

    def __init__(
        self, policy: EgressPolicy, *, lookup: Lookup | None = None, timeout_s: float = LOOKUP_TIMEOUT_S
    ) -> None:
        self._policy = policy
        self._system: SystemLookup | None = None
        if lookup is None:
            lookup = self._system = SystemLookup()
        self._lookup: Lookup = lookup
        self._timeout_s = timeout_s
        self._running: dict[str, asyncio.Task[Sequence[str]]] = {}

    async def addresses(self, target: Target) -> tuple[str, ...]:
        """
        Return 1 to 16 checked addresses, in the order of the answers.

        Raises:
            UrlRefused: ``dns_failure`` when there is no usable answer in time, ``dns_not_public`` when any single
                answer is refused by the guard. Fails closed.
        """
        if target.ip is not None:
            return (check_address(target.ip, self._policy, allowed_only=target.allowed_only),)
        answers = await self._answers(target.host)
        try:
            return tuple(check_address(ip, self._policy, allowed_only=target.allowed_only) for ip in answers)
        except UrlRefused:
            raise UrlRefused(
                f"{target.host} resolves to an address that may not be reached; "
                "internal networks are opened by MONITOR_EGRESS__ALLOW_CIDRS",
                reason="dns_not_public",
            ) from None

    async def aclose(self) -> None:
        """Drop what is being looked up. Safe to repeat."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        if self._system is not None:
            self._system.close()

    async def _answers(self, host: str) -> Sequence[str]:
        try:
            async with asyncio.timeout(self._timeout_s):
                answers = await self._shared_lookup(host)
        except TimeoutError:
            raise UrlRefused(f"looking up {host} took over {self._timeout_s:g} s", reason="dns_failure") from None
        except (OSError, UnicodeError):
            answers = ()
        if not answers:
            raise UrlRefused(f"{host} has no address; check the host name", reason="dns_failure")
        if len(answers) > MAX_ANSWERS:
            raise UrlRefused(f"{host} has more than {MAX_ANSWERS} addresses", reason="dns_failure")
        return answers

    async def _shared_lookup(self, host: str) -> Sequence[str]:
        task = self._running.get(host)
        if task is None:
            task = asyncio.create_task(self._lookup(host))
            self._running[host] = task
            task.add_done_callback(lambda done: self._forget(host, done))
        return await asyncio.shield(task)

    def _forget(self, host: str, task: asyncio.Task[Sequence[str]]) -> None:
        del self._running[host]
        if not task.cancelled():
            # Reading it keeps asyncio from reporting an error that every waiter was too late to see.
            task.exception()
