"""Looking names up, and what name servers that do not answer cost others."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from monitor.adapters.egress.lookup import SILENT_NAMES, DnsLookup, NoNameServer
from monitor.adapters.egress.sender import HttpSender
from monitor.domain.vocab import ErrorKind
from tests.integration.raw_receivers import OK, answering, receiver
from tests.integration.sender.name_server import name_server
from tests.integration.sender.support import LOCAL, request


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dead names are given up soon."""
    monkeypatch.setattr("monitor.adapters.egress.lookup.GIVE_UP_S", 3.0)


@asynccontextmanager
async def asking(*servers: str) -> AsyncIterator[DnsLookup]:
    lookup = DnsLookup(servers)
    try:
        yield lookup
    finally:
        await lookup.close()


async def test_the_names_of_the_hosts_file_need_no_server() -> None:
    async with asking("127.0.0.1:9") as lookup:
        assert "127.0.0.1" in await lookup("localhost")


async def test_a_name_has_the_addresses_that_its_server_gives() -> None:
    async with name_server() as there, asking(there.server) as lookup:
        there.addresses["a.example.org"] = "93.184.215.15"
        assert await lookup("a.example.org") == ["93.184.215.15"]
        assert await lookup("my_service") == ["93.184.215.14"]
        with pytest.raises(socket.gaierror):
            await lookup("a.none.net")


async def test_a_hundred_dead_names_do_not_hold_up_another() -> None:
    async with name_server() as there, asking(there.server) as lookup:
        dead = [asyncio.create_task(lookup(f"n{number}.dead.net")) for number in range(100)]
        while len(there.asked) < 100:
            await asyncio.sleep(0.01)
        assert await lookup("a.example.org") == ["93.184.215.14"]
        assert not any(task.done() for task in dead)
        results = await asyncio.gather(*dead, return_exceptions=True)
    assert all(isinstance(result, TimeoutError | NoNameServer) for result in results)


async def test_a_dead_name_is_the_receiver_s_trouble_as_long_as_others_are_answered() -> None:
    async with name_server() as there, asking(there.server) as lookup:
        for number in range(SILENT_NAMES):
            with pytest.raises(TimeoutError):
                await lookup(f"n{number}.dead.net")
            await lookup(f"n{number}.example.org")


@pytest.mark.parametrize("silent", [True, False])
async def test_no_name_server_at_all_is_our_own_trouble(silent: bool) -> None:
    async with name_server() as there:
        lookup = DnsLookup([there.server if silent else "127.0.0.1:9"])
        outcomes = []
        async with HttpSender(LOCAL, lookup=lookup) as sender:
            for number in range(3):
                outcomes.append(await sender.send(request(f"https://n{number}.dead.net/")))  # noqa: PERF401
        await lookup.close()
    assert {outcome.error for outcome in outcomes} == {ErrorKind.DNS}
    assert outcomes[-1].local
    assert outcomes[-1].error_detail == "no name server of this machine can be reached"
    assert outcomes[0].local is not silent


async def test_a_name_without_an_address_is_asked_for_once_and_fails_at_once_for_a_while() -> None:
    async with name_server() as there:
        lookup = DnsLookup([there.server])
        async with HttpSender(LOCAL, lookup=lookup) as sender:
            outcomes = [await sender.send(request("https://a.none.net/")) for _ in range(5)]
        await lookup.close()
    assert {(outcome.error, outcome.local) for outcome in outcomes} == {(ErrorKind.DNS, False)}
    assert {outcome.error_detail for outcome in outcomes} == {"a.none.net has no address; check the host name"}
    assert there.asked["a.none.net"] <= 1


async def test_a_webhook_beside_dead_names_is_delivered_to() -> None:
    async with name_server() as there, receiver(answering(OK)) as quick:
        there.addresses["quick.example.org"] = "127.0.0.1"
        lookup = DnsLookup([there.server])
        async with HttpSender(LOCAL, lookup=lookup) as sender:
            dead = [asyncio.create_task(sender.send(request(f"https://n{i}.dead.net/"))) for i in range(100)]
            while len(there.asked) < 100:
                await asyncio.sleep(0.01)
            outcome = await sender.send(request(quick.url("quick.example.org")))
            assert not any(task.done() for task in dead)
            failed = await asyncio.gather(*dead)
        await lookup.close()
    assert outcome.ok
    assert {result.error for result in failed} == {ErrorKind.DNS}
