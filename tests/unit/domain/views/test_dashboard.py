"""The order of the dashboard's list, and the views by window."""

from __future__ import annotations

from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.errors import Malformed
from monitor.domain.monitoring.metrics import HOUR_S
from monitor.domain.paging import encode_cursor
from monitor.domain.views.dashboard import (
    SPARK_STEP_S,
    WINDOWS,
    RowLook,
    RowOrder,
    RowPosition,
    RowSort,
    Sparkline,
    WebhookRow,
    WebhookRows,
    Window,
    performance_view,
    row_position,
    rows_page,
)
from monitor.domain.views.webhooks import HealthView, LastHour
from monitor.domain.vocab import HealthStatus, WebhookStatus

ROW = WebhookRow(
    id=UUID(int=1),
    name="shop",
    url="https://shop.example.com/",
    labels={},
    enabled=True,
    paused_at=None,
    status=WebhookStatus.HEALTHY,
    reason="Because.",
    health=HealthView(HealthStatus.HEALTHY, "Because.", 0.05, None),
    waiting=0,
    last_attempt_at=None,
    last_hour=LastHour(0, None, None),
    sparkline=Sparkline(SPARK_STEP_S, [], []),
    alerts=0,
    anomalies=0,
)
COUNTS = dict.fromkeys(WebhookStatus, 0) | {WebhookStatus.HEALTHY: 3, WebhookStatus.PAUSED: 4}

by_figure = st.sampled_from(["worst", "traffic", "failures", "latency", "waiting"])
positions = st.one_of(
    st.builds(RowPosition, by_figure, st.floats(-1, 1e9), st.uuids()),
    st.builds(RowPosition, st.just("name"), st.text(max_size=64).filter(lambda text: "\0" not in text), st.uuids()),
    st.builds(RowPosition, st.just("newest"), st.none(), st.uuids()),
)


def cursor_of(*position: object) -> str:
    return encode_cursor(msgspec.msgpack.encode(position))


@given(positions)
def test_a_position_round_trips(position: RowPosition) -> None:
    """Law: the cursor of a page is the position of its last row, to the last bit, in its own order only."""
    cursor = rows_page(RowLook([ROW], position), None, None).next_cursor
    assert row_position(cursor, RowOrder(position.sort)) == position
    other: RowSort = "name" if position.sort == "newest" else "newest"
    with pytest.raises(Malformed):
        row_position(cursor, RowOrder(other))


def test_the_first_page_counts_what_matches() -> None:
    look = RowLook([ROW])
    assert rows_page(look, COUNTS, None) == WebhookRows([ROW], None, 7, COUNTS)
    assert rows_page(look, COUNTS, WebhookStatus.PAUSED) == WebhookRows([ROW], None, 4, COUNTS)
    assert rows_page(look, None, WebhookStatus.PAUSED) == WebhookRows([ROW])


def test_no_cursor_is_the_first_page() -> None:
    assert row_position(None, RowOrder()) is None


@pytest.mark.parametrize(
    ("sort", "cursor"),
    [
        ("worst", ""),
        ("worst", "!"),
        ("worst", encode_cursor(UUID(int=1).bytes)),
        ("worst", cursor_of("worst", 0.5)),
        ("worst", cursor_of("worst", "0", UUID(int=1))),
        ("worst", cursor_of("worst", None, UUID(int=1))),
        ("worst", cursor_of("worst", 2.0**62, UUID(int=1))),
        ("worst", cursor_of("worst", float("nan"), UUID(int=1))),
        ("name", cursor_of("name", 1.0, UUID(int=1))),
        ("name", cursor_of("name", "a\0", UUID(int=1))),
        ("name", cursor_of("name", "a" * 65, UUID(int=1))),
        ("newest", cursor_of("newest", 1.0, UUID(int=1))),
        ("age", cursor_of("age", 1.0, UUID(int=1))),
    ],
)
def test_the_cursor_of_another_list_is_malformed(sort: RowSort, cursor: str) -> None:
    with pytest.raises(Malformed):
        row_position(cursor, RowOrder(sort))


@pytest.mark.parametrize("window", WINDOWS)
def test_a_window_is_whole_steps_and_few_enough_to_draw(window: Window) -> None:
    window_s, step_s = WINDOWS[window]
    assert window_s % step_s == 0
    assert window_s // step_s <= 200


def test_windows_of_an_hour_and_more_are_cached_for_longer() -> None:
    assert {window for window in WINDOWS if performance_view(window) == "performance"} == {
        window for window, (window_s, _) in WINDOWS.items() if window_s < HOUR_S
    }
