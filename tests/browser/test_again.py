"""Delivering what was missed, and delivering again: the dialogs, what they do, and how they look in both themes."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import DESKTOP, PHONE, choose, go, sign_in
from tests.browser.site import Receiver, Site, until
from tests.browser.test_held import delivery_of, publish, row_of
from tests.browser.test_views import SCREENSHOTS, violations

LOOKS = [("dark", DESKTOP), ("light", DESKTOP), ("dark", PHONE), ("light", PHONE)]


def look(page: Page, name: str, theme: str) -> None:
    """Keep a screenshot, and hold the page to what every view is held to."""
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}-{theme}-{(page.viewport_size or {}).get('width')}.png")
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def missed(site: Site, receiver: Receiver, name: str, count: int) -> tuple[str, list[str]]:
    """Make a disabled webhook and *count* events that found it so."""
    type_ = f"missed.{name}"
    webhook = site.create(receiver.url, name=f"Missed {name}", event_types=[type_])["id"]
    site.call("PATCH", f"webhooks/{webhook}", {"enabled": False})
    return webhook, [publish(site, type_) for _ in range(count)]


def enable(page: Page, webhook: str) -> None:
    go(page, f"/webhooks/{webhook}/edit")
    page.get_by_label("Enabled").check()
    page.get_by_role("button", name="Save changes").click()


@pytest.mark.parametrize(("theme", "size"), LOOKS, ids=str)
def test_enabling_offers_what_was_missed_with_its_count(
    theme: str, size: dict[str, int], open_page: Callable[..., Page], site: Site, receiver: Receiver
) -> None:
    page = sign_in(open_page, site, viewport=size, color_scheme=theme, reduced_motion="reduce")
    webhook, events = missed(site, receiver, f"{theme}{size['width']}", 3)
    enable(page, webhook)
    dialog = page.get_by_role("dialog", name="Deliver what it missed?")
    expect(dialog).to_contain_text("3 events found Missed")
    look(page, "dialog-backfill", theme)
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert not site.call("GET", f"webhooks/{webhook}")["enabled"]
    save = page.get_by_role("button", name="Save changes")
    expect(save).to_be_focused()
    save.press("Enter")
    dialog.get_by_role("button", name="Enable and deliver").click()
    expect(page.locator(".toast.ok")).to_contain_text("What it missed is being delivered.")
    expect(page.locator(".verdict")).not_to_contain_text("Disabled")
    for event in events:
        until(lambda event=event: site.call("GET", f"deliveries?event_id={event}")["items"])  # type: ignore[misc]
        expect(row_of(page, event)).to_contain_text("Delivered")
    go(page, "/jobs?state=all")
    expect(page.get_by_role("region", name="List of jobs").get_by_text("Backfill").first).to_be_visible()


def test_a_webhook_is_enabled_without_what_it_missed(page: Page, site: Site, receiver: Receiver) -> None:
    webhook, [event] = missed(site, receiver, "left", 1)
    enable(page, webhook)
    expect(page.get_by_role("dialog")).to_contain_text("1 event found Missed left disabled. Deliver it?")
    page.get_by_role("button", name="No, enable only").click()
    expect(page.locator(".toast.ok")).to_have_text("Webhook saved.")
    assert site.call("GET", f"webhooks/{webhook}")["enabled"]
    assert site.call("GET", f"deliveries?event_id={event}")["items"] == []


def test_a_webhook_that_missed_nothing_is_enabled_without_a_question(
    page: Page, site: Site, receiver: Receiver
) -> None:
    webhook, _ = missed(site, receiver, "nothing", 0)
    enable(page, webhook)
    expect(page.locator(".toast.ok")).to_have_text("Webhook saved.")
    assert site.call("GET", f"webhooks/{webhook}")["enabled"]


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_a_replay_may_be_made_of_stored_events(
    theme: str, open_page: Callable[..., Page], site: Site, receiver: Receiver
) -> None:
    page = sign_in(open_page, site, color_scheme=theme, reduced_motion="reduce")
    events = [publish(site, f"early.{theme}") for _ in range(2)]
    webhook = site.create(receiver.url, name="Late", event_types=[f"early.{theme}"])["id"]
    go(page, f"/webhooks/{webhook}")
    choose(page, "Replay")
    dialog = page.get_by_role("dialog", name="Replay")
    dialog.get_by_label("What").select_option("events")
    expect(dialog.get_by_role("checkbox")).to_have_count(0)
    dialog.get_by_role("button", name="Count").click()
    expect(dialog).to_contain_text("2 deliveries will be made.")
    look(page, "dialog-replay-events", theme)
    dialog.get_by_role("button", name="Send 2 deliveries").click()
    expect(dialog).to_contain_text("2 of 2 deliveries are queued. Done.")
    dialog.get_by_role("button", name="Close").last.click()
    for event in events:
        expect(row_of(page, event)).to_contain_text("Delivered")


@pytest.mark.parametrize(("theme", "size"), LOOKS, ids=str)
def test_an_event_is_sent_again_before_ones_eyes(
    theme: str, size: dict[str, int], open_page: Callable[..., Page], site: Site, receiver: Receiver
) -> None:
    page = sign_in(open_page, site, viewport=size, color_scheme=theme, reduced_motion="reduce")
    type_ = f"again.{theme}{size['width']}"
    webhook = site.create(receiver.url, name="Again", event_types=[type_])["id"]
    event = publish(site, type_)
    page.clock.install()
    row = row_of(page, event)
    expect(row).to_contain_text("Delivered")
    expect(page.get_by_text("1 delivered")).to_be_visible()
    # The list is read again because of the click, not by its interval.
    page.clock.pause_at(datetime.now(UTC) + timedelta(seconds=2))
    with page.expect_response(re.compile(r"/deliveries\?.*event_id=")):
        page.get_by_role("button", name="Send again").click()
        page.clock.run_for(1_000)
    page.clock.resume()
    expect(page.locator(".toast.ok")).to_have_text("1 delivery sent again, 0 new, 0 pending already.")
    look(page, "event-sent-again", theme)
    expect(row).to_contain_text("2 attempts")
    expect(row).to_contain_text("Delivered")
    expect(page.get_by_text("1 delivered")).to_be_visible()
    row.get_by_role("button", name="Attempts").click()
    attempts = row.locator("tr.attempt")
    expect(attempts).to_have_count(2)
    expect(attempts.first.locator("td.try")).to_have_text("2")
    site.call("DELETE", f"webhooks/{webhook}")
    page.get_by_role("button", name="Send again").click()
    expect(page.locator(".toast.ok").last).to_have_text("No enabled webhook matches this event.")


def test_what_an_event_counts_is_never_older_than_its_list(page: Page, site: Site, receiver: Receiver) -> None:
    site.create(receiver.url, name="Counted", event_types=["again.counted"])
    event = publish(site, "again.counted")
    row = row_of(page, event)
    expect(page.get_by_text("1 delivered")).to_be_visible()
    late: list[Route] = []

    def answer(route: Route) -> None:
        """The first read after the click saw the moment before the delivery; every later one sees what holds."""
        response = route.fetch()
        body = response.json()
        if not late:
            late.append(route)
            body["deliveries"] |= {"pending": 1, "delivered": 0}
        route.fulfill(response=response, json=body)

    def list_after(route: Route) -> None:
        until(lambda: delivery_of(site, event)["attempts"] == 2)
        route.continue_()

    page.route(f"**/events/{event}", answer)
    page.route(re.compile(r"/deliveries\?.*event_id="), list_after)
    page.get_by_role("button", name="Send again").click()
    expect(row).to_contain_text("2 attempts")
    expect(page.get_by_text("1 delivered")).to_be_visible()
    assert late
    page.unroute_all(behavior="wait")


def test_an_event_is_sent_again_to_a_webhook_that_came_later(page: Page, site: Site, receiver: Receiver) -> None:
    event = publish(site, "later.now")
    row = row_of(page, event)
    expect(page.get_by_text("No deliveries")).to_be_visible()
    site.create(receiver.url, name="Later", event_types=["later.*"])
    page.get_by_role("button", name="Send again").press("Enter")
    expect(page.locator(".toast.ok")).to_have_text("0 deliveries sent again, 1 new, 0 pending already.")
    expect(row).to_contain_text("Delivered")
    assert delivery_of(site, event)["attempts"] == 1


def test_a_viewer_may_not_send_again(open_page: Callable[..., Page], site: Site) -> None:
    event = publish(site, "viewed.now")
    page = sign_in(open_page, site, token=site.issue("viewer"))
    go(page, f"/events/{event}")
    expect(page.get_by_role("region", name="Payload")).to_be_visible()
    expect(page.get_by_role("button", name="Send again")).to_have_count(0)
