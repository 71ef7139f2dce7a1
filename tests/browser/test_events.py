"""Events with their outcome: found by type, payload, key and state, and followed to their deliveries."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import DESKTOP, PHONE, go, sign_in
from tests.browser.site import Receiver, Site, until
from tests.browser.test_views import SCREENSHOTS, settle, violations

ONCE = {"schedule_s": [0], "jitter_ratio": 0}


@pytest.fixture(scope="module")
def events(site: Site) -> Iterator[list[str]]:
    """Ids of four events of ``found.*``: two failed at one of two webhooks, one delivered, one without deliveries."""
    with Receiver() as good, Receiver() as bad:
        bad.status = 422
        site.create(good.url, name="Good", event_types=["found.*"])
        site.create(bad.url, name="Bad", event_types=["found.order.*"], retry=ONCE)
        wanted = [("found.order.paid", "customer-17"), ("found.order.sent", None), ("found.user", None)]
        ids = [
            site.call("POST", "events", {"type": type_, "payload": {"n": f"needle-{n}"}, "order_key": key})["id"]
            for n, (type_, key) in enumerate(wanted)
        ]
        ids.append(site.call("POST", "events", {"type": "lonely", "payload": {}, "labels": {"team": "none"}})["id"])
        until(lambda: all(not counts(site, id_)["pending"] for id_ in ids))
        yield ids


def counts(site: Site, event_id: str) -> dict[str, Any]:
    found: dict[str, Any] = site.call("GET", f"events/{event_id}")["deliveries"]
    return found


def row(page: Page, event_id: str) -> Any:
    return page.locator(f'[data-event="{event_id}"]')


def shown(page: Page) -> Any:
    return page.get_by_role("region", name="List of events").locator("[data-event]")


@pytest.mark.parametrize(("theme", "size"), [("dark", DESKTOP), ("light", DESKTOP), ("dark", PHONE), ("light", PHONE)])
def test_events_and_their_outcomes_are_accessible_and_fit(
    theme: str, size: dict[str, int], open_page: Callable[..., Page], site: Site, events: list[str]
) -> None:
    page = sign_in(open_page, site, viewport=size, color_scheme=theme, reduced_motion="reduce")
    SCREENSHOTS.mkdir(exist_ok=True)
    go(page, "/events?type=found.*")
    expect(shown(page)).to_have_count(3)
    settle(page)
    page.screenshot(path=SCREENSHOTS / f"events-found-{theme}-{size['width']}.png", full_page=True)
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    # The list comes first, the form when it is asked for.
    expect(page.get_by_label("Payload, JSON")).to_have_count(0)
    page.get_by_role("button", name="Post a test event").click()
    expect(page.get_by_label("Payload, JSON")).to_be_visible()
    assert violations(page) == []
    go(page, f"/events/{events[0]}")
    expect(page.get_by_role("heading", name="found.order.paid")).to_be_visible()
    settle(page)
    page.screenshot(path=SCREENSHOTS / f"event-outcome-{theme}-{size['width']}.png", full_page=True)
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_an_event_that_is_being_sent_says_so(page: Page, site: Site, events: list[str]) -> None:
    """Its fan-out takes more webhooks than a test makes, so the answers are changed on their way."""
    is_running = True

    def answer(route: Route) -> None:
        response = route.fetch()
        body = response.json()
        for event in body.get("items", [body]):
            if event["id"] == events[3] and is_running:
                event["fan_out"] = "running"
        route.fulfill(response=response, json=body)

    page.route(re.compile(r"/api/v1/events[?/]"), answer)
    go(page, "/events?type=lonely")
    expect(row(page, events[3]).get_by_text("Being sent to its webhooks")).to_be_visible()
    expect(row(page, events[3]).get_by_text("No deliveries")).to_have_count(0)
    row(page, events[3]).get_by_role("link", name="lonely").click()
    deliveries = page.get_by_role("region", name="Deliveries")
    expect(deliveries.get_by_text("Being sent to its webhooks")).to_be_visible()
    is_running = False
    # By itself.
    expect(deliveries.get_by_text("No webhook subscribes to this type")).to_be_visible()
    expect(page.get_by_text("Being sent to its webhooks")).to_have_count(0)


def test_an_outcome_leads_to_its_deliveries(page: Page, events: list[str]) -> None:
    go(page, "/events?type=found.*")
    expect(row(page, events[0]).get_by_role("link", name="1 failed")).to_be_visible()
    expect(row(page, events[2]).get_by_role("link", name="1 delivered")).to_be_visible()
    row(page, events[0]).get_by_role("link", name="1 failed").click()
    expect(page.get_by_role("heading", name="Deliveries", exact=True)).to_be_visible()
    deliveries = page.get_by_role("region", name="List of deliveries").locator("[data-delivery]")
    expect(deliveries).to_have_count(1)
    expect(deliveries).to_contain_text("found.order.paid to Bad")
    expect(page.get_by_label("Event id")).to_have_value(events[0])


def test_events_are_found_by_outcome_payload_key_label_and_id(page: Page, events: list[str]) -> None:
    go(page, "/events")
    expect(row(page, events[3]).get_by_text("No deliveries")).to_be_visible()
    page.get_by_label("Outcome").select_option("failed")
    expect(row(page, events[2])).to_have_count(0)
    expect(row(page, events[1])).to_be_visible()
    page.get_by_label("Text in the payload").fill("needle-1")
    expect(shown(page)).to_have_count(1)
    expect(row(page, events[1])).to_be_visible()
    expect(page.get_by_text("Those over 64 KiB are left out.")).to_be_visible()
    assert parse_qs(page.url.partition("?")[2]) == {"state": ["failed"], "q": ["needle-1"]}
    page.reload()
    expect(row(page, events[1])).to_be_visible()
    expect(shown(page)).to_have_count(1)
    page.get_by_label("Outcome").select_option("")
    page.get_by_label("Text in the payload").fill("")
    for label, text, found in (
        ("Order key", "customer-17", events[0]),
        ("Label:", "team=none", events[3]),
        ("Event id", events[2], events[2]),
    ):
        page.get_by_label(label).fill(text)
        expect(row(page, found)).to_be_visible()
        expect(shown(page)).to_have_count(1)
        page.get_by_label(label).fill("")
    page.get_by_label("Event id").fill("not an id")
    expect(page.get_by_label("Event id")).to_have_attribute("aria-invalid", "true")


def test_events_are_walked_and_opened_by_keyboard(page: Page, events: list[str]) -> None:
    go(page, "/events?type=found.*")
    expect(shown(page)).to_have_count(3)
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="found.order.sent")).to_be_visible()


def test_an_id_is_copied_whole(open_page: Callable[..., Page], site: Site, events: list[str]) -> None:
    page = sign_in(open_page, site, permissions=["clipboard-read", "clipboard-write"])
    go(page, "/events?type=found.*")
    row(page, events[1]).get_by_role("button", name="Copy the id").click()
    expect(row(page, events[1]).get_by_text("Copied", exact=True)).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == events[1]


def test_events_are_exported_with_their_outcomes(page: Page, events: list[str]) -> None:
    go(page, "/events?type=found.*")
    expect(shown(page)).to_have_count(3)
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("dialog").get_by_role("button", name="Download").click()
    table = list(csv.DictReader(io.StringIO(download.value.path().read_text(), newline="")))
    assert [(one["id"], one["failed"], one["delivered"]) for one in table] == [
        (events[2], "0", "1"),
        (events[1], "1", "1"),
        (events[0], "1", "1"),
    ]


def test_a_payload_is_shown_formatted_and_as_it_was_posted(page: Page, site: Site) -> None:
    posted = '{"amount": 19.90,  "payload": {"a":[1, "}"]}, "a": 1, "a": 2}'
    headers = {"Authorization": f"Bearer {site.token}", "Content-Type": "application/json"}
    body = f'{{"type": "raw.now", "labels": {{"payload": "x"}}, "payload": {posted}}}'
    answer = httpx.post(f"{site.base}/api/v1/events", content=body, headers=headers, timeout=30)
    go(page, f"/events/{answer.json()['id']}")
    payload = page.get_by_role("region", name="Payload")
    expect(payload.locator("pre")).to_contain_text('"amount": 19.90,')
    assert payload.locator("pre").text_content().splitlines() == [
        "{",
        '  "amount": 19.90,',
        '  "payload": {',
        '    "a": [',
        "      1,",
        '      "}"',
        "    ]",
        "  },",
        '  "a": 1,',
        '  "a": 2',
        "}",
    ]
    payload.get_by_role("button", name="As posted").click()
    expect(payload.locator("pre")).to_have_text(posted)
    assert payload.locator("pre").text_content() == posted
