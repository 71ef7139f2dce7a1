"""The events that tell subscribers about alerts. What is told when is the business of the stories of alerts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.alerts import Acknowledge, Alert, AlertKind
from monitor.domain.alerts.notification import (
    LABELS_MAX,
    RAISED,
    RESOLVED,
    AlertNotification,
    event_types,
    notification_of,
    shown,
)
from monitor.domain.delivery.event_types import is_event_type, is_reserved
from monitor.domain.ids import SYSTEM_ID
from tests import strategies as our
from tests.unit.domain.alerts.alert_stories import DOWN, FAILURES, NOW, WEBHOOK, Story

SHOWN = [
    "id",
    "kind",
    "severity",
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
"""What clients rely on, in this order."""


def told(alert: Alert, event_type: str = RAISED) -> dict[str, Any]:
    payload: dict[str, Any] = msgspec.json.decode(notification_of(event_type, alert, "Orders", {}).payload)
    return payload


def test_nothing_happened_so_nothing_is_told() -> None:
    story = Story()
    story.see(DOWN)
    assert event_types(story.alert, story.alert, (), silenced=False) == []


def test_repeats_and_easing_are_not_told() -> None:
    story = Story()
    story.see(DOWN)
    assert story.see(DOWN, FAILURES) == []
    assert story.see(DOWN) == []


def test_an_acknowledgement_under_a_silence_is_not_told() -> None:
    story = Story()
    story.see(DOWN)
    assert story.tell(Acknowledge("ada", silenced=True)) == []


def test_the_payload_tells_of_the_alert_and_the_webhook() -> None:
    story = Story()
    story.see(DOWN)
    payload = told(story.alert)
    assert list(payload) == ["type", "timestamp", "data"]
    assert payload["type"] == RAISED
    assert payload["data"]["webhook"] == {"id": str(WEBHOOK), "name": "Orders"}
    alert = payload["data"]["alert"]
    assert list(alert) == SHOWN
    assert (alert["kind"], alert["severity"], alert["state"]) == ("failing", "critical", "pending")
    assert alert["evidence"] == {"health": {"reason": "503"}}


def test_the_timestamp_is_of_the_latest_that_happened() -> None:
    story = Story()
    story.see(DOWN)
    assert told(story.alert)["timestamp"] == "2026-03-01T12:00:00Z"
    story.wait(60).ack()
    assert told(story.alert)["timestamp"] == "2026-03-01T12:01:00Z"
    story.wait(60).see()
    assert told(story.alert, RESOLVED)["timestamp"] == "2026-03-01T12:02:00Z"
    story.wait(60).see(DOWN)
    assert told(story.alert)["timestamp"] == "2026-03-01T12:03:00Z"
    assert story.alert.raised_at == NOW
    assert story.now == NOW + timedelta(minutes=3)


def test_an_alert_about_all_webhooks_names_none() -> None:
    story = Story()
    story.see(DOWN)
    alert = msgspec.structs.replace(story.alert, webhook_id=SYSTEM_ID, kind=AlertKind.MASS_FAILURE)
    made = notification_of(RAISED, alert, None, {})
    payload = msgspec.json.decode(made.payload)
    assert payload["data"]["webhook"] is None
    assert payload["data"]["alert"]["webhook_id"] is None
    assert made.except_webhook == SYSTEM_ID


@pytest.mark.parametrize("count", [0, 30, 31, 32])
def test_labels_are_those_of_the_webhook_as_far_as_there_is_room(count: int) -> None:
    story = Story()
    story.see(DOWN)
    labels = {f"label-{i}": "x" for i in range(count)}
    made = notification_of(RAISED, story.alert, "Orders", labels).labels
    assert made["severity"] == "critical"
    assert made["kind"] == "failing"
    assert len(made) == min(count + 2, LABELS_MAX)
    assert list(made)[: min(count, 30)] == list(labels)[:30]


def test_labels_of_its_own_win() -> None:
    story = Story()
    story.see(DOWN)
    made = notification_of(RAISED, story.alert, "Orders", {"severity": "gold", "team": "blue"})
    assert made.labels == {"severity": "critical", "team": "blue", "kind": "failing"}


@given(our.alerts, our.alert_event_types, st.dictionaries(our.segments, our.segments, max_size=40))
def test_every_alert_can_be_told(alert: Alert, event_type: str, labels: dict[str, str]) -> None:
    """Total: the type is one of Monitor's own, the payload is JSON, and the webhook concerned is left out."""
    made = notification_of(event_type, alert, "Orders", labels)
    assert is_event_type(made.type)
    assert is_reserved(made.type)
    assert len(made.labels) <= LABELS_MAX
    assert made.except_webhook == alert.webhook_id
    data = msgspec.json.decode(made.payload)["data"]
    assert data["alert"] == msgspec.json.decode(msgspec.json.encode(shown(alert)))


@given(our.announcements)
def test_announcements_survive_storage(made: AlertNotification) -> None:
    """decode(encode(x)) == x."""
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(made), type=AlertNotification) == made
