"""The events about alerts. When they are published is tested with the lifecycle."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.alerts import Acknowledge, Alert, AlertKind, Condition
from monitor.domain.alerts.notification import (
    ACKNOWLEDGED,
    LABELS_MAX,
    RAISED,
    RESOLVED,
    AlertNotification,
    Selection,
    ToldChange,
    alert_payload,
    changed_at,
    event_types,
    notification_of,
    sample_notification,
    selection_of,
)
from monitor.domain.delivery.event_types import is_event_type, is_reserved
from monitor.domain.delivery.fan_out import NO_REACH, Reach
from monitor.domain.ids import SYSTEM_ID
from tests import strategies as our
from tests.unit.domain.alerts.alert_stories import DOWN, FAILURES, NOW, SLOW, WEBHOOK, Story

PUBLIC_MEMBERS = [
    "id",
    "kind",
    "severity",
    "worst_severity",
    "state",
    "webhook_id",
    "title",
    "count",
    "evidence",
    "raised_at",
    "acknowledged_at",
    "acknowledged_by",
    "note",
    "resolved_at",
    "resolved_by",
    "flapping",
]
"""The members that clients rely on, in this order."""


def payload_of(alert: Alert, event_type: str = RAISED) -> dict[str, Any]:
    payload: dict[str, Any] = msgspec.json.decode(notification_of(event_type, alert, "Orders", {}).payload)
    return payload


def test_without_entries_nothing_is_published() -> None:
    story = Story()
    story.update(DOWN)
    assert event_types(story.alert, story.alert, (), silenced=False) == {}


def test_repeated_and_cleared_causes_are_not_published() -> None:
    story = Story()
    story.update(DOWN)
    assert story.update(DOWN, FAILURES) == []
    assert story.update(DOWN) == []


def test_an_acknowledgement_under_a_silence_is_not_published() -> None:
    story = Story()
    story.update(DOWN)
    assert story.apply(Acknowledge("ada", silenced=True)) == []


def test_the_payload_holds_the_alert_and_the_webhook() -> None:
    story = Story()
    story.update(DOWN)
    payload = payload_of(story.alert)
    assert list(payload) == ["type", "timestamp", "due_at", "data"]
    assert payload["type"] == RAISED
    assert payload["data"]["webhook"] == {"id": str(WEBHOOK), "name": "Orders"}
    alert = payload["data"]["alert"]
    assert list(alert) == PUBLIC_MEMBERS
    assert (alert["kind"], alert["severity"], alert["state"]) == ("failing", "critical", "pending")
    assert alert["evidence"] == {"health": {"reason": "503"}}


def told(story: Story, *conditions: Condition, silenced: bool = False) -> tuple[str, datetime]:
    """Return the type and the time of the one event that an update makes."""
    before = story.latest
    story.update(*conditions, silenced=silenced)
    [(type_, version)] = event_types(before, story.alert, story.entries, silenced=silenced).items()
    return type_, changed_at(story.alert, story.entries, version)


def test_the_time_is_that_of_the_change_which_an_event_tells() -> None:
    story = Story()
    assert told(story, SLOW) == (RAISED, NOW)
    story.wait(60).ack()
    # The acknowledgement before it is older.
    story.wait(60)
    assert told(story, SLOW, DOWN) == (RAISED, NOW + timedelta(minutes=2))
    story.wait(60)
    assert told(story) == (RESOLVED, NOW + timedelta(minutes=3))


def test_who_was_told_with_another_severity_is_told_of_the_end() -> None:
    story = Story()
    story.update(FAILURES)
    assert notification_of(RAISED, story.alert, "Orders", {}).reach == NO_REACH
    story.update(FAILURES, DOWN)
    story.update()
    made = notification_of(RESOLVED, story.alert, "Orders", {}, conditions=())
    assert (made.labels["severity"], made.reach) == ("critical", Reach({"severity": ("warning",)}))
    assert selection_of(made.payload) == Selection(WEBHOOK, made.reach, None)
    assert msgspec.json.decode(made.payload)["data"]["alert"]["conditions"] == []


def test_the_time_of_an_acknowledgement_is_its_own() -> None:
    story = Story()
    story.update(DOWN)
    story.wait(60).ack()
    assert changed_at(story.alert, story.entries, story.alert.version) == NOW + timedelta(minutes=1)


def test_what_a_silence_held_has_the_time_when_it_came_about() -> None:
    story = Story()
    story.update(DOWN, silenced=True)
    story.wait(600)
    assert told(story, DOWN) == (RAISED, NOW)
    story.wait(60).update(silenced=True)
    story.wait(60)
    assert told(story) == (RESOLVED, NOW + timedelta(seconds=660))


def test_a_notification_says_when_it_was_true_and_when_it_was_due() -> None:
    story = Story()
    story.update(DOWN)
    due_at = NOW + timedelta(minutes=5)
    made = notification_of(RAISED, story.alert, "Orders", {}, change=ToldChange(NOW, due_at))
    payload = msgspec.json.decode(made.payload)
    assert (payload["timestamp"], payload["due_at"]) == ("2026-03-01T12:00:00Z", "2026-03-01T12:05:00Z")


def test_an_alert_about_all_webhooks_names_none() -> None:
    story = Story()
    story.update(DOWN)
    alert = msgspec.structs.replace(story.alert, webhook_id=SYSTEM_ID, kind=AlertKind.MASS_FAILURE)
    made = notification_of(RAISED, alert, None, {})
    payload = msgspec.json.decode(made.payload)
    assert payload["data"]["webhook"] is None
    assert payload["data"]["alert"]["webhook_id"] is None
    assert made.except_webhook == SYSTEM_ID
    assert selection_of(made.payload).except_webhook is None


def test_the_stored_event_says_which_webhook_gets_no_delivery_of_it() -> None:
    story = Story()
    story.update(DOWN)
    made = notification_of(RAISED, story.alert, "Orders", {})
    assert selection_of(made.payload).except_webhook == made.except_webhook == story.alert.webhook_id


@pytest.mark.parametrize("count", [0, 30, 31, 32])
def test_labels_are_those_of_the_webhook_up_to_the_limit(count: int) -> None:
    story = Story()
    story.update(DOWN)
    labels = {f"label-{i}": "x" for i in range(count)}
    made = notification_of(RAISED, story.alert, "Orders", labels).labels
    assert made["severity"] == "critical"
    assert made["kind"] == "failing"
    assert len(made) == min(count + 2, LABELS_MAX)
    assert list(made)[: min(count, 30)] == list(labels)[:30]


def test_severity_and_kind_override_labels_of_the_webhook() -> None:
    story = Story()
    story.update(DOWN)
    made = notification_of(RAISED, story.alert, "Orders", {"severity": "gold", "team": "blue"})
    assert made.labels == {"severity": "critical", "team": "blue", "kind": "failing"}


@given(our.alerts, our.alert_event_types, st.dictionaries(our.segments, our.segments, max_size=40))
def test_every_alert_has_a_notification(alert: Alert, event_type: str, labels: dict[str, str]) -> None:
    """Total: the type is one of Monitor's own, the payload is JSON, and the webhook of the alert is excluded."""
    made = notification_of(event_type, alert, "Orders", labels)
    assert is_event_type(made.type)
    assert is_reserved(made.type)
    assert len(made.labels) <= LABELS_MAX
    assert made.except_webhook == alert.webhook_id
    data = msgspec.json.decode(made.payload)["data"]
    assert data["alert"] == msgspec.json.decode(msgspec.json.encode(alert_payload(alert)))


@given(our.alert_notifications)
def test_notifications_survive_storage(made: AlertNotification) -> None:
    """decode(encode(x)) == x."""
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(made), type=AlertNotification) == made


def test_an_event_names_the_history_entry_that_makes_it() -> None:
    story = Story()
    story.update(DOWN)
    assert event_types(None, story.alert, story.entries, silenced=False) == {RAISED: 2}
    before = story.alert
    story.ack()
    assert event_types(before, story.alert, story.entries, silenced=False) == {ACKNOWLEDGED: 3}
    made = notification_of(ACKNOWLEDGED, story.alert, "Orders", {}, 3)
    assert (made.alert_id, made.version) == (story.alert.id, 3)


def test_a_sample_says_that_it_is_one() -> None:
    made = sample_notification(WEBHOOK, WEBHOOK, NOW)
    assert made.type == RAISED
    alert = msgspec.json.decode(made.payload)["data"]["alert"]
    assert "sample" in alert["title"]
    assert (alert["severity"], alert["raised_at"]) == ("info", "2026-03-01T12:00:00Z")
