"""Keys, policies and the rules of what events invalidate."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.cache import POLICIES, Invalidation, InvalidationRules, Policy, View

VIEW = View("list", Policy(10, 60, 600), ("lists", "list:{id}"), ("id", "role"))
TEXTS = st.text(max_size=8)


class Created(msgspec.Struct, frozen=True):
    webhook_id: str


class Measured(msgspec.Struct, frozen=True):
    count: int


RULES = InvalidationRules(
    {Created: Invalidation(("webhooks", "webhook:{webhook_id}"), acknowledged=True), Measured: Invalidation()}
)


@given(one=st.tuples(TEXTS, TEXTS), two=st.tuples(TEXTS, TEXTS))
def test_different_scopes_have_different_keys(one: tuple[str, str], two: tuple[str, str]) -> None:
    """``key(a).text == key(b).text`` exactly when ``a == b``."""
    texts = [VIEW.key(id=scope[0], role=scope[1]).text for scope in (one, two)]

    assert (texts[0] == texts[1]) == (one == two)


def test_tags_are_filled_in_from_the_scope() -> None:
    assert VIEW.key(id=7, role="viewer").tags == ("lists", "list:7")


@pytest.mark.parametrize("name", POLICIES)
def test_a_last_good_value_outlives_a_fresh_one(name: str) -> None:
    policy = POLICIES[name]

    assert policy.fresh_s <= policy.grace_s
    assert policy.kept_s >= policy.fresh_s + policy.stale_s


def test_one_invalidation_covers_all_the_events_of_a_unit_of_work() -> None:
    invalidation = RULES.invalidation_for([Created("a"), Measured(3), Created("b")])

    assert invalidation.tags == {"webhooks", "webhook:a", "webhook:b"}
    assert invalidation.acknowledged is True


def test_no_events_invalidate_nothing() -> None:
    invalidation = RULES.invalidation_for([])

    assert (invalidation.tags, invalidation.acknowledged) == (frozenset(), False)


def test_an_event_without_a_rule_is_an_error() -> None:
    class Unknown(msgspec.Struct, frozen=True):
        pass

    with pytest.raises(KeyError):
        RULES.invalidation_for([Unknown()])
