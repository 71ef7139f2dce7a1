"""Who is told of alerts: the warning while nobody is, adding a destination, and a sample."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.conftest import go, sign_in
from tests.browser.site import Receiver, Site

WARNING = "Nobody is told of critical alerts."


def test_slack_is_added_in_three_clicks_and_a_url(
    open_page: Callable[..., Page], own_site: Site, receiver: Receiver
) -> None:
    page = sign_in(open_page, own_site)
    for path in ("/", "/alerts", "/notifications"):
        go(page, path)
        expect(page.get_by_text(WARNING)).to_be_visible()
    go(page, "/alerts")

    page.get_by_role("main").get_by_role("link", name="Notifications").click()
    page.get_by_role("button", name="Slack").click()
    expect(page.get_by_label("URL")).to_be_focused()
    page.keyboard.type(receiver.url)
    page.get_by_role("dialog").get_by_role("button", name="Add").click()

    line = page.locator("[data-destination]")
    expect(line).to_have_count(1)
    expect(line).to_contain_text("Slack")
    expect(line).to_contain_text("All alerts")
    expect(page.get_by_text(WARNING)).to_have_count(0)
    [webhook] = own_site.call("GET", "webhooks")["items"]
    assert (webhook["name"], webhook["body_format"], webhook["event_types"]) == ("Slack", "slack", ["monitor.alert.*"])

    line.get_by_role("button", name="Send sample to Slack").click()
    expect(line).to_contain_text("Sample sent")
    receiver.status = 404
    line.get_by_role("button", name="Send sample to Slack").click()
    expect(line).to_contain_text(re.compile(r"Sample failed\s*404"))
    line.get_by_role("link", name="Edit Slack").click()
    expect(page.get_by_role("heading", name="Edit webhook")).to_be_visible()


def test_an_alert_says_that_it_was_told_to_all_that_subscribe(page: Page, site: Site, receiver: Receiver) -> None:
    teams = site.create(
        receiver.url, name="On call", event_types=["monitor.*"], body_format="teams", labels={"severity": "critical"}
    )["id"]
    failing = site.create("http://127.0.0.1:9/", name="Told of", event_types=["told.*"])["id"]
    site.call("PATCH", f"webhooks/{failing}", {"timeout_s": 1})
    gone = Receiver()
    gone.status = 410
    with gone:
        site.call("PATCH", f"webhooks/{failing}", {"url": gone.url})
        site.call("POST", "events", {"type": "told.once", "payload": 1})
        go(page, "/alerts?kind=disabled")
        row = page.locator("[data-alert]").filter(has_text="Told of")
        expect(row).to_be_visible(timeout=60_000)
    row.get_by_role("link").click()
    pane = page.get_by_role("region", name="Alert", exact=True)
    expect(pane.get_by_role("link", name="told 1 of 1")).to_be_visible(timeout=60_000)

    page.keyboard.press("g")
    page.keyboard.press("n")
    expect(page.get_by_role("heading", name="Notifications")).to_be_focused()
    line = page.locator(f"[data-destination='{teams}']")
    expect(line).to_contain_text("Only severity critical")
    expect(line).to_contain_text("Last notification")
    expect(line).to_contain_text("Microsoft Teams")
    for id_ in (teams, failing):
        site.call("DELETE", f"webhooks/{id_}")


def test_a_viewer_sees_who_is_told_and_is_offered_nothing_to_change(
    open_page: Callable[..., Page], site: Site, receiver: Receiver
) -> None:
    made = site.create(receiver.url, name="Seen by all", event_types=["monitor.alert.raised"])["id"]
    page = sign_in(open_page, site, token=site.issue("viewer"))
    go(page, "/notifications")
    expect(page.locator(f"[data-destination='{made}']")).to_contain_text("Seen by all")
    expect(page.get_by_role("heading", name="Add a destination")).to_have_count(0)
    expect(page.get_by_role("main").get_by_role("button")).to_have_count(0)
    site.call("DELETE", f"webhooks/{made}")
