"""Event types and the patterns that match them."""

from __future__ import annotations

import pytest
from hypothesis import given

from monitor.domain.delivery.event_types import is_event_type, is_pattern, patterns_for
from tests import strategies as our
from tests.oracles import matches


@given(our.patterns, our.event_types)
def test_the_patterns_for_a_type_are_those_that_match_it(pattern: str, event_type: str) -> None:
    """p in patterns_for(t) iff p matches t."""
    assert (pattern in patterns_for(event_type)) == matches(pattern, event_type)


@given(our.event_types)
def test_every_pattern_of_a_type_is_a_pattern_and_the_most_specific_is_first(event_type: str) -> None:
    """patterns_for gives valid patterns that match, from the longest to ``*``."""
    found = patterns_for(event_type)
    assert all(is_pattern(pattern) and matches(pattern, event_type) for pattern in found)
    assert (found[0], found[-1]) == (event_type, "*")
    assert len(set(found)) == len(found) == event_type.count(".") + 2


def test_patterns_go_from_the_type_itself_to_everything() -> None:
    assert patterns_for("order.paid.eu") == ("order.paid.eu", "order.paid.*", "order.*", "*")


def test_a_wildcard_does_not_match_its_own_prefix() -> None:
    assert "order.*" not in patterns_for("order")


@pytest.mark.parametrize("text", ["order", "order.paid", "a-b_c.9", "x" * 128])
def test_dotted_words_are_event_types_and_patterns(text: str) -> None:
    assert is_event_type(text)
    assert is_pattern(text)


@pytest.mark.parametrize("text", ["*", "order.*", "order.paid.*"])
def test_wildcards_are_patterns_but_no_event_types(text: str) -> None:
    assert is_pattern(text)
    assert not is_event_type(text)


@pytest.mark.parametrize(
    "text", ["", ".", "order.", ".paid", "a..b", "*.paid", "a.*.b", "a*", "order paid", "order\n", "é", "x" * 129]
)
def test_anything_else_is_neither(text: str) -> None:
    assert not is_event_type(text)
    assert not is_pattern(text)
