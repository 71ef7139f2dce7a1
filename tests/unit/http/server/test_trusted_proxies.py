"""Whose ``X-Forwarded-…`` headers are read: what the application sees behind our server's configuration."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.http.middleware.edge import client_address
from monitor.http.server.server import Server

PROXIES = ("10.0.0.0/8", "fd00::/8", "192.0.2.7")
INSIDE = st.sampled_from(["10.0.0.1", "10.255.3.4", "fd00::1", "192.0.2.7"])
ADDRESSES = st.one_of(INSIDE, st.ip_addresses().map(str))
SCHEMES = st.sampled_from(["http", "https", "ftp", "", "https, http"])


def seen(
    peer: str, *headers: tuple[str, str], proxies: tuple[str, ...] = PROXIES, kind: str = "http"
) -> tuple[str | None, str]:
    """Return the address and the scheme that the application finds for a request of *peer*."""
    found: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        found.append(scope)

    config = Server(app, trusted_proxies=proxies, lifespan="off").config
    config.load()
    plain = "http" if kind == "http" else "ws"
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    asyncio.run(config.loaded_app({"type": kind, "scheme": plain, "client": (peer, 1), "headers": raw}, None, None))
    return client_address(found[0]), found[0]["scheme"]


def is_trusted(address: str) -> bool:
    return any(ip_address(address) in ip_network(network) for network in PROXIES)


def test_a_proxy_says_whose_request_it_passes_on() -> None:
    headers = ("x-forwarded-for", "203.0.113.9"), ("x-forwarded-proto", "https")
    assert seen("10.0.0.1", *headers) == ("203.0.113.9", "https")
    assert seen("10.0.0.1", *headers, kind="websocket") == ("203.0.113.9", "wss")


def test_what_a_client_wrote_itself_stands_left_of_what_a_proxy_adds() -> None:
    assert seen("10.0.0.1", ("x-forwarded-for", "127.0.0.1, 203.0.113.9, 10.0.0.2"))[0] == "203.0.113.9"
    # A proxy may add a line instead.
    assert seen("10.0.0.1", ("x-forwarded-for", "127.0.0.1"), ("x-forwarded-for", "203.0.113.9"))[0] == "203.0.113.9"


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1"])
def test_without_the_setting_nobody_is_trusted(peer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    headers = ("x-forwarded-for", "203.0.113.9"), ("x-forwarded-proto", "https")
    assert seen(peer, *headers, proxies=()) == (peer, "http")
    assert seen(peer, *headers) == (peer, "http")


@given(st.ip_addresses().filter(lambda peer: not is_trusted(str(peer))), st.lists(ADDRESSES), SCHEMES)
def test_a_peer_that_is_no_proxy_is_seen_as_it_is(
    peer: IPv4Address | IPv6Address, claimed: list[str], scheme: str
) -> None:
    """Whatever it sends, a client that connects itself has its own address and scheme."""
    headers = ("x-forwarded-for", ", ".join(claimed)), ("x-forwarded-proto", scheme)
    assert seen(str(peer), *headers) == (str(peer), "http")


@given(INSIDE, st.lists(ADDRESSES, min_size=1), st.lists(st.booleans(), min_size=20, max_size=20))
def test_the_rightmost_address_that_is_no_proxy_is_the_client(peer: str, way: list[str], cuts: list[bool]) -> None:
    """However the addresses are spread over lines, and whatever stands to the left of it."""
    lines: list[list[str]] = [[]]
    for address, cut in zip(way, [*cuts, *[False] * len(way)], strict=False):
        lines[-1].append(address)
        if cut:
            lines.append([])
    headers = [("x-forwarded-for", ", ".join(line)) for line in lines if line]
    outside = [address for address in way if not is_trusted(address)]
    assert seen(peer, *headers)[0] == (outside[-1] if outside else way[0])


@given(INSIDE, st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=80))
def test_an_address_in_the_log_is_an_address(peer: str, claimed: str) -> None:
    """A proxy that passes on what its client wrote cannot put other text there."""
    address, _ = seen(peer, ("x-forwarded-for", claimed))
    assert address is None or ip_address(address)
