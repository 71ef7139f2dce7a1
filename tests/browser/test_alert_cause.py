"""From an alert to its cause: the failing exchange in few clicks, and the queue that is worked through meanwhile."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE, go, sign_in
from tests.browser.site import Receiver, Site, until

NAMES = ("Cause, first", "Cause, second", "Cause, third")
ANSWER = "the ledger is locked"


class Clicker:
    """Counts the clicks that a way through the page takes."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.clicks = 0

    def click(self, name: str) -> None:
        self.page.get_by_role("link", name=name).first.click()
        self.clicks += 1


@pytest.fixture
def alerts(site: Site, receiver: Receiver) -> Iterator[list[str]]:
    """Alerts about webhooks that Monitor disabled, in the order of their names; none is left open afterwards."""
    receiver.status, receiver.body = 410, ANSWER.encode()
    made = [site.create(receiver.url, name=name, event_types=["cause.*"])["id"] for name in NAMES]
    site.call("POST", "events", {"type": "cause.all", "payload": {"order": 7}})

    def raised() -> list[str] | None:
        found = {one["webhook_id"]: one["id"] for one in site.call("GET", "alerts?kind=disabled&limit=200")["items"]}
        return [found[id_] for id_ in made] if found.keys() >= set(made) else None

    ids: list[str] = until(raised)
    yield ids
    for id_, webhook_id in zip(ids, made, strict=True):
        site.call("POST", f"alerts/{id_}/resolve")
        site.call("DELETE", f"webhooks/{webhook_id}")


def exchange(page: Page) -> None:
    """Check that the exchange that failed is on the screen, without a further click."""
    failed = page.get_by_role("region", name="Last failed exchange")
    expect(failed).to_be_visible()
    expect(failed).to_contain_text(ANSWER)
    expect(failed).to_contain_text("410")


def test_the_failing_exchange_is_two_clicks_from_the_overview_and_none_from_a_chat_message(
    page: Page, open_page: Callable[..., Page], site: Site, alerts: list[str]
) -> None:
    way = Clicker(page)
    go(page, "/")
    way.click("Cause, first")
    exchange(page)
    assert way.clicks <= 2

    # The link in a chat message is the one click.
    arrived = sign_in(open_page, site)
    go(arrived, f"/alerts/{alerts[1]}")
    exchange(arrived)
    pane = arrived.get_by_role("region", name="Alert", exact=True)
    attempts = pane.get_by_role("link", name="Attempts in this time")
    expect(attempts).to_have_attribute("href", re.compile(r"^#/webhooks/[\w-]+\?from=[^&]+&to="))
    failed = pane.get_by_role("link", name="Failed deliveries")
    expect(failed).to_have_attribute("href", re.compile(r"^#/deliveries\?webhook=[\w-]+&state=failed&from=[^&]+&to="))
    expect(pane.locator(".chart")).to_be_visible()
    attempts.click()
    expect(arrived.get_by_role("heading", name="Cause, second")).to_be_visible()


def test_the_queue_keeps_its_filter_and_offers_the_next_alert(page: Page, site: Site, alerts: list[str]) -> None:
    first, second, third = sorted(alerts, reverse=True)
    go(page, "/alerts?kind=disabled")
    rows = page.locator("[data-alert]")
    expect(rows).to_have_count(3)
    page.locator(f"[data-alert='{first}']").get_by_role("link").click()
    expect(page).to_have_url(re.compile(f"#/alerts/{first}\\?kind=disabled$"))
    expect(rows).to_have_count(3)
    pane = page.get_by_role("region", name="Alert", exact=True)
    expect(pane.get_by_role("heading", name="Cause,")).to_be_visible()

    page.keyboard.press("j")
    expect(page).to_have_url(re.compile(f"#/alerts/{second}\\?kind=disabled$"))
    page.keyboard.press("k")
    expect(page).to_have_url(re.compile(f"#/alerts/{first}\\?"))

    pane.get_by_role("button", name="Acknowledge").click()
    page.get_by_role("dialog").get_by_role("button", name="Acknowledge").click()
    expect(rows).to_have_count(2)
    expect(pane.get_by_text("Acknowledged", exact=True).first).to_be_visible()
    pane.get_by_role("link", name="Next:").click()
    expect(page).to_have_url(re.compile(f"#/alerts/{second}\\?kind=disabled$"))
    expect(page.locator(f"[data-alert='{second}'].shown")).to_be_visible()

    # What is resolved does not come back among the open ones.
    site.call("POST", f"alerts/{third}/resolve")
    expect(rows).to_have_count(1)
    expect(page.get_by_role("link", name="Open", exact=True)).to_have_attribute("aria-current", "true")


def test_an_acknowledgement_is_taken_back_and_an_alert_commented_on(page: Page, site: Site, alerts: list[str]) -> None:
    site.call("POST", f"alerts/{alerts[0]}/ack", {"note": "Mine."})
    go(page, f"/alerts/{alerts[0]}")
    pane = page.get_by_role("region", name="Alert", exact=True)
    pane.get_by_role("button", name="Take back acknowledgement").click()
    expect(pane.get_by_role("button", name="Acknowledge", exact=True)).to_be_visible()
    pane.get_by_label("Comment").fill("Their proxy\nanswers 410.")
    pane.get_by_role("button", name="Add comment").click()
    expect(pane.locator("blockquote").filter(has_text="Their proxy")).to_be_visible()
    expect(pane.get_by_label("Comment")).to_have_value("")
    lines = [line["action"] for line in site.call("GET", f"alerts/{alerts[0]}")["history"]]
    assert [lines.count(action) for action in ("unacknowledged", "commented")] == [1, 1]


def test_a_silence_from_an_alert_leads_back_to_it_and_ends_in_two_hours(
    page: Page, site: Site, alerts: list[str]
) -> None:
    go(page, f"/alerts/{alerts[0]}")
    page.get_by_role("region", name="Alert", exact=True).get_by_role("link", name="Silence").click()
    page.get_by_label("Reason").fill("Planned upgrade")
    page.get_by_role("button", name="Silence").click()
    expect(page).to_have_url(re.compile(f"#/alerts/{alerts[0]}$"))
    go(page, "/silences")
    line = page.get_by_role("listitem").filter(has_text="Planned upgrade")
    expect(line).to_contain_text(re.compile(r"Ends \d+ \w+, \d\d:\d\d, in 2 h"))
    expect(line.get_by_role("link", name="Cause, first")).to_be_visible()

    go(page, f"/silences/new?kind=disabled&alert={alerts[0]}")
    page.get_by_label("Reason").fill("Until Monday")
    page.get_by_label("Duration").select_option("until a time")
    page.get_by_label("Ends").fill("2001-01-01T00:00")
    page.get_by_role("button", name="Silence").click()
    expect(page.get_by_text("Choose a time in the future")).to_be_visible()
    expect(page.get_by_label("Ends")).to_have_attribute("aria-invalid", "true")
    for silence in site.call("GET", "silences")["items"]:
        site.call("DELETE", f"silences/{silence['id']}")


def test_on_a_phone_the_alert_stands_in_place_of_the_list(
    open_page: Callable[..., Page], site: Site, alerts: list[str]
) -> None:
    page = sign_in(open_page, site, viewport=PHONE)
    go(page, f"/alerts/{alerts[0]}?kind=disabled")
    title = page.locator(".alert-title")
    expect(title).to_be_visible()
    box = title.bounding_box()
    assert box is not None
    assert box["y"] < 300
    expect(page.get_by_role("region", name="List of alerts")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("link", name="Close the alert").click()
    expect(page.get_by_role("region", name="List of alerts")).to_be_visible()
    expect(page).to_have_url(re.compile("#/alerts\\?kind=disabled$"))
