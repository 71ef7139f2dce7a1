"""What waits for a webhook: shown with its cause, sent after a repair; and its actions by keyboard."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import DESKTOP, PHONE, choose, go, sign_in
from tests.browser.site import Receiver, Site, until
from tests.browser.test_views import SCREENSHOTS, violations

SLOW = {"schedule_s": [0, 3600], "jitter_ratio": 0}


def backlog(site: Site, webhook_id: str) -> dict[str, Any]:
    shown: dict[str, Any] = site.call("GET", f"webhooks/{webhook_id}")["backlog"]
    return shown


def broken(site: Site, receiver: Receiver, name: str, waiting: int = 7) -> str:
    """Return a webhook whose breaker is open, with *waiting* deliveries behind it."""
    receiver.status = 500
    type_ = f"{name.lower().replace(' ', '-')}.x"
    id_: str = site.create(receiver.url, name=name, event_types=[type_], retry=SLOW)["id"]
    for n in range(waiting):
        site.call("POST", "events", {"type": type_, "payload": {"n": n}})
    until(lambda: (now := backlog(site, id_))["breaker"]["state"] == "open" and now["waiting"] == waiting)
    return id_


def test_a_queue_behind_an_open_circuit_is_shown_and_sent_after_the_repair(
    page: Page, site: Site, receiver: Receiver
) -> None:
    id_ = broken(site, receiver, "Dead for now")
    go(page, f"/webhooks/{id_}")
    queue = page.get_by_role("region", name="Queue")
    expect(queue).to_contain_text("Queued 7")
    expect(queue).to_contain_text(re.compile(r"Held: circuit open, next try in \d+ s"))
    expect(queue).to_contain_text(re.compile(r"Disabled on \d+ \w+, \d\d:\d\d unless a delivery succeeds"))
    expect(page.locator(".verdict")).to_contain_text(re.compile(r"Last [5-7] attempts failed: HTTP 500\."))
    expect(page.locator(".verdict")).to_contain_text(re.compile(r"\d+ % chance the next delivery fails"))
    expect(page).to_have_title(re.compile(r"^(\(\d+\) )?Dead for now · Monitor$"))
    receiver.status = 200
    queue.get_by_role("button", name="Send now").click()
    expect(page.locator(".toast").last).to_contain_text("One delivery is tried now; if it succeeds, the others follow.")
    expect(queue).to_contain_text("Nothing queued")
    expect(queue.get_by_role("button", name="Send now")).to_have_count(0)
    assert backlog(site, id_)["breaker"]["state"] == "closed"


def test_a_test_that_arrives_offers_to_send_what_is_queued(page: Page, site: Site, receiver: Receiver) -> None:
    id_ = broken(site, receiver, "Mended")
    go(page, f"/webhooks/{id_}")
    # Keys work as soon as the title is set.
    expect(page).to_have_title(re.compile("Mended"))
    receiver.status = 200
    # The dialog has the focus on its button, so that the two keys send.
    page.keyboard.press("t")
    expect(page.get_by_role("dialog").get_by_role("button", name="Send", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    result = page.get_by_role("dialog", name="Test message")
    expect(result).to_contain_text("It arrived")
    expect(result).to_contain_text("7 deliveries are queued.")
    result.get_by_role("button", name="Send what is queued").click()
    expect(result).to_have_count(0)
    expect(page.get_by_role("region", name="Queue")).to_contain_text("Nothing queued")


def test_the_menu_is_worked_by_keyboard(page: Page, site: Site, receiver: Receiver) -> None:
    id_ = site.create(receiver.url, name="By keyboard", event_types=["keyboard.x"])["id"]
    go(page, f"/webhooks/{id_}")
    button = page.get_by_role("button", name="More actions")
    button.focus()
    page.keyboard.press("ArrowDown")
    item = page.get_by_role("menuitem").and_(page.locator(":focus"))
    expect(item).to_have_text(re.compile("^Pause"))
    page.keyboard.press("ArrowUp")
    expect(item).to_have_text("Delete")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("r")
    expect(item).to_have_text(re.compile("^Replay"))
    page.keyboard.press("Escape")
    expect(page.get_by_role("menu")).to_have_count(0)
    expect(button).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Delete the webhook")
    expect(dialog.get_by_role("textbox")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(button).to_be_focused()
    button.click()
    page.get_by_role("heading", name="By keyboard").click()
    expect(page.get_by_role("menu")).to_have_count(0)


def test_single_keys_pause_silence_and_replay(page: Page, site: Site, receiver: Receiver) -> None:
    id_ = site.create(receiver.url, name="Single keys", event_types=["single.x"])["id"]
    go(page, f"/webhooks/{id_}")
    verdict = page.locator(".verdict")
    expect(page).to_have_title(re.compile("Single keys"))
    page.keyboard.press("p")
    expect(verdict).to_contain_text("Paused. New deliveries queue up.")
    expect(verdict).not_to_contain_text("chance")
    page.keyboard.press("p")
    expect(verdict).not_to_contain_text("Paused")
    page.keyboard.press("r")
    dialog = page.get_by_role("dialog", name="Replay")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_contain_text("silence alerts")
    page.keyboard.press("Escape")
    page.keyboard.press("s")
    expect(page.get_by_role("heading", name="New silence")).to_be_visible()
    assert f"webhook={id_}" in page.url


def test_two_live_secrets_are_announced(page: Page, site: Site, receiver: Receiver) -> None:
    id_ = site.create(receiver.url, name="Rotated", event_types=["rotated.x"])["id"]
    go(page, f"/webhooks/{id_}")
    choose(page, "Rotate secret")
    page.get_by_role("dialog").get_by_role("button", name="Rotate").click()
    page.get_by_role("dialog").locator(".dialog-foot .primary").click()
    expect(page.get_by_text(re.compile("Two secrets sign until "))).to_be_visible()


def test_the_way_back_leads_to_the_list_as_it_was_left(page: Page, site: Site, receiver: Receiver) -> None:
    made = [site.create(receiver.url, name=f"Way back {n:02}", event_types=["back.x"])["id"] for n in range(30)]
    go(page, "/webhooks?q=Way%20back&sort=name")
    expect(page.get_by_role("link", name="Way back 00")).to_be_visible()
    expect(page.get_by_text("30 webhooks")).to_be_visible()
    page.evaluate("scrollTo(0, 700)")
    expect(page.get_by_role("link", name="Way back 15")).to_be_visible()
    page.get_by_role("link", name="Way back 15").click()
    expect(page.get_by_role("heading", name="Way back 15")).to_be_visible()
    page.locator(".crumbs").get_by_role("link", name="Webhooks").click()
    expect(page.get_by_text("30 webhooks")).to_be_visible()
    assert "q=Way" in page.url
    assert "sort=name" in page.url
    page.wait_for_function("scrollY > 600")
    assert made


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_the_view_of_a_queue_is_accessible(
    theme: str, size: str, open_page: Callable[..., Page], site: Site, receiver: Receiver
) -> None:
    id_ = broken(site, receiver, f"Looked at {theme} {size}")
    viewport = DESKTOP if size == "desktop" else PHONE
    page = sign_in(open_page, site, color_scheme=theme, viewport=viewport)
    go(page, f"/webhooks/{id_}")
    expect(page.get_by_role("region", name="Queue")).to_contain_text("Queued 7")
    expect(page.locator("tr, li").filter(has_text="500").first).to_be_attached()
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"queue-{size}-{theme}.png")
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("button", name="More actions").click()
    page.screenshot(path=SCREENSHOTS / f"queue-menu-{size}-{theme}.png")
    assert violations(page) == []
