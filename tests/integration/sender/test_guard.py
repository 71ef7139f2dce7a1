"""Nothing inside the network is reached."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from monitor.adapters.egress.guard import EgressPolicy, Target
from monitor.adapters.egress.resolver import Lookup, Resolver
from monitor.adapters.egress.sender import HttpSender
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.vocab import ErrorKind
from tests.integration.raw_receivers import (
    OK,
    answering,
    receiver,
)
from tests.integration.sender.support import LOCAL, open_connections_to, request
from tests.integration.support import eventually


async def send_to(url: str, policy: EgressPolicy, lookup: Lookup | None = None) -> Outcome:
    async with HttpSender(policy, lookup=lookup) as sender:
        return await sender.send(request(url))


async def test_a_refused_url_gets_no_connection() -> None:
    async with receiver(answering(OK)) as there:
        policy = EgressPolicy()
        for url in (there.url(), f"https://127.0.0.1:{there.port}/", there.url("localhost"), "not a url"):
            assert (await send_to(url, policy)).error is ErrorKind.BLOCKED
        assert there.connections == 0


async def test_a_name_that_leads_inside_gets_no_connection() -> None:
    async def lookup(host: str) -> Sequence[str]:
        return ["127.0.0.1"]

    assert (await send_to("https://rebind.attacker.net/", EgressPolicy(), lookup)).error is ErrorKind.BLOCKED


async def test_the_checked_address_is_dialled_and_looked_up_once_per_connection() -> None:
    asked: list[str] = []

    async def lookup(host: str) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    async with receiver(answering(OK)) as there:
        async with HttpSender(LOCAL, lookup=lookup, idle_s=30) as sender:
            first = await sender.send(request(there.url("hooks.receiver.net")))
            pooled = await sender.send(request(there.url("hooks.receiver.net")))
            assert asked == ["hooks.receiver.net"]
        rebound = await send_to(there.url("hooks.receiver.net"), LOCAL, lookup)
        assert there.connections == 1
    assert first.ok
    assert pooled.ok
    assert rebound.error is ErrorKind.BLOCKED
    assert f"Host: hooks.receiver.net:{there.port}".encode() in there.requests[0]


async def test_a_resolver_that_lies_is_stopped_before_the_dial(monkeypatch: pytest.MonkeyPatch) -> None:
    async def lie(self: Resolver, target: Target) -> tuple[str, ...]:
        return ("127.0.0.1",)

    monkeypatch.setattr(Resolver, "addresses", lie)
    async with receiver(answering(OK)) as there:
        policy = EgressPolicy(allow_cidrs=("10.20.0.0/16",))
        outcome = await send_to(there.url("orders.svc"), policy)
        assert there.connections == 0
    assert outcome.error is ErrorKind.BLOCKED


async def test_a_peer_that_is_not_the_address_dialled_gets_no_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiver(answering(OK)) as there:
        divert_connections(monkeypatch, ("127.0.0.1", there.port))
        outcome = await send_to("http://10.20.0.1/", EgressPolicy(allow_cidrs=("10.20.0.0/16",)))
        await eventually(lambda: there.connections == 1)
        await eventually(lambda: not open_connections_to(there.port))
        assert there.requests == []
    assert outcome.error is ErrorKind.BLOCKED


def divert_connections(monkeypatch: pytest.MonkeyPatch, to: tuple[str, int]) -> None:
    """Make the loop connect elsewhere, as a transparent proxy would."""
    loop = asyncio.get_running_loop()
    connect = loop.sock_connect
    monkeypatch.setattr(loop, "sock_connect", lambda sock, address: connect(sock, to))
