"""A pager as a destination of alerts: its key is asked for, stored as a header, and never shown again."""

from __future__ import annotations

import json
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.conftest import go, sign_in
from tests.browser.site import Receiver, Site

KEY = "0123456789abcdef0123456789abcdef"


def test_pagerduty_is_added_with_its_key(open_page: Callable[..., Page], own_site: Site, receiver: Receiver) -> None:
    page = sign_in(open_page, own_site)
    go(page, "/notifications")
    page.get_by_role("button", name="PagerDuty").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("URL")).to_have_value("https://events.pagerduty.com/v2/enqueue")
    dialog.get_by_label("URL").fill(receiver.url)
    dialog.get_by_label("Integration key").fill(KEY)
    dialog.get_by_role("button", name="Add").click()
    line = page.locator("[data-destination]")
    expect(line).to_contain_text("PagerDuty")
    [webhook] = own_site.call("GET", "webhooks")["items"]
    assert (webhook["body_format"], webhook["headers"]) == ("pagerduty", {"X-Routing-Key": "***"})

    line.get_by_role("button", name="Send sample to PagerDuty").click()
    expect(line).to_contain_text("Sample sent")
    assert KEY not in page.content()
    assert KEY not in json.dumps(own_site.call("GET", f"webhooks/{webhook['id']}/attempts"))
