"""Names to addresses: looked up once, every answer judged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from monitor.adapters.egress.guard import EgressPolicy, Target, check_address
from monitor.adapters.egress.lookup import DnsLookup, NoNameServer
from monitor.domain.errors import UrlRefused

MAX_ANSWERS = 16
LOOKUP_TIMEOUT_S = 5.0
FAILURE_KEPT_S = 5.0
"""How long a name that could not be looked up fails at once: what waits for it must not pile up."""
FAILURES_KEPT = 1_000

Lookup = Callable[[str], Coroutine[Any, Any, Sequence[str]]]
"""ASCII host name to the addresses it has, as text; raises ``OSError`` when it has none."""


class Resolver:
    """Turns a :class:`Target` into the addresses that may be dialled for it.

    Keeps no answers, and failures for a few seconds. Callers that need a name while it is being looked up share the
    one lookup, so a dead name costs one lookup however many deliveries wait for it.
    """

    def __init__(
        self, policy: EgressPolicy, *, lookup: Lookup | None = None, timeout_s: float = LOOKUP_TIMEOUT_S
    ) -> None:
        self._policy = policy
        self._dns = DnsLookup()
        self._lookup: Lookup = lookup or self._dns
        self._timeout_s = timeout_s
        self._running: dict[str, asyncio.Task[Sequence[str]]] = {}
        self._failed: dict[str, tuple[float, str, str]] = {}

    async def addresses(self, target: Target) -> tuple[str, ...]:
        """
        Return 1 to 16 checked addresses, in the order of the answers.

        Raises:
            UrlRefused: ``dns_failure`` when there is no usable answer in time, ``dns_unavailable`` when no name server
                can be reached, ``dns_not_public`` when any single answer is refused by the guard. Fails closed.
        """
        if target.ip is not None:
            return (check_address(target.ip, self._policy, allowed_only=target.allowed_only),)
        answers = await self._answers(target.host)
        try:
            return tuple(check_address(ip, self._policy, allowed_only=target.allowed_only) for ip in answers)
        except UrlRefused:
            raise UrlRefused(
                f"{target.host} resolves to an address that may not be reached; "
                "ask an admin to allow it with MONITOR_EGRESS__ALLOW_CIDRS",
                reason="dns_not_public",
            ) from None

    async def aclose(self) -> None:
        """Drop what is being looked up. Safe to repeat."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._dns.close()

    async def _answers(self, host: str) -> Sequence[str]:
        now = asyncio.get_running_loop().time()
        until, detail, reason = self._failed.get(host, (0.0, "", ""))
        if now < until:
            raise UrlRefused(detail, reason=reason)
        try:
            return await self._looked_up(host)
        except UrlRefused as refused:
            if len(self._failed) >= FAILURES_KEPT:
                self._failed = {name: kept for name, kept in self._failed.items() if kept[0] > now}
            if len(self._failed) < FAILURES_KEPT:
                self._failed[host] = (now + FAILURE_KEPT_S, refused.detail, refused.reason)
            raise

    async def _looked_up(self, host: str) -> Sequence[str]:
        try:
            async with asyncio.timeout(self._timeout_s):
                answers = await self._shared_lookup(host)
        except NoNameServer:
            raise UrlRefused("no name server of this machine can be reached", reason="dns_unavailable") from None
        except TimeoutError:
            raise UrlRefused(f"looking up {host} took too long", reason="dns_failure") from None
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
