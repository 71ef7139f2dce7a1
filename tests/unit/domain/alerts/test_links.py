"""Links of notifications into the page."""

from __future__ import annotations

from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.alerts.links import PageLinks, links_of, with_links
from monitor.domain.alerts.notification import RAISED, notification_of
from monitor.domain.ids import SYSTEM_ID
from tests.unit.domain.alerts.alert_stories import DOWN, WEBHOOK, Story

ALERT = UUID(int=7)


def payload(webhook_id: UUID = WEBHOOK) -> bytes:
    story = Story()
    story.update(DOWN)
    alert = msgspec.structs.replace(story.alert, webhook_id=webhook_id, id=ALERT)
    return notification_of(RAISED, alert, "Orders", {}).payload


@pytest.mark.parametrize("page", ["https://example.com/monitor", "https://example.com/monitor/"])
def test_links_lead_to_the_alert_its_webhook_and_the_failed_attempts(page: str) -> None:
    assert links_of(page, ALERT, WEBHOOK) == PageLinks(
        alert=f"https://example.com/monitor/#/alerts/{ALERT}",
        webhook=f"https://example.com/monitor/#/webhooks/{WEBHOOK}",
        failed_attempts=f"https://example.com/monitor/#/webhooks/{WEBHOOK}?ok=false",
    )


def test_an_alert_about_all_webhooks_has_one_link() -> None:
    made = msgspec.json.decode(with_links(payload(SYSTEM_ID), "https://example.com"))
    assert made["links"] == {"alert": f"https://example.com/#/alerts/{ALERT}"}


def test_a_payload_gets_links_behind_its_own_members() -> None:
    before = msgspec.json.decode(payload())
    after = msgspec.json.decode(with_links(payload(), "https://example.com/"))
    assert list(after) == [*before, "links"]
    assert {name: after[name] for name in before} == before
    assert after["links"]["failed_attempts"] == f"https://example.com/#/webhooks/{WEBHOOK}?ok=false"


def test_without_a_page_a_payload_stays_as_it_is() -> None:
    assert with_links(payload(), None) == payload()


@given(st.binary() | st.sampled_from([b"7", b"{}", b'{"data": 7}', b'{"data": {"alert": {"id": 1}}}', b"[" * 5_000]))
def test_a_payload_about_no_alert_stays_as_it_is(other: bytes) -> None:
    assert with_links(other, "https://example.com") == other
