"""What a handshake must hold: token, origin, position."""

from __future__ import annotations

import pytest

from monitor.domain.errors import Forbidden, Malformed
from monitor.domain.live import Position
from monitor.http.live.handshake import check_origin, requested_position, subprotocol_token


def test_a_token_is_found_among_the_subprotocols() -> None:
    assert subprotocol_token([]) is None
    assert subprotocol_token(["monitor.v1"]) is None
    assert subprotocol_token(["monitor.v1", "bearer.a.b.c"]) == "a.b.c"
    for bad in (["bearer.t"], ["chat"], ["monitor.v1", "bearer.t", "bearer.u"]):
        with pytest.raises(Malformed):
            subprotocol_token(bad)


def test_only_listed_pages_and_our_own_get_in() -> None:
    allowed, own = {"https://dash.example.com"}, "https://monitor.example.com"
    for origins in ([], [own], ["https://dash.example.com"]):
        check_origin(origins, allowed, own)
    for foreign in (
        ["https://evil.test"],
        ["null"],
        ["https://DASH.example.com"],
        [own, own],
        ["http://monitor.example.com"],
    ):
        with pytest.raises(Forbidden):
            check_origin(foreign, allowed, own)


def test_an_address_may_hold_a_position_and_nothing_else() -> None:
    assert requested_position("") is None
    assert requested_position("epoch=ab-C_1&seq=12") == Position("ab-C_1", 12)
    for bad in ("seq=1", "epoch=e", "epoch=e&seq=1&token=t", "epoch=e&seq=x", "epoch=e&epoch=f", "epoch=e&seq=-1",
                "epoch=a.b&seq=1", "access_token=t", "epoch=&seq=1", "epoch=e&seq=٣"):  # fmt: skip
        with pytest.raises(Malformed):
            requested_position(bad)
