"""Which cookie is the session's, and which requests it may authenticate."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.errors import Forbidden, Malformed, Unauthenticated
from monitor.http.requests.session_cookie import (
    MAX_TOKEN_BYTES,
    check_cookie_use,
    check_own_page,
    cookie_name,
    is_https,
    session_token,
    set_cookie,
)

HOST = (b"host", b"monitor.example.com")
OWN = (b"origin", b"https://monitor.example.com")
CONFIRMED = (b"x-monitor-session", b"1")


def cookie(value: str) -> tuple[bytes, bytes]:
    return b"cookie", value.encode("latin-1")


@pytest.mark.parametrize(
    ("host", "secure", "name"),
    [
        ("monitor.example.com", True, "__Host-monitor_session"),
        ("monitor.example.com:443", True, "__Host-monitor_session"),
        ("monitor.example.com:8443", True, "__Host-monitor_session_8443"),
        ("localhost:8000", False, "monitor_session_8000"),
        ("[::1]:8000", False, "monitor_session_8000"),
        ("localhost", False, "monitor_session"),
        ("not a host", False, "monitor_session"),
    ],
)
def test_the_name_says_the_port_and_how_it_is_bound(host: str, secure: bool, name: str) -> None:
    assert cookie_name([(b"host", host.encode())], secure=secure) == name


def test_a_cookie_with_the_longest_name_and_token_is_one_that_browsers_keep() -> None:
    name = cookie_name([(b"host", b"monitor.example.com:65535")], secure=True)
    assert len(name) + MAX_TOKEN_BYTES <= 4096


@pytest.mark.parametrize(
    ("scheme", "https", "secure"), [("http", False, False), ("http", True, True), ("wss", False, True)]
)
def test_tls_may_end_in_front_of_us(scheme: str, https: bool, secure: bool) -> None:
    assert is_https(scheme, https=https) is secure


def test_the_cookie_is_read_among_others_in_one_line_or_several() -> None:
    name = "__Host-monitor_session"
    lines = [cookie("theme=dark; junk"), cookie(f"a=b ;\t{name}=a.b.c ; x{name}=d; monitor_session=e")]
    assert session_token([HOST, *lines], secure=True) == "a.b.c"


def test_no_cookie_of_ours_is_no_session() -> None:
    assert session_token([HOST], secure=True) is None
    assert session_token([HOST, cookie("monitor_session=a.b.c; access_token=a.b.c")], secure=True) is None


@pytest.mark.parametrize(
    "lines", [["monitor_session=a; monitor_session=a"], ["monitor_session=a", "monitor_session=b"]]
)
def test_two_session_cookies_are_refused(lines: list[str]) -> None:
    with pytest.raises(Malformed):
        session_token([HOST, *map(cookie, lines)], secure=False)


@pytest.mark.parametrize("value", ["", "  ", "é.b.c"])
def test_a_value_that_is_no_token_is_refused(value: str) -> None:
    with pytest.raises(Unauthenticated):
        session_token([HOST, cookie(f"monitor_session={value}")], secure=False)


@given(token=st.from_regex(r"[A-Za-z0-9._-]+", fullmatch=True), secure=st.booleans())
def test_what_is_set_is_read_back(token: str, secure: bool) -> None:
    """Reading what was set gives the token."""
    text = set_cookie([HOST], token, secure=secure, max_age_s=60)
    pair, _, attributes = text.partition("; ")
    assert session_token([HOST, cookie(pair)], secure=secure) == token
    assert attributes == "Path=/; Max-Age=60; HttpOnly; SameSite=Strict" + ("; Secure" if secure else "")


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [OWN],
        [(b"sec-fetch-site", b"same-origin")],
        [(b"sec-fetch-site", b"none")],
        [OWN, (b"sec-fetch-site", b"same-origin")],
        [(b"origin", b"https://MONITOR.example.com:443")],
    ],
)
def test_our_own_page_may_read(headers: list[tuple[bytes, bytes]]) -> None:
    check_cookie_use("GET", [HOST, *headers], secure=True)


def test_behind_a_proxy_that_ends_tls_our_own_page_is_a_secure_one() -> None:
    check_cookie_use("POST", [HOST, OWN, CONFIRMED], secure=False)
    with pytest.raises(Forbidden):
        check_cookie_use("POST", [HOST, (b"origin", b"http://monitor.example.com"), CONFIRMED], secure=True)


ELSEWHERE = [
    [(b"origin", b"https://evil.test")],
    [(b"origin", b"null")],
    [(b"origin", b"http://monitor.example.com")],
    [(b"origin", b"https://monitor.example.com:8443")],
    [(b"origin", b"https://evilmonitor.example.com")],
    [(b"sec-fetch-site", b"cross-site")],
    [(b"sec-fetch-site", b"same-site")],
    [(b"sec-fetch-site", b"")],
    [OWN, (b"sec-fetch-site", b"same-site")],
]


@pytest.mark.parametrize("headers", ELSEWHERE)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_page_of_another_origin_may_nothing(method: str, headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(Forbidden):
        check_cookie_use(method, [HOST, *headers, CONFIRMED], secure=True)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_change_says_where_it_comes_from_and_is_confirmed(method: str) -> None:
    for headers in ([OWN, CONFIRMED], [(b"sec-fetch-site", b"same-origin"), CONFIRMED]):
        check_cookie_use(method, [HOST, *headers], secure=True)
    for headers in ([], [OWN], [CONFIRMED], [(b"sec-fetch-site", b"none"), CONFIRMED]):
        with pytest.raises(Forbidden):
            check_cookie_use(method, [HOST, *headers], secure=True)


def test_without_a_host_no_origin_is_our_own() -> None:
    with pytest.raises(Forbidden):
        check_own_page([OWN], secure=True)
