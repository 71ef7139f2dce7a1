"""By which hosts a server may be reached, as far as its settings and its address tell."""

from __future__ import annotations

import pytest

from monitor.bootstrap.server import served_hosts
from monitor.settings.schema import Egress, Http, Settings

LOCAL = ("127.0.0.1", "::1")


@pytest.mark.parametrize("host", [b"localhost:8000", b"127.0.0.1:8000", b"[::1]:8000", b"laptop:8000", b"monitor.test"])
def test_on_loopback_the_own_names_are_served_and_no_others(host: bytes) -> None:
    hosts = served_hosts(Settings(egress=Egress(self_hosts=("monitor.test",))), "laptop", LOCAL)
    assert hosts.serves(host)
    assert not hosts.serves(b"rebound.evil.test:8000")


@pytest.mark.parametrize(
    ("http", "addresses"),
    [
        (Http(), ()),
        (Http(), ("0.0.0.0",)),
        (Http(), ("127.0.0.1", "192.0.2.7")),
        (Http(hsts=True), LOCAL),
        (Http(allowed_hosts=("*",)), LOCAL),
    ],
)
def test_where_the_names_are_not_known_all_are_served(http: Http, addresses: tuple[str, ...]) -> None:
    assert served_hosts(Settings(http=http), "localhost", addresses).serves(b"monitor.example.com")


@pytest.mark.parametrize("addresses", [(), LOCAL])
def test_a_configured_list_is_all_there_is(addresses: tuple[str, ...]) -> None:
    hosts = served_hosts(Settings(http=Http(allowed_hosts=("monitor.test",))), "localhost", addresses)
    assert hosts.serves(b"monitor.test")
    assert not hosts.serves(b"localhost")
