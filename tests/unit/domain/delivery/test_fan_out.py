"""Fan-out: which webhooks get an event, and in which chunks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.domain.delivery.fan_out import (
    CHUNK,
    REQUEST_MAX,
    FanOut,
    FanOutEvent,
    NewDelivery,
    NewEvent,
    Reach,
    Subscription,
    SubscriptionPage,
    fan_out,
    following,
    next_chunk,
    page_size,
    precedes,
)
from monitor.domain.vocab import OWNER_LABEL
from tests import samples
from tests import strategies as our
from tests.fakes.clock import FakeClock
from tests.oracles import matches

NOW = datetime(2026, 1, 5, tzinfo=UTC)

subscriptions = st.builds(Subscription, st.uuids(), st.frozensets(our.patterns), our.label_maps)
labelled_types = st.tuples(our.event_types, our.label_maps)


def everything(count: int) -> list[Subscription]:
    return [Subscription(UUID(int=n + 1), frozenset({"*", "order.*"}), {}) for n in range(count)]


def unfinished(events: list[NewEvent]) -> FanOut:
    return FanOut(id=events[0].id, events=tuple(events), accepted_at=NOW)


def chunks(
    events: list[NewEvent], subscribed: list[Subscription], limit: int, bound: int = CHUNK
) -> list[list[NewDelivery]]:
    """Work a fan-out off as workers do, by pages of *limit* subscriptions."""
    found: list[list[NewDelivery]] = []
    rest: FanOut | None = unfinished(events)
    while rest is not None:
        after = rest.after
        page = [one for one in subscribed if after is None or one.webhook_id > after][:limit]
        last = page[-1].webhook_id if len(page) == limit else None
        deliveries, rest = next_chunk(rest, SubscriptionPage(page, last), bound)
        found.append(deliveries)
    return found


@given(st.lists(labelled_types, max_size=5), st.lists(subscriptions, max_size=5))
def test_a_webhook_gets_each_event_that_matches_a_pattern_and_carries_its_labels(
    posted: list[tuple[str, dict[str, str]]], subscribed: list[Subscription]
) -> None:
    """(e, s) is delivered iff a pattern of s matches the type of e and the labels of s are a subset of those of e."""
    clock = FakeClock()
    events = [samples.event(clock, type=type_, labels=labels) for type_, labels in posted]

    chunk = fan_out(events, subscribed, REQUEST_MAX)

    assert chunk.subscriptions == len(subscribed)
    assert [(d.event_id, d.webhook_id) for d in chunk.deliveries] == [
        (event.id, one.webhook_id)
        for one in subscribed
        for event in events
        if any(matches(pattern, event.type) for pattern in one.event_types)
        and all(event.labels.get(name) == value for name, value in one.labels.items())
    ]


@given(our.label_maps, our.label_maps)
def test_more_labels_on_an_event_never_hide_it(labels: dict[str, str], more: dict[str, str]) -> None:
    """An event that carries every label of a subscription, and others, is delivered."""
    subscription = Subscription(UUID(int=1), frozenset({"*"}), labels)

    [delivery] = fan_out([samples.event(FakeClock(), labels={**more, **labels})], [subscription], 1).deliveries

    assert delivery.webhook_id == subscription.webhook_id


def test_the_label_of_an_owner_is_no_condition() -> None:
    subscription = Subscription(UUID(int=1), frozenset({"*"}), {"team": "blue", OWNER_LABEL: "shop"})
    assert samples.event(FakeClock(), labels={"team": "blue"}).selects(subscription)
    assert not samples.event(FakeClock(), labels={OWNER_LABEL: "shop"}).selects(subscription)


def test_the_webhook_that_an_event_leaves_out_gets_none() -> None:
    first, second = everything(2)
    event = samples.event(FakeClock(), except_webhook=first.webhook_id)
    assert [d.webhook_id for d in fan_out([event], [first, second], 2).deliveries] == [second.webhook_id]


@given(
    posted=st.lists(labelled_types, min_size=1, max_size=6),
    subscribed=st.lists(subscriptions, max_size=12, unique_by=lambda one: one.webhook_id),
    limit=st.integers(1, 13),
    bound=st.integers(1, 20),
)
def test_chunks_make_what_one_call_makes_with_ids_in_the_order_of_events(
    posted: list[tuple[str, dict[str, str]]], subscribed: list[Subscription], limit: int, bound: int
) -> None:
    """However the webhooks fall into pages and chunks, each pair is made once, and with the same id."""
    clock = FakeClock()
    events = [samples.event(clock, type=type_, labels=labels) for type_, labels in posted]
    subscribed = sorted(subscribed, key=lambda one: one.webhook_id)

    made = [delivery for chunk in chunks(events, subscribed, limit, bound) for delivery in chunk]

    assert made == fan_out(events, subscribed, REQUEST_MAX).deliveries
    by_id = sorted(made, key=lambda delivery: delivery.id)
    assert [(d.event_id, d.webhook_id) for d in by_id] == sorted((d.event_id, d.webhook_id) for d in made)
    assert all(clock.new_id() > delivery.id > delivery.event_id for delivery in made)


def test_a_full_chunk_ends_within_a_page_and_the_next_goes_on_behind_it() -> None:
    clock = FakeClock()
    events = [samples.event(clock), samples.event(clock)]
    found = chunks(events, everything(3), 10, bound=3)
    assert [[d.webhook_id.int for d in chunk] for chunk in found] == [[1, 1], [2, 2], [3, 3]]


def test_no_chunk_is_larger_than_its_bound() -> None:
    clock = FakeClock()
    for count in (1, 3, 99, 101, REQUEST_MAX):
        events = [samples.event(clock) for _ in range(count)]
        subscribed = everything(7 if count > 3 else 500)
        sizes = [len(chunk) for chunk in chunks(events, subscribed, page_size(events, CHUNK))]
        assert max(sizes) <= max(CHUNK, count)
        assert sum(sizes) == count * len(subscribed)


@pytest.mark.parametrize(("bound", "subscriptions"), [(1, 1), (3, 1), (4, 2), (5, 2), (6, 3)])
def test_a_chunk_is_as_large_as_its_bound_allows(bound: int, subscriptions: int) -> None:
    clock = FakeClock()
    events = [samples.event(clock) for _ in range(2)]
    assert fan_out(events, everything(3), bound).subscriptions == subscriptions


def test_few_pages_suffice_for_a_batch_of_different_types() -> None:
    clock = FakeClock()
    events = [samples.event(clock, type=f"order.n{n}") for n in range(2 * CHUNK)]
    subscribed = [Subscription(UUID(int=n + 1), frozenset({f"order.n{n}"}), {}) for n in range(2 * CHUNK)]
    sizes = [len(chunk) for chunk in chunks(events, subscribed, page_size(events, CHUNK))]
    assert [size for size in sizes if size] == [CHUNK, CHUNK]


def test_a_fan_out_precedes_later_deliveries_of_the_webhooks_that_it_has_not_reached() -> None:
    clock = FakeClock()
    earlier, event = clock.new_id(), samples.event(clock)
    later, webhook_id = clock.new_id(), UUID(int=5)
    running = unfinished([event])
    assert precedes(running, later, webhook_id, ["order.*"])
    assert not precedes(running, later, webhook_id, ["user.*"])
    assert not precedes(running, earlier, webhook_id, ["*"])
    for after, reaches in ((UUID(int=4), True), (webhook_id, False)):
        reached = FanOut(id=running.id, events=running.events, accepted_at=NOW, after=after)
        assert precedes(reached, later, webhook_id, ["*"]) == reaches


def test_what_is_made_behind_another_one_of_its_webhook_and_key_follows_it() -> None:
    def made(id_: int, webhook: int, key: str | None) -> NewDelivery:
        return NewDelivery(UUID(int=id_), UUID(int=99), UUID(int=webhook), key)

    together = [made(2, 1, "a"), made(1, 1, "a"), made(3, 1, "b"), made(4, 2, "a"), made(5, 1, None), made(6, 1, None)]
    assert following(together) == [True, False, False, False, False, False]


labels_of_reach = st.dictionaries(our.segments, st.lists(our.segments, min_size=1, max_size=3, unique=True).map(tuple))
reaches = st.builds(Reach, labels_of_reach, st.booleans())


def subscribed_to(labels: dict[str, str]) -> Subscription:
    return Subscription(UUID(int=1), frozenset({"monitor.*"}), labels)


def reaching(**members: Any) -> FanOutEvent:
    return FanOutEvent(id=UUID(int=2), type="monitor.alert.raised", labels={"severity": "critical"}, **members)


@pytest.mark.parametrize(
    ("labels", "selected"),
    [
        ({}, True),
        ({"severity": "critical"}, True),
        ({"severity": "info"}, True),
        ({"severity": "warning"}, False),
        ({"team": "payments", "severity": "critical"}, True),
        ({"team": "search"}, True),
        ({"team": "other"}, False),
        ({"region": "eu"}, False),
    ],
)
def test_an_event_reaches_further_values_of_labels(labels: dict[str, str], selected: bool) -> None:
    event = reaching(reach=Reach({"team": ("payments", "search"), "severity": ("info",)}))
    assert event.selects(subscribed_to(labels)) is selected


@pytest.mark.parametrize(
    ("labels", "selected"), [({"team": "any", "region": "eu"}, True), ({"team": "any", "severity": "info"}, False)]
)
def test_an_event_that_reaches_every_one_is_still_bound_to_its_own_labels(
    labels: dict[str, str], selected: bool
) -> None:
    assert reaching(reach=Reach(every=True)).selects(subscribed_to(labels)) is selected


@pytest.mark.parametrize(
    ("labels", "selected"), [({}, False), ({"team": "payments"}, False), ({"team": "search"}, True)]
)
def test_those_who_know_get_no_delivery(labels: dict[str, str], selected: bool) -> None:
    event = reaching(reach=Reach({"team": ("payments", "search")}), told=Reach({"team": ("payments",)}))
    assert event.selects(subscribed_to(labels)) is selected


@given(reaches, reaches, our.label_maps)
@example(Reach(), Reach(every=True), {})
def test_joined_reaches_select_what_either_selects(one: Reach, other: Reach, labels: dict[str, str]) -> None:
    """Also: what covers another one selects all that it selects; and a bound only ever adds."""
    joined, subscription = one.joined(other, 100), subscribed_to(labels)
    assert joined.covers(one)
    assert joined.covers(other)
    assert one.covers(other) == (one.joined(other, 100) == one.joined(one, 100))
    for reach in (one, other):
        assert reaching(reach=reach).selects(subscription) <= reaching(reach=joined).selects(subscription)
    assert one.joined(other, 0).covers(joined)
