"""Silences on the page: later, repeating, and holding deliveries."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import go
from tests.browser.site import Receiver, Site


def test_a_silence_that_repeats_shows_its_occurrences_before_and_its_rule_afterwards(
    page: Page, site: Site, receiver: Receiver
) -> None:
    webhook = site.create(receiver.url, name="Restarted", event_types=["restart.*"], labels={"team": "restarts"})
    go(page, "/silences/new")
    page.get_by_label("Reason").fill("Weekly restart")
    page.get_by_label("Begins").select_option("later")
    page.get_by_label("Repeats").select_option("weekly")
    page.get_by_label("Tuesday").check()
    page.get_by_label("Thursday").check()
    page.get_by_label("Time zone of the repetition").fill("Europe/Nowhere")
    page.get_by_label("Label of the webhook").fill("team=restarts")
    page.get_by_label("Hold deliveries meanwhile").check()
    page.get_by_role("button", name="Silence", exact=True).click()
    expect(page.get_by_label("Time zone of the repetition")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Time zone of the repetition").fill("Europe/Berlin")
    expect(page.get_by_text("Every week on Tuesday and Thursday, Europe/Berlin:")).to_be_visible()
    expect(page.get_by_role("list", name="Next occurrences").get_by_role("listitem")).to_have_count(8)
    page.get_by_role("button", name="Silence", exact=True).click()
    expect(page.get_by_role("heading", name="Silences")).to_be_visible()
    page.get_by_role("button", name="Scheduled").click()
    expect(page).to_have_url(re.compile("of=scheduled"))
    line = page.get_by_role("listitem").filter(has_text="Weekly restart")
    expect(line).to_contain_text("Every week on Tuesday and Thursday, Europe/Berlin")
    expect(line).to_contain_text("holding deliveries")
    expect(line).to_contain_text("Next ")
    line.get_by_role("button", name="End: Weekly restart").click()
    page.get_by_role("button", name="End silence").click()
    expect(line).to_have_count(0)
    site.call("DELETE", f"webhooks/{webhook['id']}")


def test_one_occurrence_is_ended_and_what_is_held_says_so(page: Page, site: Site, receiver: Receiver) -> None:
    webhook = site.create(receiver.url, name="Held", event_types=["held.*"])
    spec = {"reason": "Nightly", "duration_s": 3600, "webhook_id": webhook["id"], "hold_deliveries": True}
    daily = {"recurrence": {"rrule": "FREQ=DAILY", "timezone": "UTC"}}
    made = site.call("POST", "silences", spec | daily)
    go(page, f"/webhooks/{webhook['id']}")
    expect(page.get_by_text("Held: a silence holds deliveries until").first).to_be_visible()
    go(page, "/silences")
    page.get_by_role("button", name="End this one: Nightly").click()
    page.get_by_role("button", name="End occurrence").click()
    page.get_by_role("button", name="Scheduled").click()
    expect(page.get_by_role("listitem").filter(has_text="Nightly")).to_contain_text("Every day, UTC")
    site.call("DELETE", f"silences/{made['id']}")
    site.call("DELETE", f"webhooks/{webhook['id']}")
