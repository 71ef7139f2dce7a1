"""The page below a path, as a proxy with other services on the same host serves it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.site import Receiver, Site

ROOT = "/tools/monitor"


@pytest.fixture(scope="module")
def below(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("below"), HTTP__ROOT_PATH=ROOT)
    site.start()
    try:
        yield site
    finally:
        site.stop()


@pytest.mark.parametrize("end", ["", "/"])
def test_the_page_works_below_a_path(end: str, below: Site, open_page: Callable[..., Page], receiver: Receiver) -> None:
    asked: list[str] = []
    page = open_page("about:blank")
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url.replace("ws:", "http:", 1)))
    page.goto(f"{below.base}{ROOT}{end}#token={below.token}")
    expect(page.locator(".link-state")).to_have_attribute("data-mode", "live")
    name = f"Below {len(end)}"
    below.create(receiver.url, name=name)
    page.goto(f"{below.base}{ROOT}{end}#/webhooks")
    expect(page.get_by_text(name)).to_be_visible()
    assert all(url.startswith(f"{below.base}{ROOT}") for url in asked), asked
    assert any(url.endswith("/ws/dashboard") or "/ws/dashboard?" in url for url in asked)


def test_locations_and_the_reference_lie_below_the_path(below: Site, open_page: Callable[..., Page]) -> None:
    made = httpx.post(
        f"{below.base}{ROOT}/api/v1/webhooks",
        json={"name": "n", "url": "http://127.0.0.1:9/"},
        headers={"Authorization": f"Bearer {below.token}"},
    )
    assert made.headers["location"].startswith(f"{ROOT}/api/v1/webhooks/")
    page = open_page(f"{below.base}{ROOT}/schema/swagger")
    expect(page.get_by_role("heading", name="Monitor")).to_be_visible()
    document = httpx.get(f"{below.base}{ROOT}/schema/openapi.json").json()
    assert document["servers"] == [{"url": ROOT}]
