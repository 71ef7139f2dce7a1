"""The checks of the chaos session find what they are there for."""

from __future__ import annotations

from dataclasses import replace
from random import Random  # noqa: TID251 - one number, one story
from typing import Any

import pytest

from tests.chaos.checks import SYSTEM, Check, Ended, Journals, judge
from tests.chaos.feed import Follower
from tests.chaos.people import Registered
from tests.chaos.plan import LANES, plan
from tests.chaos.producer import Promise
from tests.chaos.receivers import Hook, Request

IDS = [f"01a22b83-39ff-7f08-8d98-00000000000{i}" for i in range(10)]
WEBHOOK = IDS[9]


class Story:
    """Three accepted events, received in their order by an ordered webhook; a test spoils one thing."""

    def __init__(self, kind: str = "ordered", **members: Any) -> None:
        self.hook = Hook(f"{kind}0", Random(1))
        ordered = {"ordered": True, "keyed": "key"}.get(kind, False)
        spec = {"event_types": ["chaos.0"], "retry": {"schedule_s": [0, 1]}, "ordered": ordered, **members}
        self.webhook = Registered(WEBHOOK, self.hook, spec, asked_at=0.0, known_at=1.0)
        self.promises = [Promise(IDS[i], "chaos.0", f"{i}-0", 2.0 + i, 2.5 + i, 1) for i in range(3)]
        self.hook.journal = [self.request(i, 10.0 + i) for i in range(3)]
        self.events = [(promise.id, promise.serial) for promise in self.promises]
        self.deliveries = [self.delivery(i) for i in range(3)]
        self.attempts = [
            {"id": IDS[i], "webhook_id": WEBHOOK, "event_id": IDS[i], "status_code": 200, "error": None}
            for i in range(3)
        ]
        minute = int(IDS[0].replace("-", "")[:12], 16) // 60_000
        self.rollups = {(WEBHOOK, minute): (3, 0), (SYSTEM, minute): (3, 0)}
        self.jobs: list[dict[str, Any]] = [{"id": IDS[8], "state": "done"}]
        self.webhook.jobs[IDS[8]] = False

    @staticmethod
    def request(i: int, at: float, *, said_ok: bool | None = True, beside: int = 1) -> Request:
        return Request(at, IDS[i], "/", beside, "ok", said_ok, ended_at=at)

    @staticmethod
    def delivery(i: int, state: str = "delivered") -> dict[str, Any]:
        return {"id": IDS[i], "event_id": IDS[i], "webhook_id": WEBHOOK, "state": state, "attempts": 1}

    def broken(self) -> list[str]:
        ended = Ended(self.events, self.deliveries, self.attempts, self.rollups, self.jobs)
        return [check.name.split(":")[0] for check in self.checks(ended) if check.violations]

    def checks(self, ended: Ended) -> list[Check]:
        return judge(Journals(self.promises, [self.webhook], deaths=0), ended)


def test_a_good_story_breaks_nothing() -> None:
    assert Story().broken() == []


def test_what_was_received_in_another_order_is_found() -> None:
    story = Story()
    story.hook.journal.reverse()
    assert story.broken() == ["ordered webhooks"]


def test_a_repeat_after_a_kill_is_no_disorder() -> None:
    story = Story()
    story.hook.journal.append(story.request(0, 20.0))
    assert story.broken() == []


def test_what_is_delivered_and_was_never_received_is_found() -> None:
    story = Story()
    del story.hook.journal[1]
    assert story.broken() == [
        "every delivery was received with 2xx, or ended rightly",
        "no attempt with 2xx that no receiver answered so",
    ]


@pytest.mark.parametrize("state", ["pending", "failed", "cancelled", "quarantined"])
def test_an_end_without_a_reason_is_found(state: str) -> None:
    story = Story()
    story.deliveries[1] = story.delivery(1, state)
    assert story.broken() == ["every delivery was received with 2xx, or ended rightly"]


def test_a_lost_delivery_and_a_lost_event_are_found() -> None:
    story = Story()
    del story.deliveries[1]
    assert story.broken() == ["a delivery for each subscriber of an accepted event"]
    del story.events[1]
    assert "one stored event for each key that was answered 202" in story.broken()


def test_more_at_once_and_more_in_time_than_allowed_is_found() -> None:
    story = Story("limited", max_concurrency=1, rate_limit={"per_s": 1, "burst": 1})
    story.hook.journal = [story.request(i % 3, 10.0 + i / 100) for i in range(4)]
    assert story.broken() == ["never more in any time than the rate limit allows"]
    story.hook.journal = [story.request(i % 3, 10.0 + 2 * i, beside=2) for i in range(4)]
    assert story.broken() == ["never more at once than max_concurrency (one, if ordered)"]


@pytest.mark.parametrize("whose", [WEBHOOK, SYSTEM])
@pytest.mark.parametrize("figures", [(2, 0), (4, 0), (3, 1)])
def test_rollups_that_miss_an_attempt_or_invent_one_are_found(whose: str, figures: tuple[int, int]) -> None:
    story = Story()
    (minute,) = {minute for _, minute in story.rollups}
    story.rollups[whose, minute] = figures
    assert story.broken() == ["rollups"]


def keyed(*keys: str | None) -> Story:
    story = Story("keyed")
    story.promises = [replace(one, order_key=key) for one, key in zip(story.promises, keys, strict=True)]
    return story


def test_order_within_a_key_and_none_between_keys_is_asked_for() -> None:
    for keys, broken in ((("a", "b", None), []), (("a", "b", "a"), ["ordered webhooks"]), ((None, None, None), [])):
        story = keyed(*keys)
        story.hook.journal = [story.request(i, 12.0 - i) for i in (2, 1, 0)]
        assert story.broken() == broken


def test_two_of_one_key_at_once_are_found() -> None:
    for keys, broken in ((("a", "a", "b"), ["webhooks ordered by key"]), (("a", "b", "c"), [])):
        story = keyed(*keys)
        story.hook.journal[0].ended_at = story.hook.journal[1].at + 0.1
        assert story.broken() == broken


def test_a_fan_out_names_no_deliveries_and_makes_each_once() -> None:
    story = Story()
    story.promises[0] = replace(story.promises[0], fan_out="running", deliveries=0, fanned_out_at=5.0)
    assert story.broken() == []
    story.deliveries.append(story.delivery(0))
    assert story.broken() == ["a delivery for each subscriber of an accepted event"]
    del story.deliveries[-1], story.deliveries[0]
    assert story.broken() == ["a delivery for each subscriber of an accepted event"]


def test_a_webhook_that_was_deleted_during_a_fan_out_may_have_got_it() -> None:
    story = Story()
    story.promises[2] = replace(story.promises[2], fan_out="running", deliveries=0, fanned_out_at=9.0)
    story.webhook.deleted_from, story.webhook.deleted_at = 6.0, 7.0
    assert story.broken() == []
    del story.deliveries[2]
    assert story.broken() == []


@pytest.mark.parametrize("state", ["running", "failed", "cancelled"])
def test_a_job_that_ended_otherwise_than_it_was_asked_to_is_found(state: str) -> None:
    story = Story()
    story.jobs[0]["state"] = state
    assert story.broken() == ["every job ended, and none failed"]
    story.webhook.jobs[IDS[8]] = None
    assert story.broken() == ([] if state == "cancelled" else ["every job ended, and none failed"])
    story.webhook.jobs.clear()
    assert story.broken() == ["every job ended, and none failed"]


@pytest.mark.parametrize(("seqs", "wrong"), [([1, 2, 3], 0), ([1, 3], 1), ([1, 1], 1)])
def test_a_gap_or_a_repeat_of_the_live_feed_is_found(seqs: list[int], wrong: int) -> None:
    follower = Follower("client", [], "", 0)
    follower.take({"type": "snapshot", "epoch": "e", "seq": 0, "data": {"webhooks": []}})
    for seq in seqs:
        follower.take({"type": "alert_new", "epoch": "e", "seq": seq, "data": {}})
    assert len(follower.violations) == wrong


def test_a_snapshot_replaces_what_a_client_knew() -> None:
    follower = Follower("client", [], "", 0)
    shown = {"id": "a", "health": {"status": "unknown"}}
    changed = {"webhook_id": "b", "status": "failing"}
    follower.take({"type": "snapshot", "epoch": "e", "seq": 0, "data": {"webhooks": [shown]}})
    follower.take({"type": "webhook_status_changed", "epoch": "e", "seq": 1, "data": changed})
    assert follower.statuses == {"a": "unknown", "b": "failing"}
    follower.take({"type": "snapshot", "epoch": "f", "seq": 0, "data": {"webhooks": []}})
    assert follower.statuses == {}


def test_a_seed_is_a_schedule_and_a_long_one_deals_every_card() -> None:
    assert plan(7, 30.0) == plan(7, 30.0) != plan(8, 30.0)
    cards = {name for cards, _, _ in LANES.values() for name in cards}
    assert {step.name for step in plan(7, 120.0)} == cards
    assert {step.name for step in plan(7, 120.0, pooled=True)} == cards | {"kill_pooler"}
