"""The live view, the system and the audit log: what the server stored, in both themes and on a phone."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import go, sign_in
from tests.browser.site import Receiver, Site, until
from tests.browser.test_again import LOOKS, look
from tests.browser.test_held import publish


def failing(site: Site, receiver: Receiver, type_: str) -> str:
    """Make a webhook that is degraded by now."""
    receiver.status = 500
    webhook: str = site.create(receiver.url, name=f"Failing {type_}", event_types=[type_])["id"]
    publish(site, type_)
    until(lambda: site.call("GET", f"webhooks/{webhook}")["health"]["status"] != "unknown")
    return webhook


@pytest.mark.parametrize(("theme", "size"), LOOKS, ids=str)
def test_a_new_tab_knows_what_happened_before_it(
    theme: str, size: dict[str, int], open_page: Callable[..., Page], site: Site, receiver: Receiver
) -> None:
    type_ = f"before.{theme}{size['width']}"
    webhook = failing(site, receiver, type_)
    page = sign_in(open_page, site, viewport=size, color_scheme=theme, reduced_motion="reduce")
    go(page, "/activity?kind=health")
    entry = page.get_by_role("listitem").filter(has_text=f"Failing {type_}").first
    expect(entry).to_contain_text("is degraded")
    expect(entry.get_by_role("link")).to_have_attribute("href", f"#/webhooks/{webhook}")
    look(page, "activity", theme)
    page.get_by_role("button", name="Alerts").click()
    expect(page).to_have_url(re.compile(r"kind=alert"))
    expect(page.get_by_role("listitem").filter(has_text="is degraded")).to_have_count(0)


def test_a_change_comes_by_itself_unless_the_list_is_paused(page: Page, site: Site, receiver: Receiver) -> None:
    go(page, "/activity?kind=health")
    expect(page.get_by_role("heading", name="Latest changes")).to_be_visible()
    failing(site, receiver, "comes.one")
    expect(page.get_by_text("Failing comes.one is degraded")).to_be_visible()
    page.keyboard.press("p")
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    failing(site, receiver, "comes.two")
    expect(page.get_by_role("button", name="Resume (1 new)")).to_be_visible()
    expect(page.get_by_text("Failing comes.two is degraded")).to_have_count(0)
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text("Failing comes.two is degraded")).to_be_visible()


@pytest.mark.parametrize(("theme", "size"), LOOKS, ids=str)
def test_the_system_view_says_what_monitor_runs_on(
    theme: str, size: dict[str, int], open_page: Callable[..., Page], site: Site
) -> None:
    page = sign_in(open_page, site, viewport=size, color_scheme=theme, reduced_motion="reduce")
    go(page, "/system")
    stats = site.call("GET", "system/stats")
    expect(page.get_by_role("region", name="The process that answers")).to_contain_text(stats["version"])
    database = page.get_by_role("region", name="Database", exact=True)
    expect(database).to_contain_text(stats["database"]["version"])
    expect(database.get_by_role("row").nth(1)).to_contain_text("up ")
    expect(page.get_by_role("region", name="Retention")).to_contain_text("Attempts")
    expect(page.get_by_role("region", name="Queue", exact=True)).to_contain_text("Delivery lag")
    expect(page.get_by_text("The page needs Chrome")).to_be_visible()
    look(page, "system", theme)


@pytest.mark.parametrize(("theme", "size"), LOOKS, ids=str)
def test_a_change_is_found_in_the_audit_log(
    theme: str, size: dict[str, int], open_page: Callable[..., Page], site: Site, receiver: Receiver
) -> None:
    name = f"Audited {theme}{size['width']}"
    webhook = site.create(receiver.url, name=name)["id"]
    site.call("PATCH", f"webhooks/{webhook}", {"description": "now with words"})
    page = sign_in(open_page, site, viewport=size, color_scheme=theme, reduced_motion="reduce")
    go(page, "/audit")
    page.get_by_label("Target").fill(webhook)
    rows = page.get_by_role("region", name="List of changes").get_by_role("list").get_by_role("listitem")
    expect(rows).to_have_count(2)
    rows.first.get_by_role("button", name="Changed members").click()
    members = page.get_by_role("region", name="Changed members")
    # The heads, and what was changed.
    expect(members.get_by_role("row")).to_have_count(2)
    expect(members.get_by_role("row", name="description")).to_contain_text("now with words")
    look(page, "audit", theme)
    page.get_by_label("What").select_option("silence.*")
    expect(page.get_by_text("No change matches")).to_be_visible()
    expect(page).to_have_url(re.compile(rf"target={webhook}.*action="))
    page.reload()
    expect(page.get_by_text("No change matches")).to_be_visible()
    page.get_by_role("button", name="Clear filters").click()
    expect(rows.first).to_be_visible()


def test_who_may_not_see_a_view_has_no_way_to_it(open_page: Callable[..., Page], site: Site) -> None:
    page = sign_in(open_page, site, token=site.issue("viewer"))
    nav = page.get_by_role("navigation", name="Views")
    expect(nav.get_by_role("link", name="Live", exact=True)).to_be_visible()
    expect(nav.get_by_role("link", name="Audit log")).to_have_count(0)
    expect(nav.get_by_role("link", name="System")).to_have_count(0)
    go(page, "/audit")
    expect(page.get_by_role("heading", name="Access denied")).to_be_visible()


def test_a_phone_reaches_every_view(open_page: Callable[..., Page], site: Site) -> None:
    page = sign_in(open_page, site, viewport={"width": 390, "height": 844})
    page.get_by_role("navigation", name="Views").get_by_role("link", name="More").click()
    expect(page.get_by_role("heading", name="More")).to_be_visible()
    main = page.get_by_role("main")
    for name in ("Live", "System", "Audit log", "Silences", "Jobs"):
        expect(main.get_by_role("link", name=name)).to_be_visible()
    look(page, "more", "dark")
    main.get_by_role("link", name="Audit log").click()
    expect(page.get_by_role("heading", name="Audit log")).to_be_visible()
