"""Keys, policies and the table of what events drop."""

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


TABLE = InvalidationRules(
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


def test_one_plan_covers_all_the_events_of_a_unit_of_work() -> None:
    plan = TABLE.invalidation_for([Created("a"), Measured(3), Created("b")])
    assert plan.tags == {"webhooks", "webhook:a", "webhook:b"}
    assert plan.acknowledged is True


def test_no_events_drop_nothing() -> None:
    plan = TABLE.invalidation_for([])
    assert (plan.tags, plan.acknowledged) == (frozenset(), False)


def test_an_event_without_a_row_is_an_error() -> None:
    class Unknown(msgspec.Struct, frozen=True):
        pass

    with pytest.raises(KeyError):
        TABLE.invalidation_for([Unknown()])
