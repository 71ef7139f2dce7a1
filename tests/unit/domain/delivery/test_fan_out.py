"""Fan-out: which webhooks get an event."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.delivery.fan_out import Subscription, fan_out
from tests import samples
from tests import strategies as our
from tests.fakes.clock import FakeClock
from tests.oracles import matches

subscriptions = st.builds(Subscription, st.uuids(), st.frozensets(our.patterns), our.label_maps)
labelled_types = st.tuples(our.event_types, our.label_maps)


@given(st.lists(labelled_types, max_size=5), st.lists(subscriptions, max_size=5))
def test_a_webhook_gets_each_event_that_matches_a_pattern_and_carries_its_labels(
    posted: list[tuple[str, dict[str, str]]], subscribed: list[Subscription]
) -> None:
    """(e, s) is delivered iff a pattern of s matches the type of e and the labels of s are a subset of those of e."""
    clock = FakeClock()
    events = [samples.event(clock, type=type_, labels=labels) for type_, labels in posted]

    deliveries = fan_out(events, subscribed, clock.new_id)

    assert [(d.event_id, d.webhook_id) for d in deliveries] == [
        (event.id, one.webhook_id)
        for event in events
        for one in subscribed
        if any(matches(pattern, event.type) for pattern in one.event_types)
        and all(event.labels.get(name) == value for name, value in one.labels.items())
    ]


@given(our.label_maps, our.label_maps)
def test_more_labels_on_an_event_never_hide_it(labels: dict[str, str], more: dict[str, str]) -> None:
    """An event that carries every label of a subscription, and others, is delivered."""
    clock = FakeClock()
    subscription = Subscription(UUID(int=1), frozenset({"*"}), labels)

    [delivery] = fan_out([samples.event(clock, labels={**more, **labels})], [subscription], clock.new_id)

    assert delivery.webhook_id == subscription.webhook_id


def test_each_delivery_has_an_id_of_its_own_in_the_order_of_events() -> None:
    clock = FakeClock()
    everything = [Subscription(UUID(int=n), frozenset({"*"}), {}) for n in (1, 2)]

    ids = [delivery.id for delivery in fan_out([samples.event(clock), samples.event(clock)], everything, clock.new_id)]

    assert ids == sorted(set(ids))
