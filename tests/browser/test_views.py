"""Every view in every theme and width: usable by everybody, within its width, and harmless. Writes screenshots."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import DESKTOP, PHONE, choose, go, sign_in
from tests.browser.seed import CANARY, Seeded, seed
from tests.browser.site import Receiver, Site

HERE = Path(__file__).parent
AXE = (HERE / "vendor" / "axe.js").read_text()
SCREENSHOTS = HERE / "screenshots"
LOOKS = [("dark", DESKTOP), ("light", DESKTOP), ("dark", PHONE), ("light", PHONE)]

VIEWS = {
    "overview": ("/", "Overview"),
    "webhooks": ("/webhooks", "Webhooks"),
    "webhook": ("/webhooks/{failing}", "Billing, north"),
    "webhook-hostile": ("/webhooks/{hostile}", "Hostile"),
    "webhook-new": ("/webhooks/new", "New webhook"),
    "webhook-edit": ("/webhooks/{hostile}/edit", "Edit webhook"),
    "alerts": ("/alerts?state=all", "Alerts"),
    "alert": ("/alerts/{alert}", "Alerts"),
    "silences": ("/silences", "Silences"),
    "silence-new": ("/silences/new?kind=failing", "New silence"),
    "notifications": ("/notifications", "Notifications"),
    "events": ("/events", "Events"),
    "deliveries": ("/deliveries?state=delivered", "Deliveries"),
    "event": ("/events/{event}", "order.paid"),
    "activity": ("/activity", "Live activity"),
    "jobs": ("/jobs?state=all", "Jobs"),
    "system": ("/system", "System"),
    "audit": ("/audit", "Audit log"),
    "more": ("/more", "More"),
    "lost": ("/nowhere", "Page not found"),
}


@pytest.fixture(scope="module")
def seeded(site: Site) -> Iterator[Seeded]:
    with Receiver() as receiver:
        yield seed(site, receiver)


def violations(page: Page) -> list[str]:
    """Return what axe-core finds wrong with the page as it stands."""
    page.evaluate(AXE)
    found: list[dict[str, Any]] = page.evaluate("axe.run(document).then(result => result.violations)")
    return [f"{rule['id']}: {node['html'][:150]} {node['failureSummary']}" for rule in found for node in rule["nodes"]]


def settle(page: Page) -> None:
    """Wait until nothing is loading and no request is under way."""
    page.wait_for_load_state("networkidle")
    expect(page.locator(".skeleton")).to_have_count(0)


@pytest.mark.parametrize(
    ("theme", "size"), LOOKS, ids=lambda value: value if isinstance(value, str) else value["width"]
)
def test_every_view_is_accessible_and_fits(
    theme: str, size: dict[str, int], open_page: Callable[..., Page], site: Site, seeded: Seeded
) -> None:
    page = sign_in(open_page, site, viewport=size, color_scheme=theme, reduced_motion="reduce")
    SCREENSHOTS.mkdir(exist_ok=True)
    ids = {name: getattr(seeded, name) for name in seeded.__struct_fields__}
    wrong = {}
    for name, (path, heading) in VIEWS.items():
        go(page, path.format(**ids))
        expect(page.locator("h1")).to_contain_text(heading)
        settle(page)
        page.screenshot(path=SCREENSHOTS / f"{name}-{theme}-{size['width']}.png", full_page=size is DESKTOP)
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        found = [*violations(page), *([f"is {overflow} px too wide"] if overflow > 0 else [])]
        if found:
            wrong[name] = found
    assert not wrong, "\n".join(f"{name}: {what}" for name, found in wrong.items() for what in found)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_dialogs_and_the_door_are_accessible(
    theme: str, open_page: Callable[..., Page], site: Site, seeded: Seeded
) -> None:
    door = open_page(site.base, color_scheme=theme)
    expect(door.get_by_label("Token")).to_be_visible()
    SCREENSHOTS.mkdir(exist_ok=True)
    door.screenshot(path=SCREENSHOTS / f"sign-in-{theme}.png")
    assert violations(door) == []
    page = sign_in(open_page, site, color_scheme=theme)
    go(page, f"/webhooks/{seeded.hostile}")
    for name in ("Send test", "Replay", "Rotate secret", "Delete"):
        if name == "Send test":
            page.get_by_role("button", name=name).click()
        else:
            choose(page, name)
        expect(page.get_by_role("dialog")).to_be_visible()
        page.screenshot(path=SCREENSHOTS / f"dialog-{name.split()[0].lower()}-{theme}.png")
        assert violations(page) == []
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    page.screenshot(path=SCREENSHOTS / f"dialog-keyboard-{theme}.png")
    assert violations(page) == []


def test_other_peoples_text_is_shown_as_text(open_page: Callable[..., Page], site: Site, seeded: Seeded) -> None:
    page = sign_in(open_page, site)
    ids = {name: getattr(seeded, name) for name in seeded.__struct_fields__}
    for path, heading in VIEWS.values():
        go(page, path.format(**ids))
        expect(page.locator("h1")).to_contain_text(heading)
        settle(page)
        assert page.evaluate("[window.canary, document.querySelectorAll('img, script:not([src])').length]") == [None, 0]
    go(page, f"/webhooks/{seeded.hostile}")
    expect(page.locator("h1")).to_have_text(f"Hostile {CANARY}")
    page.get_by_role("button", name="Details of the attempt").first.click()
    expect(page.locator("pre.body", has_text=CANARY).last).to_have_text(CANARY)
    page.get_by_role("button", name="Send test").click()
    page.get_by_role("dialog").get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_role("dialog").get_by_text(CANARY)).to_be_visible()
    assert page.evaluate("window.canary") is None


def test_the_content_policy_stops_what_would_get_through(chromium: Browser, site: Site) -> None:
    page = chromium.new_page()
    page.goto(site.base)
    page.evaluate(
        """() => {
            const script = document.createElement("script");
            try { script.textContent = "window.canary = 1"; } catch {}
            document.body.append(script);
            try { document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.canary = 1'>"); } catch {}
        }"""
    )
    page.wait_for_load_state("networkidle")
    assert page.evaluate("window.canary") is None
    page.close()
