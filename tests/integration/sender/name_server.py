"""A name server on loopback: names under ``.dead.net`` get no answer, under ``.none.net`` no address, others one."""

from __future__ import annotations

import asyncio
import struct
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address

A = 1


class NameServer(asyncio.DatagramProtocol):
    """Attributes: ``addresses`` of names, else 93.184.215.14; ``asked``: how often each name was looked up (type A)."""

    def __init__(self) -> None:
        self.addresses: dict[str, str] = {}
        self.asked: Counter[str] = Counter()
        self.server = ""

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport
        self.server = "{}:{}".format(*transport.get_extra_info("sockname"))

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        labels, at = [], 12
        while length := data[at]:
            labels.append(data[at + 1 : at + 1 + length].decode())
            at += length + 1
        name = ".".join(labels).lower()
        (kind,) = struct.unpack("!H", data[at + 1 : at + 3])
        self.asked[name] += kind == A
        if not name.endswith(".dead.net"):
            self._transport.sendto(self._answer(data[:2], data[12 : at + 5], name, kind), addr)

    def _answer(self, id_: bytes, question: bytes, name: str, kind: int) -> bytes:
        if name.endswith(".none.net"):
            return id_ + struct.pack("!5H", 0x8183, 1, 0, 0, 0) + question
        if kind != A:
            return id_ + struct.pack("!5H", 0x8180, 1, 0, 0, 0) + question
        address = IPv4Address(self.addresses.get(name, "93.184.215.14")).packed
        record = b"\xc0\x0c" + struct.pack("!HHIH", A, 1, 0, 4) + address
        return id_ + struct.pack("!5H", 0x8180, 1, 1, 0, 0) + question + record


@asynccontextmanager
async def name_server() -> AsyncIterator[NameServer]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    try:
        yield server
    finally:
        transport.close()
        await asyncio.sleep(0)
