"""Domain events in storage and between processes."""

from __future__ import annotations

from typing import get_args

import msgspec
from hypothesis import given

from monitor.domain.events import DomainEvent
from tests import strategies as our


@given(our.domain_events)
def test_a_stored_event_reads_back_as_itself(event: DomainEvent) -> None:
    """decode(encode(x)) == x, and of the same type."""
    for codec in (msgspec.json, msgspec.msgpack):
        read = codec.decode(codec.encode(event), type=DomainEvent)
        assert read == event
        assert type(read) is type(event)


def test_every_event_is_tagged_by_its_name() -> None:
    for event in get_args(DomainEvent):
        assert event.__struct_config__.tag == event.__name__
        assert event.__struct_config__.frozen
