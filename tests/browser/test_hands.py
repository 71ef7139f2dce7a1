"""Working with it: the keyboard, what a role is offered, editing while things change, themes, and a silent feed."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable

from playwright.sync_api import Page, WebSocketRoute, expect

from tests.browser.conftest import choose, go, sign_in
from tests.browser.site import Receiver, Site


def test_the_list_of_webhooks_works_by_keyboard_alone(page: Page, site: Site, receiver: Receiver) -> None:
    for name in ("Keys, first", "Keys, second", "Keys, third"):
        site.create(receiver.url, name=name, event_types=["keys.*"])
    page.keyboard.press("g")
    page.keyboard.press("w")
    expect(page.get_by_role("heading", name="Webhooks", exact=True)).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("keys,")
    rows = page.locator("tr[data-row]")
    expect(rows).to_have_count(3)
    page.get_by_label("Sort").select_option("name")
    page.get_by_role("heading", name="Webhooks", exact=True).focus()
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator("tr.current")).to_contain_text("Keys, second")
    page.keyboard.press("k")
    expect(page.locator("tr.current")).to_contain_text("Keys, first")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Keys, first")).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("link", name="Webhooks", exact=True).first.press("Enter")
    page.get_by_role("link", name="New webhook").press("Enter")
    expect(page.get_by_role("heading", name="New webhook")).to_be_focused()


def test_alerts_are_acknowledged_one_or_many_and_resolved_by_keyboard(
    page: Page, site: Site, receiver: Receiver
) -> None:
    receiver.status = 410
    for name in ("Lost, first", "Lost, second", "Lost, third"):
        site.create(receiver.url, name=name, event_types=["lost.*"])
    site.call("POST", "events", {"type": "lost.all", "payload": {}})
    go(page, "/alerts?kind=disabled")
    lines = page.locator("[data-alert]").filter(has_text="Lost,")
    expect(lines).to_have_count(3, timeout=60_000)
    page.get_by_role("heading", name="Alerts", exact=True).focus()
    page.keyboard.press("j")
    page.keyboard.press("a")
    expect(page.get_by_label("Note")).to_be_focused()
    page.get_by_role("dialog").get_by_role("button", name="Acknowledge").press("Enter")
    expect(lines).to_have_count(2)

    for key in "kxjxa":
        page.keyboard.press(key)
    expect(page.get_by_role("dialog", name="Acknowledge 2 alerts")).to_be_visible()
    page.get_by_label("Acknowledge for").select_option("2 hours")
    page.get_by_role("dialog").get_by_role("button", name="Acknowledge").press("Enter")
    expect(lines).to_have_count(0)

    # Until the answer is there, the lines are those of the list before.
    with page.expect_response(lambda response: "state=acknowledged" in response.url):
        page.get_by_role("link", name="Acknowledged", exact=True).press("Enter")
    expect(lines).to_have_count(3)
    page.get_by_role("heading", name="Alerts", exact=True).focus()
    page.keyboard.press("j")
    page.keyboard.press("r")
    page.get_by_role("dialog").get_by_role("button", name="Resolve").press("Enter")
    expect(lines).to_have_count(2)


def test_what_a_role_may_not_do_is_not_offered(open_page: Callable[..., Page], site: Site, receiver: Receiver) -> None:
    webhook = site.create(receiver.url, name="Of all roles", event_types=["roles.*"])["id"]
    offers = {"viewer": set(), "operator": {"Pause", "Replay"}, "admin": {"Pause", "Replay", "Rotate secret", "Delete"}}
    for role, offered in offers.items():
        page = sign_in(open_page, site, token=site.issue(role))
        go(page, f"/webhooks/{webhook}")
        expect(page.get_by_role("heading", name="Of all roles")).to_be_visible()
        menu = page.get_by_role("button", name="More actions")
        expect(menu).to_have_count(int(role != "viewer"))
        if offered:
            menu.click()
        shown = {name for name in offers["admin"] if page.get_by_role("menuitem", name=name, exact=True).count()}
        assert shown == offered
        go(page, "/webhooks/new")
        expect(page.locator("h1")).to_have_text("New webhook" if role == "admin" else "Access denied")
        go(page, "/events")
        expect(page.get_by_role("button", name="Post a test event")).to_have_count(int(role == "admin"))
    page = open_page(f"{site.base}/#token={site.issue('publisher')}")
    expect(page.get_by_text("can only post events")).to_be_visible()


def test_a_link_with_a_token_asks_before_it_replaces_the_session(open_page: Callable[..., Page], site: Site) -> None:
    page = sign_in(open_page, site)
    asked = page.get_by_role("dialog", name="Replace the session?")
    own = page.get_by_role("button", name=re.compile("^Sign out "))
    before = own.get_attribute("title") or ""
    other = site.issue("viewer")
    for open_link in (lambda: go(page, f"token={other}"), lambda: page.goto(f"{site.base}/?again#token={other}")):
        open_link()
        expect(asked).to_contain_text("viewer")
        assert other not in page.url
        expect(own).to_have_attribute("title", before)
        asked.get_by_role("button", name="Cancel").click()
        expect(asked).to_have_count(0)
    page.reload()
    expect(own).to_have_attribute("title", before)
    go(page, f"token={site.issue('publisher')}")
    expect(page.get_by_text("The token of the link was not used")).to_have_count(2)
    expect(own).to_have_attribute("title", before)
    go(page, f"token={other}")
    asked.get_by_role("button", name=re.compile("^Sign in as ")).click()
    expect(own).to_have_attribute("title", re.compile(", viewer$"))
    page.reload()
    expect(own).to_have_attribute("title", re.compile(", viewer$"))


def test_a_link_with_a_made_up_token_cannot_reorder_the_question(open_page: Callable[..., Page], site: Site) -> None:
    page = sign_in(open_page, site)
    claims = {"sub": "ada\u202e\u2066x", "role": "admin", "exp": 4_102_444_800}
    go(page, f"token=e.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.e")
    asked = page.get_by_role("dialog", name="Replace the session?")
    expect(asked).to_contain_text("ada\ufffd\ufffdx")
    expect(asked).not_to_contain_text("\u202e")
    asked.get_by_role("button", name="Cancel").click()
    # A role that is none of ours, also where every object has a member of that name.
    claims["role"] = "constructor"
    go(page, f"token=e.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.e")
    expect(page.get_by_text("has no role that the dashboard supports")).to_have_count(2)


def test_live_feeds_and_cache_hits_are_shown_to_operators(open_page: Callable[..., Page], site: Site) -> None:
    for _ in range(3):
        site.call("GET", "dashboard/overview")
    for role, count in (("operator", 1), ("viewer", 0)):
        page = sign_in(open_page, site, token=site.issue(role))
        go(page, "/system")
        expect(page.get_by_role("heading", name="System" if count else "Access denied")).to_be_visible()
        hits = page.get_by_role("region", name="Cache hits by view and tier")
        expect(hits).to_have_count(count)
        if not count:
            continue
        heads = ["Cached view", "Reads", "Hits", "Memory", "Redis", "Stale", "Computed in"]
        expect(hits.get_by_role("columnheader")).to_have_text(heads)
        some, any_ = re.compile(r"^[\d.]*[1-9][\d.]*\s?%$"), re.compile(r"^[\d.]+\s?%$")
        overview = hits.get_by_role("row", name="overview").get_by_role("cell")
        # Read more than once within seconds, so memory answered some.
        texts = ["overview", re.compile(r"^[1-9]"), some, some, any_, any_, re.compile(r"\d")]
        expect(overview).to_have_text(texts)
        feeds = page.get_by_role("region", name=re.compile(r"^\d+ live feeds? by user$"))
        own = feeds.get_by_role("row", name=f"the-{role}").get_by_role("cell")
        expect(own).to_have_text([f"the-{role}", re.compile(r"^[1-9]\d*$"), re.compile(r"\S")])
        since = {user["subject"]: user["since_at"] for user in site.call("GET", "system/stats")["users"]}
        expect(own.locator("time")).to_have_attribute("datetime", since[f"the-{role}"])


def test_nothing_changes_under_the_hands_of_who_edits(page: Page, site: Site, receiver: Receiver) -> None:
    webhook = site.create(receiver.url, name="Edited", event_types=["edited.*"])["id"]
    go(page, f"/webhooks/{webhook}/edit")
    page.get_by_label("Name").fill("Half a na")
    site.call("POST", f"webhooks/{webhook}/pause")
    with page.expect_response(re.compile("/api/v1/webhooks/")) as answer:
        page.get_by_role("button", name="Save changes").click()
    expect(page.get_by_label("Name")).to_have_value("Half a na")
    if answer.value.status == 412:
        page.get_by_role("button", name="Reload").click()
        expect(page.get_by_label("Name")).to_have_value("Edited")


def test_a_webhook_is_changed_paused_rotated_and_deleted(page: Page, site: Site, receiver: Receiver) -> None:
    webhook = site.create(receiver.url, name="Short (lived)", event_types=["short.*"], labels={"team": "a"})["id"]
    go(page, f"/webhooks/{webhook}/edit")
    page.get_by_text("More: headers").click()
    page.get_by_role("button", name="Add label").click()
    page.get_by_label("Name of label 1").fill("region")
    page.get_by_label("Value of label region").fill("eu")
    page.get_by_role("button", name="Save changes").click()
    expect(page.get_by_text("region=eu")).to_be_visible()
    assert site.call("GET", f"webhooks/{webhook}")["labels"] == {"region": "eu"}
    choose(page, "Pause")
    expect(page.locator(".verdict")).to_contain_text("Paused. New deliveries queue up.")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".verdict")).not_to_contain_text("Paused")
    choose(page, "Rotate secret")
    page.get_by_role("dialog").get_by_role("button", name="Rotate").click()
    expect(page.get_by_role("textbox", name="Signing secret")).to_have_value(re.compile("^whsec_"))
    page.get_by_role("button", name="I've saved it").click()
    choose(page, "Replay")
    page.get_by_label("cancelled").check()
    page.get_by_role("button", name="Count", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text("No delivery matches.")
    page.keyboard.press("Escape")
    choose(page, "Delete")
    page.get_by_role("dialog").get_by_role("textbox").fill("Short (lived)")
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="Webhooks", exact=True)).to_be_visible()
    assert site.call("GET", "webhooks?q=Short")["items"] == []


def test_a_silence_tells_beforehand_what_it_covers(page: Page, site: Site, receiver: Receiver) -> None:
    site.create(receiver.url, name="Quiet", event_types=["quiet.*"], labels={"team": "night"})
    go(page, "/silences/new")
    page.get_by_label("Reason").fill("Planned upgrade")
    page.get_by_label("Label of the webhook").fill("team=night")
    expect(page.get_by_text("1 webhook, 0 open alerts.")).to_be_visible()
    page.get_by_role("button", name="Silence", exact=True).click()
    expect(page.get_by_role("heading", name="Silences")).to_be_visible()
    page.get_by_role("button", name="End: Planned upgrade").click()
    page.get_by_role("button", name="End silence").click()
    expect(page.get_by_role("button", name="End: Planned upgrade")).to_have_count(0)


def test_the_theme_follows_the_system_until_one_is_chosen(open_page: Callable[..., Page], site: Site) -> None:
    page = sign_in(open_page, site, color_scheme="light")
    root = page.locator("html")
    expect(root).to_have_attribute("data-theme", "light")
    page.emulate_media(color_scheme="dark")
    expect(root).to_have_attribute("data-theme", "dark")
    page.get_by_role("button", name="Theme: system").click()
    page.get_by_role("button", name="Theme: dark").click()
    expect(root).to_have_attribute("data-theme", "light")
    page.reload()
    expect(root).to_have_attribute("data-theme", "light")


def test_a_silent_feed_is_said_and_polling_takes_its_place(open_page: Callable[..., Page], site: Site) -> None:
    page = open_page(site.base)

    def say_nothing(socket: WebSocketRoute) -> None:
        socket.on_message(lambda _: None)

    page.route_web_socket(re.compile("/ws/dashboard"), say_nothing)
    page.clock.install()
    page.goto(f"{site.base}/#token={site.token}")
    page.clock.run_for(5_000)
    expect(page.locator(".link-state")).to_have_attribute("data-mode", "polling")
    expect(page.get_by_role("region", name="Open alerts")).to_be_visible()
    expect(page.locator("#stale")).to_have_count(0)
    page.clock.run_for(40_000)
    expect(page.locator("#stale")).to_contain_text("The last live message came")


def test_a_socket_closed_for_its_token_asks_for_another(open_page: Callable[..., Page], site: Site) -> None:
    page = open_page(site.base)
    page.route_web_socket(re.compile("/ws/dashboard"), lambda socket: socket.close(code=4401, reason="invalid_token"))
    page.goto(f"{site.base}/#token={site.token}")
    ended = page.get_by_role("dialog", name="Your session has ended")
    expect(ended.get_by_label("Token")).to_be_focused()
    expect(ended.get_by_text("Your token has expired or was revoked")).to_be_visible()


def test_a_text_cannot_reorder_the_page(page: Page, site: Site) -> None:
    event = {"type": "safe.text", "payload": {"to": "pay\u202epal"}}
    go(page, f"/events/{site.call('POST', 'events', event)['id']}")
    expect(page.locator("pre.body")).to_contain_text("pay\ufffdpal")
