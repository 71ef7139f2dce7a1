"""Which hosts are served, when two origins are one, and which headers may occur once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.errors import Malformed
from monitor.http.requests.hosts import LOOPBACK_NAMES, SINGLE_HEADERS, ServedHosts, check_single, parse_origin
from monitor.http.responses.problems import Misdirected

LABEL = st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True)


def is_served(names: tuple[str, ...], *hosts: bytes) -> bool:
    try:
        ServedHosts(names).check([(b"host", host) for host in hosts])
    except Misdirected:
        return False
    return True


@pytest.mark.parametrize(
    ("names", "host", "served"),
    [
        ((), b"anything.test", True),
        (("*", "monitor.test"), b"anything.test", True),
        (("monitor.test",), b"monitor.test", True),
        (("monitor.test",), b"MONITOR.test.:8443", True),
        (("Monitor.TEST.",), b"monitor.test", True),
        (("monitor.test",), b"evil.test", False),
        (("monitor.test",), b"monitor.test.evil.test", False),
        (("monitor.test",), b"a.monitor.test", False),
        (("monitor.test",), b"", False),
        (("monitor.test",), b"monitor.test@evil.test", False),
        (("monitor.test",), b"monitor.test, evil.test", False),
        (("*.monitor.test",), b"a.b.monitor.test", True),
        (("*.monitor.test",), b"monitor.test", False),
        (("*.monitor.test",), b"evilmonitor.test", False),
        (("m\u00fcnchen.test",), b"xn--mnchen-3ya.test:80", True),
        (("xn--mnchen-3ya.test",), b"XN--MNCHEN-3YA.test", True),
        (("xn--mnchen-3ya.test",), "m\u00fcnchen.test".encode(), False),
        (("a..\u00fc",), b"evil.test", False),
        (LOOPBACK_NAMES, b"localhost:8000", True),
        (LOOPBACK_NAMES, b"app.localhost", True),
        (LOOPBACK_NAMES, b"127.0.0.1:8000", True),
        (LOOPBACK_NAMES, b"[0:0:0:0:0:0:0:1]:8000", True),
        (LOOPBACK_NAMES, b"::1", False),
        (LOOPBACK_NAMES, b"rebound.evil.test:8000", False),
        (("::1",), b"[::1]", True),
    ],
)
def test_a_host_is_served_if_it_is_listed(names: tuple[str, ...], host: bytes, *, served: bool) -> None:
    assert is_served(names, host) is served
    assert ServedHosts(names).serves(host) is served


def test_a_request_without_a_host_is_for_none_that_is_listed() -> None:
    assert is_served(())
    assert not is_served(("monitor.test",))


@given(labels=st.lists(LABEL, min_size=2, max_size=4), port=st.sampled_from(["", ":443"]), data=st.data())
def test_an_origin_is_scheme_host_and_effective_port(labels: list[str], port: str, data: st.DataObject) -> None:
    """Law: neither case nor the default port nor a final dot makes another origin; scheme and other ports do."""
    text = f"https://{'.'.join(labels)}"
    origin = parse_origin(text)
    assert origin is not None
    flips = data.draw(st.lists(st.booleans(), min_size=len(text), max_size=len(text)))
    other = "".join(char.upper() if flip else char for char, flip in zip(text, flips, strict=True))
    assert parse_origin(other + port) == origin == parse_origin(f"{text}.{port}")
    assert parse_origin(f"http{text[5:]}{port}") != origin
    assert parse_origin(f"{text}:8443") != origin
    assert parse_origin(f"https://a.{text[8:]}") != origin


@pytest.mark.parametrize(
    "text",
    ["null", "", "https://", "dash.test", "ftp://dash.test", "https://dash.test/", "https://ada@dash.test",
     "https://dash.test:", "https://dash.test:123456", "https://dash.test, https://dash.test", "https://[::1"],
)  # fmt: skip
def test_anything_else_is_no_origin(text: str) -> None:
    assert parse_origin(text) is None


def test_an_address_is_an_origin_in_any_spelling() -> None:
    assert parse_origin("http://[0:0::1]:80") == parse_origin("http://[::1]") == ("http", "[::1]", 80)


@pytest.mark.parametrize("name", sorted(SINGLE_HEADERS))
def test_a_single_header_may_not_be_repeated_even_with_the_same_value(name: bytes) -> None:
    check_single([(name, b"a"), (b"accept", b"b"), (b"accept", b"c")])
    with pytest.raises(Malformed, match="not several"):
        check_single([(name, b"a"), (b"accept", b"b"), (name, b"a")])
