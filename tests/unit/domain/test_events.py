"""Facts in storage and between processes."""

from __future__ import annotations

from typing import get_args

import msgspec
from hypothesis import given

from monitor.domain.events import DomainEvent
from tests import strategies as our


@given(our.domain_events)
def test_a_stored_fact_reads_back_as_itself(fact: DomainEvent) -> None:
    """decode(encode(x)) == x, and of the same type."""
    for codec in (msgspec.json, msgspec.msgpack):
        read = codec.decode(codec.encode(fact), type=DomainEvent)
        assert read == fact
        assert type(read) is type(fact)


def test_every_fact_is_tagged_by_its_name() -> None:
    for fact in get_args(DomainEvent):
        assert fact.__struct_config__.tag == fact.__name__
        assert fact.__struct_config__.frozen
