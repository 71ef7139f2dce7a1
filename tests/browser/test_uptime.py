"""The uptime strip: what its bars say in words, by keyboard and by pointer, and where they lead."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE, go, sign_in
from tests.browser.site import Site

AXE = "tests/browser/vendor/axe.js"


@pytest.fixture(scope="module")
def webhook_id(site: Site) -> str:
    """A webhook that failed an hour ago and does well again."""
    made: str = site.create("http://127.0.0.1:9/hook", name="Up and down", event_types=["uptime.*"])["id"]
    now = datetime.now(UTC)
    for back, status, n in ((0, 200, 30), (1, 503, 20), (1, 200, 4), (2, 200, 40), (2, 503, 2), (4, 200, 9)):
        at = (now - timedelta(hours=back)).replace(minute=now.minute // 2, second=1).isoformat()
        attempts = [{"delivered_at": at, "status_code": status, "latency_ms": 20}] * n
        site.call("POST", f"webhooks/{made}/attempts", {"attempts": attempts})
    return made


def test_the_strip_is_one_stop_and_says_each_bar(page: Page, webhook_id: str) -> None:
    go(page, f"/webhooks/{webhook_id}")
    strip = page.get_by_role("slider", name=re.compile("^Hours"))
    expect(strip.locator(".uptime-bar")).to_have_count(72)
    expect(page.locator(".uptime-ratios")).to_contain_text("24 h79 %")
    strip.focus()
    expect(strip).to_have_attribute("aria-valuetext", re.compile("Healthy. 30 attempts, none failed, 100 % succeeded"))
    strip.press("ArrowLeft")
    text = re.compile(r"Unavailable\. 24 attempts, 20 failed, 16\.7 % succeeded")
    expect(strip).to_have_attribute("aria-valuetext", text)
    expect(page.locator(".uptime-text")).to_have_text(text)
    strip.press("ArrowLeft")
    expect(strip).to_have_attribute("aria-valuetext", re.compile("Degraded"))
    strip.press("ArrowLeft")
    expect(strip).to_have_attribute("aria-valuetext", re.compile("no attempts"))
    strip.press("Home")
    expect(strip).to_have_attribute("aria-valuenow", "1")
    # One stop: the next tab leaves the strip.
    strip.press("Tab")
    expect(strip).not_to_be_focused()
    assert page.locator(".uptime-bars [tabindex]").count() == 0


def test_a_bar_sets_the_range_of_the_charts(page: Page, webhook_id: str) -> None:
    go(page, f"/webhooks/{webhook_id}")
    strip = page.get_by_role("slider", name=re.compile("^Hours"))
    strip.focus()
    strip.press("ArrowLeft")
    strip.press("Enter")
    expect(page.locator(".totals")).to_contain_text("24 attempts")
    expect(strip).to_be_focused()
    strip.locator(".uptime-bar").nth(69).click()
    expect(page.locator(".totals")).to_contain_text("42 attempts")
    assert "range=custom" in page.url


def test_days_are_kept_in_the_address(page: Page, webhook_id: str) -> None:
    go(page, f"/webhooks/{webhook_id}")
    page.get_by_role("button", name="90 days").click()
    strip = page.get_by_role("slider", name=re.compile("^Days"))
    expect(strip.locator(".uptime-bar")).to_have_count(90)
    expect(strip).to_have_attribute("aria-valuetext", re.compile(r"\(UTC\): .*succeeded"))
    page.reload()
    expect(strip.locator(".uptime-bar")).to_have_count(90)
    assert "uptime=days" in page.url


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("viewport", [None, PHONE], ids=["desktop", "phone"])
def test_the_strip_and_the_charts_have_no_axe_finding(
    open_page: Callable[..., Page], site: Site, webhook_id: str, scheme: str, viewport: dict[str, int] | None
) -> None:
    options: dict[str, Any] = {"color_scheme": scheme} | ({"viewport": viewport} if viewport else {})
    page = sign_in(open_page, site, bypass_csp=True, **options)
    go(page, f"/webhooks/{webhook_id}?uptime=days")
    expect(page.locator(".uptime-bar").first).to_be_visible()
    expect(page.locator(".charts .u-over")).to_have_count(2)
    page.locator(".changes summary").click()
    page.add_script_tag(path=AXE)
    found = page.evaluate("axe.run('main').then(result => result.violations.map(one => [one.id, one.nodes[0].html]))")
    assert found == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
