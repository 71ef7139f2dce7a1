"""What holds a delivery."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from monitor.domain.delivery import held
from monitor.domain.delivery.circuit_breaker import Breaker, BreakerState, Permit, permit, probe_due
from monitor.domain.delivery.held import Head, Held, HeldReason, held_by_secrets, held_delivery, held_webhook
from monitor.domain.delivery.lane import Lane, probe_now, resume
from monitor.domain.delivery.rate_limit import RateLimit
from monitor.domain.vocab import REFUSALS

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SOON, LATER = NOW + timedelta(seconds=30), NOW + timedelta(hours=1)
LANE = Lane(webhook_id=UUID(int=1), max_concurrency=2)
OPEN = replace(LANE, breaker=Breaker(BreakerState.OPEN, SOON, 1))
PROBING = replace(LANE, breaker=Breaker(BreakerState.HALF_OPEN, SOON, 1))
LIMITED = replace(LANE, rate_limit=RateLimit(2.0), tokens=0.0, tokens_at=NOW)
ORDERED = replace(LANE, ordered=True)
HEAD, SELF = UUID(int=2), UUID(int=3)


def hold(
    lane: Lane,
    *,
    enabled: bool = True,
    paused: bool = False,
    due_at: datetime = NOW,
    head: Head | None = None,
) -> Held | None:
    return held_delivery(lane, enabled=enabled, paused=paused, delivery_id=SELF, due_at=due_at, head=head, now=NOW)


@pytest.mark.parametrize(
    ("lane", "expected"),
    [
        (LANE, None),
        (replace(LANE, in_flight=1), None),
        (replace(LANE, in_flight=2), Held(HeldReason.CONCURRENCY)),
        (replace(ORDERED, in_flight=1), Held(HeldReason.CONCURRENCY)),
        (OPEN, Held(HeldReason.CIRCUIT_OPEN, SOON)),
        (PROBING, Held(HeldReason.CIRCUIT_OPEN, SOON, held.PROBING)),
        (replace(OPEN, breaker=Breaker(BreakerState.OPEN, NOW, 1), in_flight=2), None),
        (replace(LANE, throttled_until=SOON), Held(HeldReason.THROTTLED, SOON)),
        (replace(LANE, throttled_until=NOW), None),
        (replace(LANE, held_until=SOON, throttled_until=LATER), Held(HeldReason.SILENCE, SOON)),
        (replace(LANE, held_until=NOW), None),
        (LIMITED, Held(HeldReason.RATE_LIMIT, NOW + timedelta(seconds=0.5))),
        (replace(LIMITED, tokens=1.0), None),
        (resume(LANE, NOW), Held(HeldReason.RELEASE)),
        (resume(LANE, NOW - timedelta(seconds=1)), None),
        (replace(LANE, deleted=True), Held(HeldReason.DELETED)),
        (replace(LIMITED, tokens=None, tokens_at=None), None),
    ],
)
def test_a_due_delivery_is_held_by_its_lane(lane: Lane, expected: Held | None) -> None:
    assert hold(lane) == expected


SINCE = NOW - timedelta(minutes=88)


@pytest.mark.parametrize(
    ("state", "cause", "detail"),
    [
        (
            BreakerState.OPEN,
            "401",
            "401 since 01 March, 10:32 UTC: the receiver refuses the credentials; next try at 12:00:30 UTC.",
        ),
        (
            BreakerState.HALF_OPEN,
            "403",
            "403 since 01 March, 10:32 UTC: the receiver forbids the requests; a try is under way.",
        ),
        (
            BreakerState.OPEN,
            "404",
            "404 since 01 March, 10:32 UTC: the receiver has nothing at this URL; next try at 12:00:30 UTC.",
        ),
        (
            BreakerState.HALF_OPEN,
            "smtp_535",
            f"SMTP 535 since 01 March, 10:32 UTC: {REFUSALS['smtp_535']}; a try is under way.",
        ),
    ],
)
def test_a_refusal_holds_with_its_cause_in_words(state: BreakerState, cause: str, detail: str) -> None:
    lane = replace(LANE, breaker=Breaker(state, SOON, 1, cause=cause, cause_at=SINCE))
    assert hold(lane) == Held(HeldReason.REFUSED, SOON, detail)
    assert held_webhook(lane, enabled=True, paused=False, now=NOW) == Held(HeldReason.REFUSED, SOON, detail)
    assert hold(lane, due_at=LATER) is None


def test_a_cause_of_another_version_holds_as_an_open_breaker() -> None:
    lane = replace(LANE, breaker=Breaker(BreakerState.OPEN, SOON, 1, cause="451", cause_at=SINCE))
    assert hold(lane) == Held(HeldReason.CIRCUIT_OPEN, SOON)


def test_a_user_holds_more_than_a_lane() -> None:
    assert hold(OPEN, paused=True) == Held(HeldReason.PAUSED)
    assert hold(OPEN, paused=True, enabled=False) == Held(HeldReason.DISABLED)


@pytest.mark.parametrize("reason", HeldReason)
def test_secrets_that_do_not_open_hold_more_than_anything_but_a_user(reason: HeldReason) -> None:
    by_secrets = Held(HeldReason.SECRETS, detail="No key.")
    by_lane = Held(reason, SOON)
    by_user = {HeldReason.DELETED, HeldReason.DISABLED, HeldReason.PAUSED, HeldReason.SILENCE}
    assert held_by_secrets(by_lane, "No key.") == (by_lane if reason in by_user else by_secrets)
    assert held_by_secrets(None, "No key.") == by_secrets


def test_what_is_not_due_is_held_only_beyond_its_due_time() -> None:
    assert hold(LIMITED, due_at=LATER) is None
    assert hold(replace(LANE, in_flight=2), due_at=LATER) is None
    assert hold(OPEN, due_at=LATER) is None
    assert hold(OPEN, due_at=NOW + timedelta(seconds=1)) == Held(HeldReason.CIRCUIT_OPEN, SOON)
    assert hold(LANE, due_at=LATER, paused=True) == Held(HeldReason.PAUSED)


def test_an_ordered_webhook_holds_all_but_its_head() -> None:
    assert hold(ORDERED, head=Head(SELF, NOW)) is None
    assert hold(ORDERED, head=Head(HEAD, LATER)) == Held(HeldReason.ORDER, LATER, behind=HEAD)
    assert hold(ORDERED, head=Head(HEAD, NOW)) == Held(HeldReason.ORDER, None, behind=HEAD)


def test_a_webhook_that_is_ordered_by_key_holds_what_is_behind_the_head_of_a_key() -> None:
    by_key = replace(LANE, ordered="key", in_flight=1)
    assert hold(by_key) is None
    assert hold(by_key, head=Head(SELF, NOW, "a")) is None
    assert hold(by_key, head=Head(HEAD, LATER, "a")) == Held(HeldReason.ORDER, LATER, behind=HEAD, order_key="a")
    assert hold(replace(by_key, in_flight=2)) == Held(HeldReason.CONCURRENCY)
    # The key of an event means nothing to a webhook that orders all of them.
    assert hold(ORDERED, head=Head(HEAD, LATER, "a")) == Held(HeldReason.ORDER, LATER, behind=HEAD)


def test_a_webhook_shows_the_head_that_holds_the_others() -> None:
    head = Head(HEAD, LATER)
    assert held_webhook(ORDERED, enabled=True, paused=False, now=NOW, head=head) == Held(
        HeldReason.ORDER, LATER, behind=HEAD
    )
    paused = held_webhook(ORDERED, enabled=True, paused=True, now=NOW, head=head)
    assert paused == Held(HeldReason.PAUSED)


def test_a_webhook_shows_what_holds_all_its_deliveries() -> None:
    assert held_webhook(LANE, enabled=True, paused=False, now=NOW) is None
    assert held_webhook(LANE, enabled=False, paused=False, now=NOW) == Held(HeldReason.DISABLED)
    assert held_webhook(OPEN, enabled=True, paused=False, now=NOW) == Held(HeldReason.CIRCUIT_OPEN, SOON)
    assert held_webhook(LIMITED, enabled=True, paused=False, now=NOW) is not None


def test_a_probe_is_due_at_once_when_a_user_asks() -> None:
    assert permit(probe_due(OPEN.breaker, NOW), NOW) is Permit.PROBE
    assert probe_now(OPEN, NOW).breaker == Breaker(BreakerState.OPEN, NOW, 1)
    # The probe that is under way decides.
    assert probe_now(PROBING, NOW) is PROBING
    assert probe_now(LANE, NOW) is LANE
    assert probe_now(OPEN, LATER) is OPEN
