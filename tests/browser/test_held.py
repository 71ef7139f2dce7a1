"""What holds deliveries, and until when: said by the webhook, by its deliveries, and after a retry."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from monitor.domain.delivery.held import HeldReason
from tests.browser.conftest import go
from tests.browser.site import Receiver, Site, until

ONCE = {"schedule_s": [0], "jitter_ratio": 0}
SLOW = {"schedule_s": [0, 3600], "jitter_ratio": 0}
AN_HOUR = r"(1 h|5\d min)(?! \d)"
"""What is left of it in the page, in minutes that have begun."""
SAY = """async (of) => {
    const { held } = await import(document.querySelector("script[type=module]").src.replace("main.js", "held.js"));
    return held(of, Date.parse("2026-03-02T12:00:00Z"));
}"""


def publish(site: Site, type_: str, **members: Any) -> str:
    event: str = site.call("POST", "events", {"type": type_, "payload": {}, **members})["id"]
    return event


def delivery_of(site: Site, event: str) -> dict[str, Any]:
    [found] = site.call("GET", f"deliveries?event_id={event}")["items"]
    delivery: dict[str, Any] = found
    return delivery


def tried(site: Site, event: str) -> None:
    """Wait until the first attempt of the event's delivery is over."""
    until(lambda: (one := delivery_of(site, event))["attempts"] and not one["in_flight"])


def row_of(page: Page, event: str) -> Locator:
    go(page, f"/events/{event}")
    return page.get_by_role("region", name="Deliveries").get_by_role("listitem")


@pytest.mark.parametrize("reason", HeldReason)
def test_every_reason_has_words_and_its_time(page: Page, reason: HeldReason) -> None:
    words = page.evaluate(SAY, {"reason": reason, "until": None, "detail": None})
    assert words.startswith("Held: ")
    assert reason not in words.removeprefix("Held: ").split(" ")[0]
    assert "_" not in words
    waiting = page.evaluate(SAY, {"reason": reason, "until": "2026-03-02T12:05:00Z", "detail": None})
    ends = " until 2 Mar, 12:05" if reason is HeldReason.SILENCE else ", next try in 5 min"
    assert waiting == words + ends
    # What is over by the clock of the page is about to change.
    assert page.evaluate(SAY, {"reason": reason, "until": "2026-03-02T11:59:00Z"}) == words


def test_an_open_breaker_is_said_until_its_end_and_a_retry_goes_out_at_once(
    page: Page, site: Site, receiver: Receiver
) -> None:
    receiver.status = 500
    webhook = site.create(receiver.url, name="Broken", event_types=["broken.*"], retry=ONCE)["id"]
    for event in [publish(site, "broken.now") for _ in range(5)]:
        tried(site, event)
    go(page, f"/webhooks/{webhook}")
    expect(page.get_by_text(re.compile(r"^Held: circuit open, next try in \d+ s$"))).to_be_visible()
    row = row_of(page, publish(site, "broken.later"))
    expect(row).to_contain_text(re.compile(r"Held: circuit open, next try in \d+ s"))
    receiver.status = 200
    row.get_by_role("button", name="Retry now").click()
    expect(row).to_contain_text("Delivered")
    expect(row).not_to_contain_text("Held")
    go(page, f"/webhooks/{webhook}")
    expect(page.get_by_role("heading", name="Broken")).to_be_visible()
    expect(page.get_by_text(re.compile("^Held: "))).to_have_count(0)


def test_a_receiver_that_asked_for_a_pause_holds_a_retry_which_says_so(
    page: Page, site: Site, receiver: Receiver
) -> None:
    receiver.status, receiver.headers = 429, {"Retry-After": "3600"}
    webhook = site.create(receiver.url, name="Slower", event_types=["slower.*"], retry=SLOW)["id"]
    event = publish(site, "slower.now")
    tried(site, event)
    row = row_of(page, event)
    said = re.compile(rf"Held: receiver asked for a pause \(429\), next try in {AN_HOUR}")
    row.get_by_role("button", name="Retry now").click()
    expect(page.locator(".toast.ok")).to_contain_text(said)
    expect(row).to_contain_text(said)
    go(page, f"/webhooks/{webhook}")
    expect(page.get_by_role("main").get_by_text(said)).to_be_visible()


@pytest.mark.parametrize(("ordered", "key", "which"), [(True, None, ""), ("key", "a", ", order key “a”")])
def test_a_failing_head_is_named_with_its_next_attempt_and_the_policy_beside_it(
    ordered: Any, key: str | None, which: str, page: Page, site: Site, receiver: Receiver
) -> None:
    receiver.status = 500
    type_ = f"line.{str(ordered).lower()}"
    webhook = site.create(receiver.url, name="In a line", event_types=[type_], ordered=ordered, retry=SLOW)["id"]
    first = publish(site, type_, order_key=key)
    tried(site, first)
    second = publish(site, type_, order_key=key)
    head = delivery_of(site, first)["id"]
    until(lambda: delivery_of(site, second)["held"])
    said = re.compile(rf"Held: an earlier delivery is first \(delivery {head}{which}\), next try in {AN_HOUR}")
    expect(row_of(page, second)).to_contain_text(said)
    go(page, f"/webhooks/{webhook}")
    expect(page.get_by_text(said)).to_be_visible()
    expect(page.get_by_text("a failing one holds those behind it until it is finished")).to_be_visible()
    site.call("PATCH", f"webhooks/{webhook}", {"skip_after": 1})
    expect(row_of(page, first)).to_contain_text("Stepped aside: those behind it overtake it")


def test_refused_credentials_are_said_with_their_cause(page: Page, site: Site, receiver: Receiver) -> None:
    receiver.status = 401
    webhook = site.create(receiver.url, name="Refused", event_types=["refused.*"], retry=SLOW)["id"]
    for _ in range(3):
        tried(site, publish(site, "refused.now"))
    go(page, f"/webhooks/{webhook}")
    said = re.compile(r"^Held: 401 since .* UTC: the receiver refuses the credentials; next try at [\d:]+ UTC\.$")
    expect(page.get_by_text(said)).to_be_visible()


def test_a_paused_and_a_disabled_webhook_say_so_beside_their_deliveries(
    page: Page, site: Site, receiver: Receiver
) -> None:
    webhook = site.create(receiver.url, name="Standing", event_types=["standing.*"])["id"]
    site.call("POST", f"webhooks/{webhook}/pause")
    event = publish(site, "standing.now")
    expect(row_of(page, event)).to_contain_text("Held: the webhook is paused")
    expect(row_of(page, event)).not_to_contain_text("queued")
    site.call("PATCH", f"webhooks/{webhook}", {"enabled": False})
    expect(row_of(page, event)).to_contain_text("Held: the webhook is disabled")
