"""Roles, statuses and ids that carry their time."""

from __future__ import annotations

from itertools import product

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.monitoring.status import WORST_FIRST
from monitor.domain.vocab import (
    PAGERS,
    SEVERITIES,
    Actor,
    BodyFormat,
    HealthStatus,
    Page,
    Role,
    Severity,
    WebhookStatus,
    highest_severity,
)
from tests import strategies as our


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


def test_every_status_has_a_place_in_the_order_of_severity() -> None:
    assert sorted(WORST_FIRST) == sorted(WebhookStatus)
    assert (WORST_FIRST[0], WORST_FIRST[-1]) == (WebhookStatus.UNAVAILABLE, WebhookStatus.DISABLED)


def test_every_health_is_a_status_of_the_same_name() -> None:
    assert {status.value for status in WebhookStatus} - {status.value for status in HealthStatus} == {
        "paused",
        "disabled",
    }


def test_severities_are_in_the_order_of_severity() -> None:
    assert SEVERITIES == (Severity.INFO, Severity.WARNING, Severity.CRITICAL)


@given(st.lists(st.sampled_from(Severity)))
def test_the_highest_severity_is_the_last_in_that_order(severities: list[Severity]) -> None:
    """highest_severity(*x) is the greatest of x by its place in SEVERITIES, whatever the order, and INFO of none."""
    found = highest_severity(*severities)
    assert found in (severities or [Severity.INFO])
    assert all(SEVERITIES.index(severity) <= SEVERITIES.index(found) for severity in severities)
    assert highest_severity(*reversed(severities)) is found


def test_the_formats_of_bodies_have_their_product_names() -> None:
    chats, pagers = ["slack", "discord", "teams", "googlechat"], ["pagerduty", "opsgenie", "alertmanager"]
    assert sorted(BodyFormat) == sorted(["standard", *chats, *pagers, "ntfy", "email"])
    assert sorted(PAGERS) == sorted(pagers)


@given(our.pages, our.actors)
def test_pages_and_actors_survive_the_wire(page: Page[str], actor: Actor) -> None:
    """decode(encode(x)) == x."""
    assert msgspec.json.decode(msgspec.json.encode(page), type=Page[str]) == page
    assert msgspec.json.decode(msgspec.json.encode(actor), type=Actor) == actor
