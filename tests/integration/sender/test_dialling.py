"""Which of a name's addresses is connected to."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest

from monitor.adapters.egress.dial import connect_first
from tests.integration.raw_receivers import OK, answering, receiver
from tests.integration.sender.support import open_connections_to
from tests.integration.support import eventually


def admit_all(ip: str) -> None:
    return None


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """Return a function that makes one address silent and returns the list of what is dialled from then on."""

    def silence(silent: str) -> list[str]:
        loop = asyncio.get_running_loop()
        connect = loop.sock_connect
        dialled: list[str] = []

        async def sock_connect(sock: socket.socket, address: tuple[str, int]) -> None:
            dialled.append(address[0])
            if address[0] == silent:
                await loop.create_future()
            await connect(sock, address)

        monkeypatch.setattr(loop, "sock_connect", sock_connect)
        return dialled

    return silence


async def test_an_address_that_is_silent_is_overtaken_by_the_next(dialled: Callable[[str], list[str]]) -> None:
    order = dialled("127.0.0.2")
    async with receiver(answering(OK)) as there:
        with await connect_first(["127.0.0.2", "127.0.0.1"], there.port, admit_all) as sock:
            assert sock.getpeername()[0] == "127.0.0.1"
        await eventually(lambda: not open_connections_to(there.port))
    assert order == ["127.0.0.2", "127.0.0.1"]


async def test_an_address_that_refuses_is_followed_by_the_next_and_then_by_the_other_family(
    dialled: Callable[[str], list[str]],
) -> None:
    order = dialled("")
    async with receiver(answering(OK)) as there:
        addresses = ["127.0.0.2", "127.0.0.3", "::1", "127.0.0.1"]
        with await connect_first(addresses, there.port, admit_all) as sock:
            assert sock.getpeername()[0] == "127.0.0.1"
    assert order == ["127.0.0.2", "::1", "127.0.0.3", "127.0.0.1"]


async def test_when_all_refuse_the_first_reason_counts() -> None:
    with pytest.raises(ConnectionRefusedError):
        await connect_first(["127.0.0.1", "127.0.0.2"], 1, admit_all)


async def test_a_dial_that_is_cancelled_leaves_no_socket(dialled: Callable[[str], list[str]]) -> None:
    order = dialled("127.0.0.2")
    async with receiver(answering(OK)) as there:
        task = asyncio.create_task(connect_first(["127.0.0.2", "127.0.0.2"], there.port, admit_all))
        await eventually(lambda: len(order) == 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
