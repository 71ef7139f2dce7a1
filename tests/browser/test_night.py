"""What an operator met at night: where the focus goes, what Back does, and what the words say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import go
from tests.browser.site import Receiver, Site, until
from tests.servers import free_port

SLOW = {"schedule_s": [0, 3600], "jitter_ratio": 0}


@pytest.fixture
def alert(site: Site, receiver: Receiver) -> Iterator[str]:
    """The id of an open alert, about a webhook that Monitor disabled."""
    receiver.status = 410
    made = site.create(receiver.url, name="Night alert", event_types=["night.gone"])["id"]
    site.call("POST", "events", {"type": "night.gone", "payload": {}})

    def raised() -> str | None:
        found = site.call("GET", f"alerts?kind=disabled&webhook_id={made}")["items"]
        return found[0]["id"] if found else None

    yield until(raised)
    site.call("DELETE", f"webhooks/{made}")


def refused(site: Site, type_: str) -> str:
    """Return a webhook whose only delivery could not connect and is tried again in an hour."""
    url = f"http://127.0.0.1:{free_port()}/hook"
    id_: str = site.create(url, name="Night refused", event_types=[type_], retry=SLOW)["id"]
    site.call("POST", "events", {"type": type_, "payload": {}})
    until(lambda: site.call("GET", f"webhooks/{id_}/attempts")["items"])
    return id_


def test_after_the_first_test_message_the_focus_is_on_the_heading(page: Page, receiver: Receiver) -> None:
    go(page, "/webhooks/new")
    page.get_by_label("Name", exact=True).fill("Night first")
    page.get_by_label("URL").fill(receiver.url)
    page.get_by_label("Event types").fill("night.first")
    page.get_by_role("button", name="Create webhook").click()
    page.get_by_role("button", name="I've saved it, send a test").click()
    page.get_by_role("dialog").get_by_role("button", name="Send", exact=True).press("Enter")
    result = page.get_by_role("dialog", name="Test message")
    expect(result).to_contain_text("It arrived")
    result.get_by_role("button", name="Close").last.press("Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("heading", name="Night first")).to_be_focused()


def test_the_focus_survives_what_is_done_to_an_alert(page: Page, alert: str) -> None:
    go(page, f"/alerts/{alert}")
    pane = page.get_by_role("region", name="Alert", exact=True)
    pane.get_by_role("button", name="Acknowledge").press("Enter")
    page.get_by_role("dialog").get_by_role("button", name="Acknowledge").press("Enter")
    taken = pane.get_by_role("button", name="Take back acknowledgement")
    expect(taken).to_be_focused()
    taken.press("Enter")
    expect(pane.get_by_role("button", name="Acknowledge", exact=True)).to_be_focused()
    pane.get_by_role("button", name="Resolve").press("Enter")
    page.get_by_role("dialog").get_by_role("button", name="Resolve").press("Enter")
    expect(pane.get_by_role("button", name="Resolve")).to_have_count(0)
    expect(page.get_by_role("heading", name="Alerts", exact=True)).to_be_focused()


def test_after_a_silence_is_ended_the_focus_is_on_the_heading(page: Page, site: Site) -> None:
    ends = datetime.now(UTC) + timedelta(hours=1)
    site.call("POST", "silences", {"reason": "night shift", "kind": "expired", "ends_at": ends.isoformat()})
    go(page, "/silences")
    page.get_by_role("button", name="End: night shift").press("Enter")
    page.get_by_role("dialog").get_by_role("button", name="End silence").press("Enter")
    expect(page.get_by_role("button", name="End: night shift")).to_have_count(0)
    expect(page.get_by_role("heading", name="Silences")).to_be_focused()


def test_back_closes_what_was_asked_in_the_view_that_is_left(page: Page) -> None:
    go(page, "/events")
    go(page, "/notifications")
    page.get_by_role("button", name="Slack").click()
    expect(page.get_by_role("dialog", name="Add Slack")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="Events", exact=True)).to_be_focused()
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_back_does_not_close_a_secret_that_is_shown_once(page: Page, receiver: Receiver) -> None:
    go(page, "/webhooks/new")
    page.get_by_label("Name", exact=True).fill("Night secret")
    page.get_by_label("URL").fill(receiver.url)
    page.get_by_label("Event types").fill("night.secret")
    page.get_by_role("button", name="Create webhook").click()
    secret = page.get_by_role("dialog").get_by_label("Signing secret")
    expect(secret).to_have_value(re.compile("^whsec_"))
    page.go_back()
    expect(page).to_have_title(re.compile("New webhook · Monitor$"))
    expect(secret).to_have_value(re.compile("^whsec_"))


def test_enter_alone_loses_nothing_that_was_typed(page: Page) -> None:
    go(page, "/webhooks/new")
    name = page.get_by_label("Name", exact=True)
    name.fill("Half filled")
    page.get_by_role("link", name="Events", exact=True).click()
    expect(page.get_by_role("dialog").get_by_role("button", name="Keep editing")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(name).to_have_value("Half filled")


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("/jobs", "Jobs"),
        ("/silences", "Silences"),
        ("/silences/new", "New silence"),
        ("/notifications", "Notifications"),
        ("/webhooks/new", "New webhook"),
        ("/more", "More"),
        ("/nowhere", "Page not found"),
    ],
)
def test_a_view_is_told_from_others_by_the_title_of_its_tab(page: Page, path: str, title: str) -> None:
    go(page, path)
    expect(page).to_have_title(re.compile(rf"^(\(.*\) )?{title} · Monitor$"))


def test_an_alert_gives_its_tab_a_title(page: Page, site: Site, alert: str) -> None:
    said = site.call("GET", f"alerts/{alert}")["title"]
    go(page, f"/alerts/{alert}")
    expect(page).to_have_title(re.compile(rf"^(\(.*\) )?{re.escape(said)} · Monitor$"))


def test_errors_are_said_in_words(page: Page, site: Site) -> None:
    id_ = refused(site, "night.words")
    go(page, f"/webhooks/{id_}")
    attempts = page.get_by_role("region", name="Attempts")
    expect(attempts.get_by_role("row").nth(1)).to_contain_text("could not connect")
    attempts.get_by_label("Error").select_option(label="could not connect")
    expect(page).to_have_url(re.compile("error=connect"))
    expect(page.get_by_role("region", name="Configuration")).to_contain_text("Event types")
    # One failure threatens nothing yet.
    expect(page.get_by_role("region", name="Queue")).to_contain_text("Queued 1")
    expect(page.get_by_role("region", name="Queue")).not_to_contain_text("unless a delivery succeeds")
    go(page, f"/deliveries?webhook={id_}&state=pending")
    expect(page.get_by_role("region", name="List of deliveries")).to_contain_text("last: could not connect")


def test_where_no_delivery_has_failed_those_still_tried_are_a_click_away(page: Page, site: Site) -> None:
    id_ = refused(site, "night.tried")
    go(page, f"/deliveries?webhook={id_}&state=failed")
    shown = page.get_by_role("region", name="List of deliveries")
    expect(shown).to_contain_text("Deliveries that will be tried again are pending.")
    shown.get_by_role("link", name="pending").click()
    expect(shown.get_by_role("link", name="Night refused")).to_be_visible()
    expect(page).to_have_url(re.compile(f"webhook={id_}"))
