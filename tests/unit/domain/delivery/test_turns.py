"""Turns of messages about one alert: the newest alone goes, and never beside an older one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.delivery.order import (
    FAN_OUT_WAIT_S,
    REPLACED_MAX,
    QueuedDelivery,
    alert_key,
    head_of,
    is_alert_key,
    line_of,
    next_of,
    replaced_of,
    turns,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
ONE, OTHER = (alert_key(UUID(int=n)) for n in (1, 2))


def message(n: int, key: str = ONE, *, event: int | None = None, in_flight: bool = False) -> QueuedDelivery:
    due_at = LATER if in_flight else NOW
    event_id = UUID(int=n if event is None else event)
    return QueuedDelivery(id=UUID(int=n), event_id=event_id, due_at=due_at, order_key=key, in_flight=in_flight)


@st.composite
def queues(draw: st.DrawFn) -> list[QueuedDelivery]:
    ids = count(1)
    made = st.builds(
        message,
        st.builds(lambda: next(ids)),
        st.sampled_from([ONE, OTHER, "customer-1"]),
        event=st.integers(1, 5),
        in_flight=st.booleans(),
    )
    return draw(st.lists(made, max_size=8, unique_by=lambda one: one.id))


def age(one: QueuedDelivery) -> tuple[UUID, UUID]:
    return one.event_id, one.id


@given(queues(), st.integers(0, 8), st.data())
def test_what_goes_is_the_newest_of_its_alert_and_alone(
    rows: list[QueuedDelivery], free: int, data: st.DataObject
) -> None:
    """Of what a claim leases, a message goes only if it is the newest of its key and nothing else of it is left."""
    leased = {one.id for one in next_of(rows, False, free, NOW)}
    preceded = data.draw(st.sets(st.sampled_from([one.id for one in rows]))) if rows else set()
    result = turns(leased, rows, NOW, preceded)
    left = [one for one in rows if one.id not in result.replaced]
    for one in left:
        line = [other for other in left if other.order_key == one.order_key]
        if one.id in leased and one.id not in result.waiting and is_alert_key(one.order_key):
            assert line == [one]
            assert one.id not in preceded
        if one.id in leased and not is_alert_key(one.order_key):
            assert one.id not in result.waiting
    assert result.waiting.keys() <= leased
    assert all(at >= NOW for at in result.waiting.values())


@given(queues())
def test_the_newest_message_and_what_is_in_flight_are_not_replaced(rows: list[QueuedDelivery]) -> None:
    """What is replaced is older than the newest of its key, and was not on its way."""
    line = [one for one in rows if one.order_key == ONE]
    gone = set(replaced_of(line))
    assert all(not one.in_flight and age(one) < max(map(age, line)) for one in line if one.id in gone)
    assert [one for one in line if one.id not in gone and not one.in_flight] == [
        one for one in line if one == max(line, key=age) and not one.in_flight
    ]


def test_a_message_waits_until_the_lease_of_the_older_one_ends() -> None:
    older, newer = message(1, in_flight=True), message(2)
    result = turns({newer.id}, [older, newer], NOW)
    assert (result.replaced, result.waiting) == (frozenset(), {newer.id: LATER})


def test_a_resent_message_is_as_new_as_its_event() -> None:
    newer, resent = message(1, event=9), message(2, event=8)
    assert turns({newer.id, resent.id}, [newer, resent], NOW).replaced == {resent.id}


def test_a_message_waits_for_a_fan_out_that_may_make_an_older_one() -> None:
    only = message(1)
    assert turns({only.id}, [only], NOW, {only.id}).waiting == {only.id: NOW + timedelta(seconds=FAN_OUT_WAIT_S)}
    assert turns({only.id}, [only], NOW).waiting == {}


def test_what_one_claim_cannot_replace_is_left_to_the_next() -> None:
    rows = [message(n) for n in range(1, REPLACED_MAX + 3)]
    newest = rows[-1]
    result = turns({newest.id}, rows, NOW)
    assert (len(result.replaced), result.waiting) == (REPLACED_MAX, {newest.id: NOW})


def test_messages_about_alerts_are_in_no_line_but_that_of_all() -> None:
    rows = [message(1), message(2)]
    assert [line_of(one, "key") for one in rows] == [None, None]
    assert [line_of(one, False) for one in rows] == [None, None]
    assert head_of(rows[1], rows, True) == rows[0]
