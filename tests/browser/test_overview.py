"""The overview says a thing once, and its range is in the address; times in lists are exact."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from playwright.sync_api import Page, expect

from tests.browser.conftest import go, sign_in
from tests.browser.seed import LEARNED, report
from tests.browser.site import Receiver, Site, until

EXACT = re.compile(r"\d{1,2} \w{3} \d{4}.* at \d\d:\d\d:\d\d (UTC|GMT)|\d{1,2} \w{3} \d{4}, \d\d:\d\d:\d\d (UTC|GMT)")
TIME_AND_AGE = re.compile(r"\d{1,2} \w{3}, \d\d:\d\d, (just now|\d+ (s|min) ago)")


def test_an_anomaly_is_not_told_beside_the_alert_that_it_led_to(page: Page, site: Site, receiver: Receiver) -> None:
    webhook = site.create(receiver.url, name="Told once", event_types=["once.*"])["id"]
    report(site, webhook, 200, LEARNED)
    until(lambda: site.call("GET", f"webhooks/{webhook}")["signals"]["failures"] == "normal", within_s=120)
    report(site, webhook, 503, LEARNED)
    alert = until(lambda: site.call("GET", f"alerts?webhook_id={webhook}&kind=failing")["items"], within_s=120)[0]
    until(lambda: site.call("GET", f"dashboard/anomalies?webhook_id={webhook}")["items"], within_s=120)

    go(page, "/")
    line = page.get_by_role("region", name="Open alerts").get_by_role("listitem").filter(has_text="Told once")
    expect(line.first.locator("time")).to_have_text(TIME_AND_AGE)
    expect(line.first.locator("time")).to_have_attribute("title", EXACT)
    anomalies = page.get_by_role("region", name="Open anomalies")
    expect(anomalies).to_contain_text(re.compile("a cause of an open alert|causes of open alerts"))
    expect(anomalies.get_by_role("listitem").filter(has_text="Told once")).to_have_count(0)

    # Somebody looks after it: it is no news again.
    site.call("POST", f"alerts/{alert['id']}/ack")
    expect(line).to_have_count(0)
    expect(anomalies.get_by_role("listitem").filter(has_text="Told once")).to_have_count(0)

    site.call("POST", f"alerts/{alert['id']}/resolve")
    left = anomalies.get_by_role("listitem").filter(has_text="Told once")
    expect(left).to_contain_text("Probability if normal: < 0.001 %")
    expect(left.locator("time")).to_have_text(TIME_AND_AGE)
    site.call("DELETE", f"webhooks/{webhook}")


def test_the_range_of_the_overview_is_in_the_address(page: Page) -> None:
    go(page, "/")
    ranges = page.get_by_role("region", name="All deliveries")
    expect(ranges.get_by_role("button", name="1h", exact=True)).to_have_attribute("aria-pressed", "true")
    ranges.get_by_role("button", name="24h", exact=True).click()
    expect(page).to_have_url(re.compile(r"#/\?range=24h$"))
    page.reload()
    expect(ranges.get_by_role("button", name="24h", exact=True)).to_have_attribute("aria-pressed", "true")
    ranges.get_by_role("button", name="1h", exact=True).click()
    expect(page).to_have_url(re.compile(r"#/$"))


def test_a_silence_ends_at_the_time_that_was_entered_in_the_zone_of_times(
    open_page: Callable[..., Page], site: Site
) -> None:
    page = sign_in(open_page, site, timezone_id="Asia/Tokyo")
    ends = (datetime.now(UTC) + timedelta(days=2)).replace(second=0, microsecond=0)
    for zone, shown in (("Asia/Tokyo", ends + timedelta(hours=9)), ("UTC", ends)):
        if zone == "UTC":
            page.get_by_role("button", name="Times: local time").click()
        go(page, "/silences/new?kind=volume")
        page.get_by_label("Reason").fill(f"Ends in {zone}")
        page.get_by_label("Duration").select_option("until a time")
        page.get_by_label(f"Ends ({zone})").fill(shown.strftime("%Y-%m-%dT%H:%M"))
        page.get_by_role("button", name="Silence").click()
        expect(page).to_have_url(re.compile("#/silences$"))
        line = page.get_by_role("listitem").filter(has_text=f"Ends in {zone}")
        expect(line).to_contain_text(f"Ends {shown.day} {shown:%b}, {shown:%H:%M}, in ")
        expect(line.locator("time")).to_have_attribute("title", re.compile(f"{shown.year}.*{shown:%H:%M}"))
    made = [one for one in site.call("GET", "silences")["items"] if one["reason"].startswith("Ends in")]
    assert [datetime.fromisoformat(one["ends_at"]) for one in made] == [ends, ends]
    for one in made:
        site.call("DELETE", f"silences/{one['id']}")
