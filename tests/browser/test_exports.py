"""Lists as files: webhooks, alerts and the audit log, with the filters and in the order that they have on the page."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from tests.browser.conftest import DESKTOP, PHONE, go, sign_in
from tests.browser.seed import report
from tests.browser.site import Receiver, Site, until
from tests.browser.test_again import LOOKS, look

FORMULA = "=HYPERLINK(1)"


def downloaded(page: Page, name: str, format_: str) -> str:
    """Export the list *name* and return the text of the file."""
    page.get_by_role("button", name="Export", exact=True).click()
    dialog = page.get_by_role("dialog", name=f"Export {name}")
    dialog.get_by_label("Format").select_option(format_)
    with page.expect_download() as download:
        dialog.get_by_role("button", name="Download").click()
    file = download.value.suggested_filename
    assert file.startswith(f"{name.replace(' ', '-')}-2")
    assert file.endswith(f".{format_}")
    path: Path = download.value.path()
    expect(dialog.get_by_text("exported.")).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    return path.read_bytes().decode()


def look_wide_and_narrow(page: Page, name: str) -> None:
    for size in (PHONE, DESKTOP):
        page.set_viewport_size(ViewportSize(width=size["width"], height=size["height"]))
        expect(page.get_by_role("button", name="Export", exact=True)).to_be_visible()
        look(page, name, "dark")


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_webhooks_are_exported_as_they_are_found_and_sorted(page: Page, site: Site, receiver: Receiver) -> None:
    made = {
        name: site.create(receiver.url, name=name, labels={"list": "files"}, event_types=["files.*"])["id"]
        for name in ("Files, one", FORMULA, "Files two")
    }
    site.create(receiver.url, name="Another", labels={"list": "other"}, event_types=["files.*"])
    report(site, made["Files two"], 200, 10)
    site.call("POST", f"webhooks/{made['Files, one']}/pause")
    asked = "label=list=files&sort=name"
    expected = site.call("GET", f"dashboard/webhooks?{asked}")["items"]
    assert [row["name"] for row in expected] == [FORMULA, "Files two", "Files, one"]
    go(page, f"/webhooks?{asked}")
    expect(page.locator("tr[data-row]")).to_have_count(3)
    look_wide_and_narrow(page, "webhooks-export")
    rows = table(downloaded(page, "webhooks", "csv"))
    assert [row["id"] for row in rows] == [row["id"] for row in expected]
    # What a spreadsheet would run is a text there.
    assert [row["name"] for row in rows] == [f"'{FORMULA}", "Files two", "Files, one"]
    assert [row["status"] for row in rows] == [row["status"] for row in expected]
    assert rows[2]["status"] == "paused"
    assert json.loads(rows[0]["labels"]) == {"list": "files"}
    assert [row["last_hour_attempts"] for row in rows] == ["0", "10", "0"]
    assert [row["last_hour_success_ratio"] for row in rows] == ["", "1", ""]
    assert [row["id"] for row in lines(downloaded(page, "webhooks", "ndjson"))] == [row["id"] for row in expected]


def test_alerts_are_exported_with_their_filters(page: Page, site: Site, receiver: Receiver) -> None:
    found = [site.create(receiver.url, name=name, event_types=["loud.*"])["id"] for name in ("Loud", "Also loud")]
    for id_ in found:
        report(site, id_, 503, 30)
    until(lambda: all(site.call("GET", f"alerts?webhook_id={id_}&state=pending")["items"] for id_ in found))
    go(page, f"/alerts?webhook={found[0]}")
    expect(page.locator(".alert-item")).to_have_count(
        len(site.call("GET", f"alerts?webhook_id={found[0]}&state=pending")["items"])
    )
    look_wide_and_narrow(page, "alerts-export")
    expected = site.call("GET", f"alerts?webhook_id={found[0]}&state=pending&sort=worst&limit=200")["items"]
    rows = table(downloaded(page, "alerts", "csv"))
    assert [(row["id"], row["webhook_name"], row["title"]) for row in rows] == [
        (alert["id"], "Loud", alert["title"]) for alert in expected
    ]
    assert [json.loads(row["causes"]) for row in rows] == [alert["causes"] for alert in expected]
    alerts = lines(downloaded(page, "alerts", "ndjson"))
    assert [alert["id"] for alert in alerts] == [alert["id"] for alert in expected]
    assert [alert["evidence"].keys() for alert in alerts] == [alert["evidence"].keys() for alert in expected]


@pytest.mark.parametrize(("theme", "size"), LOOKS, ids=str)
def test_the_audit_log_is_exported_with_its_filters(
    theme: str, size: dict[str, int], open_page: Callable[..., Page], site: Site, receiver: Receiver
) -> None:
    webhook = site.create(receiver.url, name="Kept in a file", event_types=["files.*"])["id"]
    site.call("PATCH", f"webhooks/{webhook}", {"description": "now, with words"})
    page = sign_in(open_page, site, viewport=size, color_scheme=theme, reduced_motion="reduce")
    go(page, f"/audit?target={webhook}")
    changes = page.get_by_role("region", name="List of changes").get_by_role("list").get_by_role("listitem")
    expect(changes).to_have_count(2)
    expected = site.call("GET", f"audit-log?target=webhook:{webhook}")["items"]
    rows = table(downloaded(page, "audit log", "csv"))
    assert [(row["id"], row["action"], row["target"]) for row in rows] == [
        (row["id"], row["action"], f"webhook:{webhook}") for row in expected
    ]
    assert [row["client"] for row in rows] == ["127.0.0.1"] * 2
    expect(changes.first).to_contain_text(", admin from 127.0.0.1 ·")
    assert json.loads(rows[0]["after"])["description"] == "now, with words"
    assert rows[1]["before"] == ""
    assert lines(downloaded(page, "audit log", "ndjson")) == expected
    look(page, "audit-export", theme)


def test_the_audit_log_is_read_for_a_time_range(page: Page, site: Site, receiver: Receiver) -> None:
    webhook = site.create(receiver.url, name="Of today", event_types=["files.*"])["id"]
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/audit-log?" in request.url else None)
    go(page, f"/audit?target={webhook}")
    changes = page.get_by_role("region", name="List of changes").get_by_role("list").get_by_role("listitem")
    expect(changes).to_have_count(1)
    assert "from=" not in asked[-1]
    page.get_by_role("group", name="Changed in").get_by_role("button", name="Last hour").click()
    expect(page).to_have_url(f"{site.base}/#/audit?target={webhook}&range=1h")
    expect(changes).to_have_count(1)
    until(lambda: "from=" in asked[-1])
    go(page, f"/audit?target={webhook}&from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z")
    expect(page.get_by_text("No change matches")).to_be_visible()
    assert "to=2020" in asked[-1]
    page.get_by_role("button", name="Clear filters").click()
    expect(changes.first).to_be_visible()
    assert "from=" not in page.url
