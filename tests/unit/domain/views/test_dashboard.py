"""The order of the dashboard's list, and the views by window."""

from __future__ import annotations

from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.errors import Malformed
from monitor.domain.monitoring.metrics import HOUR_S
from monitor.domain.paging import decode_position, encode_cursor
from monitor.domain.views.dashboard import (
    SPARK_STEP_S,
    WINDOWS,
    RowPosition,
    Sparkline,
    WebhookRow,
    Window,
    cursor_position,
    performance_view,
)
from monitor.domain.views.webhooks import HealthView, LastHour
from monitor.domain.vocab import WORST_FIRST, HealthStatus

rows = st.builds(
    lambda id_, status, probability, enabled: WebhookRow(
        id=id_,
        name="shop",
        enabled=enabled,
        paused_at=None,
        health=HealthView(status, "Because.", probability, None),
        last_hour=LastHour(0, None, None),
        sparkline=Sparkline(SPARK_STEP_S, [], []),
        alerts=0,
        anomalies=0,
    ),
    st.uuids(),
    st.sampled_from(HealthStatus),
    st.floats(0, 1),
    st.booleans(),
)


def position_of(row: WebhookRow) -> RowPosition:
    found = decode_position(encode_cursor(cursor_position(row)), RowPosition)
    assert found is not None
    return found


@given(rows)
def test_a_position_round_trips(row: WebhookRow) -> None:
    """Law: a cursor holds the position of the row, to the last bit of its probability."""
    position = position_of(row)
    assert (position.negated_failure_probability, position.id) == (-row.health.failure_probability, row.id)


@given(rows, rows)
def test_positions_order_the_worst_first(one: WebhookRow, other: WebhookRow) -> None:
    """Law: what is sent to comes before what is disabled, then the worse health, then the likelier failure."""
    first, second = sorted([one, other], key=lambda row: msgspec.structs.astuple(position_of(row)))
    assert first.enabled or not second.enabled
    if first.enabled and second.enabled:
        ranks = [WORST_FIRST.index(row.health.status) for row in (first, second)]
        assert ranks == sorted(ranks)
    if position_of(first).rank == position_of(second).rank:
        assert first.health.failure_probability >= second.health.failure_probability


def test_no_cursor_is_the_first_page() -> None:
    assert decode_position(None, RowPosition) is None


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "!",
        encode_cursor(UUID(int=1).bytes),
        encode_cursor(msgspec.msgpack.encode([0, 0.5])),
        encode_cursor(msgspec.msgpack.encode(["0", 0.5, UUID(int=1)])),
        encode_cursor(msgspec.msgpack.encode([2**31, 0.5, UUID(int=1)])),
        encode_cursor(msgspec.msgpack.encode([0, float("nan"), UUID(int=1)])),
    ],
)
def test_the_cursor_of_another_list_is_malformed(cursor: str) -> None:
    with pytest.raises(Malformed):
        decode_position(cursor, RowPosition)


@pytest.mark.parametrize("window", WINDOWS)
def test_a_window_is_whole_steps_and_few_enough_to_draw(window: Window) -> None:
    window_s, step_s = WINDOWS[window]
    assert window_s % step_s == 0
    assert window_s // step_s <= 200


def test_windows_of_an_hour_and_more_are_cached_for_longer() -> None:
    assert {window for window in WINDOWS if performance_view(window) == "performance"} == {
        window for window, (window_s, _) in WINDOWS.items() if window_s < HOUR_S
    }
