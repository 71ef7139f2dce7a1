"""Read models of alerts on the wire."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests import strategies as our


@given(
    st.one_of(
        our.alert_views,
        our.alert_stats_views,
        our.silence_views,
        our.silence_previews,
        our.anomaly_views,
    )
)
def test_views_survive_the_wire(view: msgspec.Struct) -> None:
    """decode(encode(x)) == x."""
    assert msgspec.json.decode(msgspec.json.encode(view), type=type(view)) == view
