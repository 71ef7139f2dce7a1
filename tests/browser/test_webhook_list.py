"""The list of webhooks: found, sorted and paged by the server; opened, ticked and changed by hand or by keyboard."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE, go, sign_in
from tests.browser.seed import report
from tests.browser.site import Receiver, Site

ROWS = "tr[data-row]"


@pytest.fixture
def shop(page: Page, site: Site, receiver: Receiver) -> Iterator[dict[str, str]]:
    """Three webhooks of this test alone, which the label ``list=<test>`` finds."""
    made = {}
    for name, owner in (("Aardvark", "zoo"), ("Badger", "zoo"), ("Cicada", "field")):
        labels = {"list": "shop", "owner": owner}
        made[name] = site.create(receiver.url, name=name, labels=labels, event_types=["list.*"])["id"]
    report(site, made["Badger"], 503, 10)
    report(site, made["Cicada"], 200, 10)
    yield made
    for id_ in made.values():
        if site.call("GET", "webhooks?label=list=shop&limit=200")["items"]:
            site.call("DELETE", f"webhooks/{id_}")


def test_the_address_holds_every_filter_and_the_server_finds(page: Page, shop: dict[str, str]) -> None:
    go(page, "/webhooks?label=list=shop")
    expect(page.locator(ROWS)).to_have_count(3)
    expect(page.locator(ROWS).first).to_contain_text("Badger")
    page.get_by_role("button", name="Webhook", exact=True).click()
    expect(page.locator("th[aria-sort]")).to_have_text(re.compile("Webhook"))
    expect(page.locator("th[aria-sort]")).to_have_attribute("aria-sort", "ascending")
    expect(page.locator(f"{ROWS} .cell-main a")).to_have_text(["Aardvark", "Badger", "Cicada"])
    page.get_by_role("button", name="Webhook", exact=True).click()
    expect(page.locator("th[aria-sort]")).to_have_attribute("aria-sort", "descending")
    expect(page.locator(ROWS).first).to_contain_text("Cicada")
    page.get_by_role("searchbox").fill("zoo")
    expect(page.locator(ROWS)).to_have_count(2)
    page.get_by_label("Status").select_option("unavailable")
    expect(page.locator(ROWS)).to_have_count(1)
    page.reload()
    expect(page.get_by_role("searchbox")).to_have_value("zoo")
    expect(page.locator(ROWS)).to_have_count(1)
    page.get_by_role("searchbox").fill("nobody has this")
    expect(page.get_by_text("No webhook matches")).to_be_visible()
    page.locator(".empty").get_by_role("link", name="Clear filters").click()
    expect(page.get_by_role("searchbox")).to_have_value("")
    expect(page.locator(ROWS).first).to_be_visible()
    assert page.title().endswith("Webhooks · Monitor")


def test_a_count_of_the_overview_leads_to_as_many_rows(page: Page, shop: dict[str, str]) -> None:
    go(page, "/")
    for status in ("unavailable", "unknown", "healthy"):
        link = page.locator(".health-counts a").filter(has_text=status)
        # Counts are some seconds old.
        expect(link.locator("b")).not_to_have_text("0")
        count = int(link.locator("b").inner_text())
        link.click()
        expect(page.locator(".list-head")).to_have_text(re.compile(rf"^\s*{count} webhooks? found"))
        expect(page.locator(ROWS)).to_have_count(count)
        page.go_back()


def test_rows_open_by_click_and_in_a_new_tab(page: Page, shop: dict[str, str]) -> None:
    go(page, "/webhooks?label=list=shop&sort=name")
    row = page.locator(ROWS).first
    for modifiers, button in ((["Control"], "left"), ([], "middle")):
        with page.context.expect_page() as opened:
            row.locator(".cell-why").click(modifiers=modifiers, button=button)
        assert opened.value.url.endswith(f"#/webhooks/{shop['Aardvark']}")
        opened.value.close()
    expect(row.get_by_role("link", name="Aardvark")).to_have_attribute("href", f"#/webhooks/{shop['Aardvark']}")
    row.locator(".cell-why").click()
    expect(page.get_by_role("heading", name="Aardvark")).to_be_visible()


@pytest.mark.parametrize("key", ["Enter", "ArrowDown"])
def test_the_search_leads_into_the_list_by_keyboard(page: Page, shop: dict[str, str], key: str) -> None:
    go(page, "/webhooks?label=list=shop&sort=name")
    expect(page.locator(ROWS)).to_have_count(3)
    page.get_by_role("searchbox").press(key)
    expect(page.locator("tr.current")).to_contain_text("Aardvark")
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press(" ")
    expect(page.locator(".bulk-bar")).to_contain_text("2 webhooks selected")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Badger")).to_be_visible()


def test_many_are_paused_labelled_and_deleted_and_failures_are_named(
    page: Page, site: Site, shop: dict[str, str]
) -> None:
    go(page, "/webhooks?label=list=shop&sort=name")
    expect(page.locator(ROWS)).to_have_count(3)
    bar, dialog = page.locator(".bulk-bar"), page.get_by_role("dialog")

    def do(verb: str, **fields: str) -> None:
        bar.get_by_role("button", name=verb, exact=True).click()
        for label, value in fields.items():
            dialog.get_by_label(label).fill(value)
        dialog.get_by_role("button", name=verb, exact=True).click()

    def tick_all() -> None:
        page.get_by_role("checkbox", name=re.compile("^Select the 3 rows")).check()

    tick_all()
    do("Pause")
    expect(dialog).to_contain_text("3 of 3 webhooks done")
    dialog.locator(".dialog-foot").get_by_role("button", name="Close").click()
    expect(bar).to_have_count(0)
    expect(page.locator(ROWS).first).to_contain_text("Paused")
    tick_all()
    do("Add label", Name="season", Value="winter")
    expect(dialog).to_contain_text("3 of 3 webhooks done")
    dialog.locator(".dialog-foot").get_by_role("button", name="Close").click()
    expect(page.locator(ROWS).first).to_contain_text("season=winter")
    assert site.call("GET", f"webhooks/{shop['Badger']}")["labels"]["owner"] == "zoo"

    tick_all()
    site.call("DELETE", f"webhooks/{shop['Cicada']}")
    bar.get_by_role("button", name="Delete", exact=True).click()
    dialog.get_by_label("Type").fill("delete 2")
    dialog.get_by_role("button", name="Delete", exact=True).click()
    assert site.call("GET", "webhooks?label=list=shop")["items"] != []
    dialog.get_by_label("Type").fill("delete 3")
    dialog.get_by_role("button", name="Delete", exact=True).click()
    expect(dialog).to_contain_text("2 of 3 webhooks done, 1 failed")
    expect(dialog.locator(".bad")).to_contain_text("Cicada")
    dialog.locator(".dialog-foot").get_by_role("button", name="Close").click()
    expect(page.get_by_text("No webhook matches")).to_be_visible()
    expect(bar).to_contain_text("1 webhook selected")


def test_a_viewer_has_nothing_to_tick(open_page: Callable[..., Page], site: Site, shop: dict[str, str]) -> None:
    page = sign_in(open_page, site, token=site.issue("viewer"))
    go(page, "/webhooks?label=list=shop")
    expect(page.locator(ROWS)).to_have_count(3)
    expect(page.locator(ROWS).get_by_role("checkbox")).to_have_count(0)
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.locator(".bulk-bar")).to_have_count(0)


def test_what_changes_is_seen_without_reading_the_list_again(
    page: Page, site: Site, receiver: Receiver, shop: dict[str, str]
) -> None:
    go(page, "/webhooks?label=list=shop&sort=name&size=50")
    expect(page.locator(ROWS).first).to_contain_text("Unknown")
    reads: list[str] = []
    page.on("request", lambda request: reads.append(request.url) if "dashboard/webhooks" in request.url else None)
    report(site, shop["Aardvark"], 503, 10)
    expect(page.locator(ROWS).first).to_contain_text("Unavailable")
    assert all("cursor" not in url for url in reads)


def test_on_a_phone_filters_take_no_room_until_asked_for(
    open_page: Callable[..., Page], site: Site, shop: dict[str, str]
) -> None:
    page = sign_in(open_page, site, viewport=PHONE)
    go(page, "/webhooks?label=list=shop")
    expect(page.locator(ROWS)).to_have_count(3)
    box = page.locator(".webhook-filters").bounding_box()
    assert box is not None
    assert box["height"] < PHONE["height"] / 10
    toggle = page.get_by_role("button", name="Filters (1)")
    expect(toggle).to_have_attribute("aria-expanded", "false")
    expect(page.get_by_label("Status")).to_be_hidden()
    toggle.click()
    expect(page.get_by_label("Status")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
