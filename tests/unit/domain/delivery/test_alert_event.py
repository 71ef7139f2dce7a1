"""Events about alerts as messages read them: what they say holds when they are sent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.domain.alerts.notification import ACKNOWLEDGED, RAISED, RESOLVED, sample_notification
from monitor.domain.delivery.alert_event import AlertEvent, in_words, later, read_alert, rfc3339, utc
from tests.unit.domain.alerts.alert_stories import NOW, WEBHOOK
from tests.unit.domain.delivery.alert_events import PAGE, alert_payload, linked_payload, payloads, types


def read(event_type: str = RAISED, payload: bytes | None = None, **changes: Any) -> AlertEvent:
    event = read_alert(event_type, payload or linked_payload(event_type, **changes))
    assert event is not None
    return event


@given(types, payloads)
def test_an_event_is_read_or_not_at_all(event_type: str, payload: bytes) -> None:
    """Total: and what is read has a sentence of text that is safe, and only links that are."""
    event = read_alert(event_type, payload)
    if event is not None:
        assert not {"\x00", "\u202e"} & set(event.sentence + "".join(event.facts().values()))
        assert all(url.startswith(("http://", "https://")) for _, url in event.links)
        assert event.key
        assert len(event.heading.split()) >= 2


def test_any_other_event_is_about_no_alert() -> None:
    assert read_alert("order.paid", alert_payload()) is None
    assert read_alert(RAISED, b"{}") is None


def test_what_holds_is_the_alerts_sentence_while_it_is_open() -> None:
    assert read(RAISED).sentence == "Orders is unavailable."
    assert read(ACKNOWLEDGED).sentence == "Orders is unavailable."
    assert read(RAISED, title="").sentence == "Critical alert raised"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"resolved_by": "system"}, "Resolved after 12 minutes. It was: Orders is unavailable."),
        ({"resolved_by": "ada"}, "Resolved by ada after 12 minutes. It was: Orders is unavailable."),
        ({"resolved_by": None, "resolved_at": None}, "Resolved. It was: Orders is unavailable."),
        ({"resolved_at": NOW - timedelta(hours=1)}, "Resolved after 0 seconds. It was: Orders is unavailable."),
    ],
)
def test_what_is_resolved_says_so_first_and_for_how_long_it_was(changes: dict[str, Any], sentence: str) -> None:
    changes = {"resolved_at": NOW + timedelta(minutes=12, seconds=5)} | changes
    assert read(RESOLVED, **changes).sentence == sentence


def test_what_is_well_now_replaces_what_was() -> None:
    at, note = NOW + timedelta(minutes=12), "Back to normal: All of the last 20 attempts succeeded."
    event = read(RESOLVED, resolved_at=at, resolved_by="system", note=note)
    assert event.sentence == f"Resolved after 12 minutes. {note}"
    assert "Note" not in event.facts()


def test_the_note_of_a_user_stays_a_note() -> None:
    event = read(RESOLVED, resolved_by="ada", note="A release.")
    assert event.sentence == "Resolved by ada. It was: Orders is unavailable."
    assert event.facts()["Note"] == "A release."


def test_the_same_alert_has_the_same_key_in_every_event() -> None:
    assert read(RAISED).key == read(RESOLVED).key == msgspec.json.decode(alert_payload())["data"]["alert"]["id"]


def test_an_alert_links_to_the_page() -> None:
    assert (read().alert_link or "").startswith(f"{PAGE}#/alerts/")
    assert read(payload=alert_payload()).alert_link is None


def test_a_sample_says_that_it_is_one() -> None:
    assert read(payload=sample_notification(WEBHOOK, WEBHOOK, NOW).payload).is_sample
    assert not read().is_sample


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        *((0, "0 seconds"), (1, "1 second"), (59.9, "59 seconds"), (60, "1 minute"), (725, "12 minutes")),
        *((3_600, "1 hour"), (86_399, "23 hours"), (86_400, "1 day"), (9e5, "10 days")),
    ],
)
def test_a_duration_is_said_in_its_largest_unit(seconds: float, words: str) -> None:
    assert in_words(timedelta(seconds=seconds)) == words


def test_times_are_in_utc() -> None:
    at = datetime(2026, 1, 31, 14, 0, 5, tzinfo=timezone(timedelta(hours=2)))
    assert utc(at) == "2026-01-31 12:00:05 UTC"
    assert rfc3339(at) == "2026-01-31T12:00:05Z"


@given(st.datetimes(timezones=st.sampled_from([timezone.max, timezone.min, UTC])), st.timedeltas(timedelta(0)))
@example(datetime.max.replace(tzinfo=UTC), timedelta.max)
@example(datetime.max.replace(tzinfo=timezone.min), timedelta(0))
def test_a_later_time_never_overflows(at: datetime, by: timedelta) -> None:
    """Law: no earlier than the time itself, up to the last one that there is."""
    assert utc(at).endswith(" UTC")
    assert later(at, by) >= later(at, timedelta(0))
