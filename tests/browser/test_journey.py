"""What an operator does on a bad day, from the first webhook to the last reconnect."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.conftest import go, sign_in
from tests.browser.site import Receiver, Site


def test_a_token_opens_the_page_and_never_stays_in_the_address(open_page: Callable[..., Page], site: Site) -> None:
    page = open_page(site.base)
    page.get_by_label("Token").fill("nonsense")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("This is not a token.")).to_be_visible()
    page.get_by_label("Token").fill(site.token)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    page.goto(f"{site.base}/#token={site.token}")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    assert page.url == f"{site.base}/#/"
    kept = page.evaluate("[...Object.values(localStorage), ...Object.values(sessionStorage), document.cookie]")
    assert [text for text in kept if len(text) > 40] == []


def test_no_request_carries_the_token_in_its_address(open_page: Callable[..., Page], site: Site) -> None:
    addresses: list[str] = []
    page = open_page(site.base)
    page.on("request", lambda request: addresses.append(request.url))
    page.on("websocket", lambda socket: addresses.append(socket.url))
    page.goto(f"{site.base}/#token={site.token}")
    page.reload()
    expect(page.locator(".link-state")).to_have_attribute("data-mode", "live")
    go(page, "/webhooks")
    expect(page.get_by_role("heading", name="Webhooks", exact=True)).to_be_visible()
    assert any(address.startswith("ws:") for address in addresses)
    assert [address for address in addresses if site.token[-20:] in address.split("#")[0]] == []


def test_an_event_is_delivered_before_ones_eyes(page: Page, receiver: Receiver) -> None:
    go(page, "/webhooks")
    page.get_by_role("link", name="New webhook").click()
    page.get_by_label("Name").fill("Journey")
    page.get_by_label("URL").fill(receiver.url)
    page.get_by_label("Event types").fill("journey.*")
    page.get_by_role("button", name="Create webhook").click()
    secret = page.get_by_role("dialog").get_by_label("Signing secret")
    expect(secret).to_have_value(re.compile(r"^whsec_"))
    page.get_by_role("button", name="I've saved it", exact=True).click()
    expect(page.get_by_role("heading", name="Journey")).to_be_visible()

    go(page, "/events")
    page.get_by_role("button", name="Post a test event").click()
    page.get_by_label("Type", exact=True).fill("journey.begun")
    page.get_by_label("Payload, JSON").fill('{"huge": 12345678901234567890}')
    page.get_by_role("button", name="Post event").click()
    deliveries = page.get_by_role("region", name="Its deliveries")
    expect(deliveries.get_by_text("Delivered")).to_be_visible()
    deliveries.get_by_role("button", name="Attempts").click()
    expect(deliveries.get_by_text("thank you")).to_be_visible()
    expect(deliveries.get_by_text("12345678901234567890")).to_be_visible()


def test_an_alert_arrives_live_is_acknowledged_and_survives_a_restart(
    open_page: Callable[..., Page], own_site: Site, receiver: Receiver
) -> None:
    page = sign_in(open_page, own_site)
    page.evaluate("window.neverReloaded = true")
    receiver.status = 410
    own_site.create(receiver.url, name="Gone", event_types=["gone.*"])
    own_site.call("POST", "events", {"type": "gone.away", "payload": {}})

    waiting = page.get_by_role("region", name="Open alerts")
    expect(waiting.get_by_role("link", name="Gone")).to_be_visible(timeout=60_000)
    expect(page.locator("[aria-live]").filter(has_text="alert at").first).to_have_text(re.compile("New .* alert at"))
    expect(page).to_have_title(re.compile(r"^\(1 alert\)"))

    waiting.get_by_role("link", name="Gone").click()
    page.get_by_role("button", name="Acknowledge").click()
    page.get_by_label("Note").fill("The receiver moved; its owner is informed.")
    page.get_by_role("dialog").get_by_role("button", name="Acknowledge").click()
    pane = page.get_by_role("region", name="Alert", exact=True)
    expect(pane.get_by_role("listitem").filter(has_text="Acknowledged by local")).to_be_visible()
    expect(pane.get_by_text("The receiver moved; its owner is informed.").first).to_be_visible()
    go(page, "/")
    expect(page.get_by_text("No open alerts", exact=True)).to_be_visible()

    own_site.stop()
    expect(page.locator(".link-state")).not_to_have_attribute("data-mode", "live")
    expect(page.locator("#stale")).to_contain_text("No connection")
    own_site.start()
    expect(page.locator(".link-state")).to_have_attribute("data-mode", "live", timeout=60_000)
    expect(page.locator("#stale")).to_have_count(0)
    own_site.create(receiver.url, name="Back again", event_types=["back.*"])
    go(page, "/webhooks")
    expect(page.get_by_role("link", name="Back again")).to_be_visible()
    assert page.evaluate("window.neverReloaded") is True
