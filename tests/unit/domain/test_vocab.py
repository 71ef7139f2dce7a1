"""Roles, statuses and ids that carry their time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.vocab import (
    ID_TIME_SHIFT,
    SEVERITIES,
    WORST_FIRST,
    Actor,
    BodyFormat,
    HealthStatus,
    Page,
    Role,
    Severity,
    id_floor,
    id_millis,
    worst,
)
from tests import strategies as our

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def made_at(at: datetime, filler: int) -> UUID:
    """A version 7 UUID of *at*'s millisecond, its lower 80 bits filled."""
    return UUID(int=((at - EPOCH) // MILLISECOND << ID_TIME_SHIFT) | filler)


@pytest.mark.parametrize(
    ("holder", "may"),
    [
        (Role.VIEWER, {Role.VIEWER}),
        (Role.OPERATOR, {Role.VIEWER, Role.OPERATOR}),
        (Role.ADMIN, set(Role)),
        (Role.PUBLISHER, {Role.PUBLISHER}),
    ],
)
def test_a_role_may_do_what_lower_roles_may_and_only_admin_may_publish_too(holder: Role, may: set[Role]) -> None:
    assert {needed for needed in Role if holder.includes(needed)} == may


@pytest.mark.parametrize(("a", "b", "c"), list(product(Role, repeat=3)))
def test_rights_are_reflexive_and_transitive(a: Role, b: Role, c: Role) -> None:
    """a includes a; if a includes b and b includes c, a includes c."""
    assert a.includes(a)
    assert a.includes(c) or not (a.includes(b) and b.includes(c))


def test_every_status_has_a_place_in_the_order_of_worry() -> None:
    assert sorted(WORST_FIRST) == sorted(HealthStatus)
    assert (WORST_FIRST[0], WORST_FIRST[-1]) == (HealthStatus.UNAVAILABLE, HealthStatus.HEALTHY)


def test_severities_are_in_the_order_of_worry() -> None:
    assert SEVERITIES == (Severity.INFO, Severity.WARNING, Severity.CRITICAL)


@given(st.lists(st.sampled_from(Severity)))
def test_the_worst_severity_is_the_last_in_that_order(severities: list[Severity]) -> None:
    """worst(*x) is the greatest of x by its place in SEVERITIES, whatever the order, and INFO of none."""
    found = worst(*severities)
    assert found in (severities or [Severity.INFO])
    assert all(SEVERITIES.index(severity) <= SEVERITIES.index(found) for severity in severities)
    assert worst(*reversed(severities)) is found


def test_the_formats_of_bodies_are_named_as_people_name_them() -> None:
    assert [*BodyFormat] == ["standard", "slack", "discord", "teams"]


@given(our.instants, st.integers(0, 2**ID_TIME_SHIFT - 1))
def test_a_floor_lies_below_the_ids_of_its_millisecond_and_above_all_earlier_ones(at: datetime, filler: int) -> None:
    """id(at - 1 ms) < id_floor(at) <= id(at) < id_floor(at + 1 ms), to the millisecond."""
    assert made_at(at - MILLISECOND, filler) < id_floor(at) <= made_at(at, filler) < id_floor(at + MILLISECOND)


@given(st.integers(0, 2**42))
def test_an_id_tells_its_millisecond_exactly(milliseconds: int) -> None:
    """id_millis inverts id_floor; no millisecond is lost to float rounding."""
    assert id_millis(id_floor(EPOCH + milliseconds * MILLISECOND)) == milliseconds


@given(our.instants, our.instants)
def test_floors_are_in_the_order_of_time(a: datetime, b: datetime) -> None:
    """a <= b implies id_floor(a) <= id_floor(b)."""
    low, high = sorted((a, b))
    assert id_floor(low) <= id_floor(high)


def test_before_1970_the_floor_is_the_smallest_id() -> None:
    assert id_floor(datetime(1900, 1, 1, tzinfo=UTC)) == UUID(int=0)


def test_the_last_day_of_the_calendar_still_fits_an_id() -> None:
    assert id_floor(datetime.max.replace(tzinfo=UTC)) < UUID(int=2**128 - 1)


@given(our.pages, our.actors)
def test_pages_and_actors_survive_the_wire(page: Page[str], actor: Actor) -> None:
    """decode(encode(x)) == x."""
    assert msgspec.json.decode(msgspec.json.encode(page), type=Page[str]) == page
    assert msgspec.json.decode(msgspec.json.encode(actor), type=Actor) == actor
