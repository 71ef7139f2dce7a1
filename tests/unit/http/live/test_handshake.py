"""What a handshake must hold: token, origin, position."""

from __future__ import annotations

import pytest

from monitor.domain.errors import Forbidden, Malformed
from monitor.domain.live import Position
from monitor.http.live.handshake import check_origin, requested_position, subprotocol_token
from monitor.http.requests.hosts import known_origins, parse_origin


def test_a_token_is_found_among_the_subprotocols() -> None:
    assert subprotocol_token([]) is None
    assert subprotocol_token(["monitor.v1"]) is None
    assert subprotocol_token(["monitor.v1", "bearer.a.b.c"]) == "a.b.c"
    for bad in (["bearer.t"], ["chat"], ["monitor.v1", "bearer.t", "bearer.u"]):
        with pytest.raises(Malformed):
            subprotocol_token(bad)


def test_only_listed_pages_and_our_own_get_in() -> None:
    allowed = known_origins(["https://dash.example.com:443", "https://Br\u00fccke.example.com"])
    own = parse_origin("https://monitor.example.com:8443")
    for origin in (
        None,
        "https://monitor.example.com:8443",
        "https://MONITOR.example.com:8443",
        "https://dash.example.com",
        "https://DASH.example.com",
        "https://xn--brcke-lva.example.com",
    ):
        check_origin(origin, allowed, own)
    for foreign in (
        "https://evil.test",
        "null",
        "",
        "https://monitor.example.com",
        "http://monitor.example.com:8443",
        "https://dash.example.com:8443",
        "https://dash.example.com.evil.test",
    ):
        with pytest.raises(Forbidden):
            check_origin(foreign, allowed, own)
    with pytest.raises(Forbidden):
        check_origin("null", allowed, None)


def test_an_address_may_hold_a_position_and_nothing_else() -> None:
    assert requested_position("") is None
    assert requested_position("epoch=ab-C_1&seq=12") == Position("ab-C_1", 12)
    for bad in ("seq=1", "epoch=e", "epoch=e&seq=1&token=t", "epoch=e&seq=x", "epoch=e&epoch=f", "epoch=e&seq=-1",
                "epoch=a.b&seq=1", "access_token=t", "epoch=&seq=1", "epoch=e&seq=٣"):  # fmt: skip
        with pytest.raises(Malformed):
            requested_position(bad)
