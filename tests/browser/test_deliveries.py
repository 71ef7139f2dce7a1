"""Deliveries over all webhooks: found, ticked, retried together, and taken away as a file."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import DESKTOP, PHONE, go, sign_in
from tests.browser.site import Receiver, Site, until
from tests.browser.test_views import SCREENSHOTS, settle, violations

ONCE = {"schedule_s": [0], "jitter_ratio": 0}
FORMULA = "=HYPERLINK(1)"


@pytest.fixture(scope="module")
def failing(site: Site) -> Iterator[tuple[Receiver, Receiver]]:
    """Two receivers, one of them behind a webhook with a hostile name, with three failed deliveries each."""
    with Receiver() as one, Receiver() as other:
        for receiver, name in ((one, "Bulk, north"), (other, FORMULA)):
            receiver.status = 422
            site.create(receiver.url, name=name, event_types=["bulk.*"], retry=ONCE)
        for n in range(3):
            site.call("POST", "events", {"type": "bulk.sent", "payload": {"n": n}})
        until(lambda: len(listed(site, "state=failed")) == 6)
        yield one, other


def listed(site: Site, query: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = site.call("GET", f"deliveries?event_type=bulk.*&limit=200&{query}")["items"]
    return rows


def query_of(page: Page) -> dict[str, list[str]]:
    return parse_qs(page.url.partition("?")[2])


def rows(page: Page) -> Any:
    return page.get_by_role("region", name="List of deliveries").locator("[data-delivery]")


def open_list(page: Page, query: str) -> None:
    go(page, f"/deliveries?type=bulk.*&{query}")
    expect(page.get_by_role("heading", name="Deliveries", exact=True)).to_be_visible()


@pytest.mark.parametrize(("theme", "size"), [("dark", DESKTOP), ("light", DESKTOP), ("dark", PHONE), ("light", PHONE)])
def test_the_list_and_an_open_delivery_are_accessible_and_fit(
    theme: str, size: dict[str, int], open_page: Callable[..., Page], site: Site, failing: object
) -> None:
    page = sign_in(open_page, site, viewport=size, color_scheme=theme, reduced_motion="reduce")
    SCREENSHOTS.mkdir(exist_ok=True)
    open_list(page, "state=failed")
    expect(rows(page)).to_have_count(6)
    settle(page)
    page.screenshot(path=SCREENSHOTS / f"deliveries-{theme}-{size['width']}.png", full_page=True)
    assert violations(page) == []
    page.get_by_role("button", name="Attempts of bulk.sent").first.click()
    expect(page.get_by_text("thank you").first).to_be_visible()
    settle(page)
    page.screenshot(path=SCREENSHOTS / f"deliveries-open-{theme}-{size['width']}.png", full_page=True)
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    page.get_by_role("button", name="Retry 6 matching…").click()
    expect(page.get_by_role("button", name="Retry 6 deliveries")).to_be_visible()
    page.screenshot(path=SCREENSHOTS / f"deliveries-bulk-{theme}-{size['width']}.png")
    assert violations(page) == []


def test_filters_stand_in_the_address_and_survive_a_reload(page: Page, failing: object) -> None:
    open_list(page, "state=failed")
    expect(rows(page)).to_have_count(6)
    page.get_by_label("Webhook, by name").fill("Bulk, north")
    expect(rows(page)).to_have_count(3)
    page.get_by_label("Error").select_option("status")
    page.get_by_role("button", name="Last hour").click()
    assert query_of(page) | {"webhook": []} == {
        "type": ["bulk.*"],
        "state": ["failed"],
        "error": ["status"],
        "range": ["1h"],
        "webhook": [],
    }
    page.reload()
    expect(rows(page)).to_have_count(3)
    expect(page.get_by_role("button", name="Webhook: Bulk, north")).to_be_visible()
    expect(page.get_by_label("Event type, or a prefix")).to_have_value("bulk.*")
    page.get_by_label("State").select_option("delivered")
    expect(page.get_by_text("No matching deliveries")).to_be_visible()
    page.get_by_role("button", name="Webhook: Bulk, north").click()
    page.get_by_label("State").select_option("any")
    expect(rows(page)).to_have_count(6)


def test_rows_are_walked_ticked_and_opened_by_keyboard(page: Page, site: Site, failing: object) -> None:
    page.keyboard.press("g")
    page.keyboard.press("d")
    expect(page.get_by_role("heading", name="Deliveries", exact=True)).to_be_focused()
    open_list(page, "state=failed")
    expect(rows(page)).to_have_count(6)
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.get_by_role("button", name="Retry 1…")).to_be_visible()
    page.keyboard.press("Enter")
    second = listed(site, "state=failed")[1]["id"]
    assert query_of(page)["open"] == [second]
    expect(rows(page).nth(1).get_by_text("thank you")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_text("thank you")).to_have_count(0)
    page.keyboard.press("/")
    expect(page.get_by_label("Event type, or a prefix")).to_be_focused()


def test_an_open_delivery_is_found_by_its_address(page: Page, site: Site, failing: object) -> None:
    chosen = listed(site, "state=failed")[3]["id"]
    open_list(page, f"state=failed&open={chosen}")
    expect(page.locator(f'[data-delivery="{chosen}"]').get_by_text("thank you")).to_be_visible()


def downloaded(page: Page, format_: str) -> str:
    page.get_by_role("button", name="Export").click()
    dialog = page.get_by_role("dialog", name="Export deliveries")
    dialog.get_by_label("Format").select_option(format_)
    with page.expect_download() as download:
        dialog.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename.endswith(f".{format_}")
    path: Path = download.value.path()
    return path.read_bytes().decode()


def test_what_the_list_shows_is_exported_with_its_filters(page: Page, site: Site, failing: object) -> None:
    open_list(page, "state=failed")
    expect(rows(page)).to_have_count(6)
    text = downloaded(page, "csv")
    expect(page.get_by_text("6 rows exported.")).to_be_visible()
    assert violations(page) == []
    table = list(csv.DictReader(io.StringIO(text, newline="")))
    expected = listed(site, "state=failed")
    assert [row["id"] for row in table] == [row["id"] for row in expected]
    # What a spreadsheet would run is a text there.
    assert {row["webhook_name"] for row in table} == {"Bulk, north", f"'{FORMULA}"}
    assert text.count("\r\n") == text.count("\n") == 7
    page.keyboard.press("Escape")
    lines = [json.loads(line) for line in downloaded(page, "ndjson").splitlines()]
    assert lines == expected


def test_an_export_is_read_page_by_page_and_says_that_it_was_cut(page: Page, site: Site, failing: object) -> None:
    (row, *_) = listed(site, "state=failed")
    asked: list[str] = []

    def answer(route: Route) -> None:
        asked.append(route.request.url)
        items = [row | {"id": f"{len(asked)}-{n}"} for n in range(200)]
        route.fulfill(json={"items": items, "next_cursor": f"c{len(asked)}"})

    open_list(page, "state=failed")
    expect(rows(page)).to_have_count(6)
    page.route(re.compile(r"/api/v1/deliveries\?.*limit=200"), answer)
    text = downloaded(page, "ndjson")
    expect(page.get_by_text("Cut: the newest 10,000 rows exported")).to_be_visible()
    assert (len(asked), len(text.splitlines())) == (50, 10_000)
    assert "cursor=c1" in asked[1]
    assert all("state=failed" in url for url in asked)


def test_attempts_of_a_webhook_are_exported(page: Page, site: Site, failing: object) -> None:
    (row, *_) = listed(site, "state=failed")
    go(page, f"/webhooks/{row['webhook_id']}")
    page.get_by_role("region", name="Attempts").get_by_role("button", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("dialog", name="Export attempts").get_by_role("button", name="Download").click()
    table = list(csv.DictReader(io.StringIO(download.value.path().read_text(), newline="")))
    assert [(one["status_code"], one["response_body"]) for one in table] == [("422", "thank you")] * 3


def test_ticked_rows_are_retried_and_no_others(page: Page, site: Site, failing: tuple[Receiver, Receiver]) -> None:
    open_list(page, "state=failed")
    expect(rows(page)).to_have_count(6)
    ids = [row["id"] for row in listed(site, "state=failed")]
    for n in (0, 4):
        rows(page).nth(n).get_by_role("checkbox").check()
    page.get_by_role("button", name="Retry 2…").click()
    page.get_by_role("button", name="Retry 2 deliveries").click()
    expect(page.get_by_role("dialog").get_by_text("Done.")).to_be_visible()
    page.get_by_role("dialog").get_by_role("button", name="Close").last.click()
    tried = until(lambda: {row["id"] for row in listed(site, "state=failed") if row["attempts"] == 2})
    until(lambda: {row["id"] for row in listed(site, "state=failed") if row["attempts"] == 2} == {ids[0], ids[4]})
    assert tried <= {ids[0], ids[4]}


def test_bulk_work_whose_answer_is_lost_is_started_once(page: Page, site: Site, failing: object) -> None:
    keys: list[str | None] = []

    def lose_the_first(route: Route) -> None:
        if (route.request.post_data_json or {}).get("dry_run"):
            route.continue_()
            return
        keys.append(route.request.headers.get("idempotency-key"))
        if len(keys) > 1:
            route.continue_()
            return
        route.fetch()
        route.abort()

    before = len(site.call("GET", "jobs?limit=200")["items"])
    page.route("**/deliveries/bulk", lose_the_first)
    open_list(page, "state=failed")
    page.get_by_role("button", name="Retry 6 matching…").click()
    dialog = page.get_by_role("dialog", name="Retry deliveries")
    dialog.get_by_role("button", name="Retry 6 deliveries").click()
    expect(dialog.get_by_role("alert")).to_be_visible()
    dialog.get_by_role("button", name="Retry 6 deliveries").click()
    expect(dialog.get_by_text("Done.")).to_be_visible()
    assert len(keys) == 2
    assert keys[0] == keys[1] is not None
    assert len(site.call("GET", "jobs?limit=200")["items"]) == before + 1


def test_a_running_job_is_stopped_where_it_was_started(page: Page, failing: object) -> None:
    job: dict[str, Any] = {
        "id": "019cad3b-3c00-7379-9dbb-6b708f9e0caa",
        "kind": "bulk_retry",
        "state": "running",
        "parameters": {"filter": {"state": "failed"}},
        "done": 2,
        "total": 6,
        "per_s": 1.0,
        "error": None,
        "created_by": "ada",
        "created_at": "2026-03-02T12:00:00Z",
        "finished_at": None,
    }
    stopped: list[str] = []

    def answer(route: Route) -> None:
        url = route.request.url
        if url.endswith("/bulk"):
            is_count = bool((route.request.post_data_json or {}).get("dry_run"))
            route.fulfill(json={"count": 6, "complete": True} if is_count else job)
            return
        if url.endswith("/cancel"):
            stopped.append(url)
        route.fulfill(json=job | ({"state": "cancelled"} if stopped else {}))

    page.route(re.compile(r"/api/v1/(deliveries/bulk|jobs/.*)"), answer)
    open_list(page, "state=failed")
    page.get_by_role("button", name="Retry 6 matching…").click()
    page.get_by_role("button", name="Retry 6 deliveries").click()
    dialog = page.get_by_role("dialog", name="Retry deliveries")
    expect(dialog.get_by_text("2 of 6 deliveries")).to_be_visible()
    expect(dialog.get_by_role("progressbar")).to_have_attribute("value", "2")
    assert violations(page) == []
    dialog.get_by_role("button", name="Stop the job").click()
    expect(dialog.get_by_text("Stopped; the rest stays as it is.")).to_be_visible()
    assert [url.split("/api/v1/")[1] for url in stopped] == [f"jobs/{job['id']}/cancel"]


def test_the_last_hours_failures_of_all_webhooks_are_retried_in_four_clicks(
    page: Page, site: Site, failing: tuple[Receiver, Receiver]
) -> None:
    for receiver in failing:
        receiver.status = 200
    page.evaluate("window.clicks = 0; addEventListener('click', event => { window.clicks += event.isTrusted })")
    page.get_by_role("link", name="Failed deliveries").first.click()
    page.get_by_role("button", name=re.compile("^Retry .*matching…")).click()
    page.get_by_role("button", name=re.compile(r"^Retry \d+ deliver")).click()
    expect(page.get_by_role("dialog").get_by_text("Done.")).to_be_visible()
    assert page.evaluate("window.clicks") <= 4
    assert query_of(page)["range"] == ["1h"]
    until(lambda: len(listed(site, "state=delivered")) == 6)
    until(lambda: listed(site, "state=failed") == [])


def test_a_viewer_sees_deliveries_and_changes_none(open_page: Callable[..., Page], site: Site, failing: object) -> None:
    page = sign_in(open_page, site, token=site.issue("viewer"))
    open_list(page, "state=any")
    expect(rows(page)).to_have_count(6)
    expect(page.get_by_role("checkbox")).to_have_count(0)
    expect(page.get_by_role("button", name=re.compile("^Retry"))).to_have_count(0)
    expect(page.get_by_role("button", name="Export")).to_be_visible()
