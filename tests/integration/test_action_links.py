"""One-use links in messages, from the message that arrives to what a click does."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import msgspec
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from monitor.bootstrap.container import Container
from monitor.domain.vocab import Role
from monitor.settings.schema import Alerts, Http
from tests import servers
from tests.integration.detection_support import Watch, alert, fail
from tests.integration.support import Api, Received, Receiver, api_of, finished, settings, verify, working

PAGE = "https://monitor.example.com/"
LINK = re.compile(r"https://monitor\.example\.com(/act/[A-Za-z0-9_-]{72})")


@pytest.fixture(scope="module")
async def module_parts(postgres: servers.Postgres) -> AsyncIterator[Container]:
    async with postgres.database() as dsn, Container(settings(dsn, public_url=PAGE)) as parts:
        yield parts


class Message:
    """An alert about ``failing``, and the links of the message about it."""

    def __init__(self, failing: str, destination: dict[str, Any], body: dict[str, Any]) -> None:
        self.failing = failing
        self.destination = destination
        self.body = body
        self.paths = {name: found[1] for name, url in body["links"].items() if (found := LINK.fullmatch(url))}


@pytest.fixture
async def message(api: Api, parts: Container, stack: AsyncExitStack) -> Message:
    receiver = await stack.enter_async_context(Receiver())
    destination = await api.create(receiver.url, name="Ops channel", event_types=["monitor.alert.*"])
    failing = (await api.create("http://127.0.0.1:9/hook", name="Orders"))["id"]
    await fail(api, failing)
    await Watch(parts).look()
    async with working(parts):
        [request] = await receiver.takes(1)
        await finished(api, 1)
    verify(destination["secret"], request)
    return Message(failing, destination, msgspec.json.decode(request.body))


def text_of(response: httpx.Response) -> str:
    assert response.headers["content-type"].startswith("text/html")
    return re.sub(r"<style>.*?</style>|<[^>]*>", " ", response.text)


async def test_a_click_asks_and_the_form_acts_once(api: Api, message: Message) -> None:
    assert set(message.paths) == {"acknowledge", "silence_1h", "silence_1d"}
    path = message.paths["acknowledge"]
    for _ in range(2):
        asked = await api.client.get(path)
        assert asked.status_code == 200
        assert "Acknowledge this alert?" in text_of(asked)
    assert (await alert(api, message.failing))["state"] == "pending"

    done = await api.client.post(path)
    assert (done.status_code, "You acknowledged this alert" in text_of(done)) == (200, True)
    acknowledged = await alert(api, message.failing)
    assert (acknowledged["state"], acknowledged["acknowledged_by"]) == ("acknowledged", "link of Ops channel")

    for again, status in ((await api.client.post(path), 409), (await api.client.get(path), 200)):
        assert again.status_code == status
        assert "Used by link of Ops channel at " in text_of(again)
    rows = (await api.read("audit-log", params={"action": "alert.acknowledge"}))["items"]
    assert [(row["subject"], row["role"], row["client"], row["target"]) for row in rows] == [
        ("link of Ops channel", None, "127.0.0.1", f"alert:{acknowledged['id']}")
    ]


async def test_of_many_clicks_at_once_one_acts(api: Api, message: Message) -> None:
    answers = await asyncio.gather(*(api.client.post(message.paths["silence_1h"]) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200, *[409] * 7]
    [silence] = (await api.read("silences"))["items"]
    assert (silence["created_by"], silence["webhook_id"]) == ("link of Ops channel", message.failing)
    assert (await alert(api, message.failing))["silenced"] is True


async def test_what_previews_and_scanners_do_changes_nothing(api: Api, message: Message) -> None:
    for path in message.paths.values():
        for method in ("GET", "HEAD", "OPTIONS"):
            assert (await api.client.request(method, path)).status_code < 300
        for method in ("PUT", "DELETE", "PATCH"):
            assert (await api.client.request(method, path)).status_code == 405
    assert (await alert(api, message.failing))["state"] == "pending"
    assert (await api.read("silences"))["items"] == []


async def test_a_changed_token_is_no_link(api: Api, message: Message) -> None:
    path = message.paths["acknowledge"]
    token = path.rpartition("/")[2]
    signed = bytearray(base64.urlsafe_b64decode(token))
    changed = {"/act/" + token[:-1], path + "A", "/act/" + "A" * 72, "/act/x"}
    for at in (1, 3, 10, 30, 50):
        # The action, the expiry, the alert, the destination and the signature.
        other = bytearray(signed)
        other[at] ^= 1
        changed.add("/act/" + base64.urlsafe_b64encode(bytes(other)).decode())
    for one in changed:
        for response in (await api.client.get(one), await api.client.post(one)):
            assert response.status_code == 404
            assert "There is no such link" in text_of(response)
    assert (await alert(api, message.failing))["state"] == "pending"


async def test_after_the_alert_is_resolved_it_says_so(api: Api, message: Message) -> None:
    found = await alert(api, message.failing)
    await api.post(f"alerts/{found['id']}/resolve", json={}, subject="grace")
    response = await api.client.post(message.paths["acknowledge"])
    assert response.status_code == 409
    assert "Resolved by grace at " in text_of(response)


async def test_deleting_the_destination_ends_its_links(api: Api, message: Message) -> None:
    await api.call("DELETE", f"webhooks/{message.destination['id']}")
    assert (await api.client.post(message.paths["acknowledge"])).status_code == 404
    assert (await alert(api, message.failing))["state"] == "pending"


async def test_the_page_is_kept_by_no_cache_runs_nothing_and_tells_no_other_site(api: Api, message: Message) -> None:
    response = await api.client.get(message.paths["acknowledge"])
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["x-robots-tag"] == "noindex"
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "form-action 'self'" in policy
    assert "script" not in response.text


async def test_no_log_line_holds_a_token(api: Api, message: Message, capfd: pytest.CaptureFixture[str]) -> None:
    with capture_logs() as logs:
        for path in message.paths.values():
            await api.client.get(path)
            await api.client.post(path)
    written = "".join(capfd.readouterr()) + repr(logs)
    for path in message.paths.values():
        assert path.rpartition("/")[2] not in written


async def test_a_viewer_sees_what_was_sent_without_its_tokens(api: Api, message: Message) -> None:
    id_ = message.destination["id"]
    [attempt] = (await api.read(f"webhooks/{id_}/attempts", role=Role.VIEWER))["items"]
    shown = await api.get(f"webhooks/{id_}/attempts/{attempt['id']}", role=Role.VIEWER)
    body = base64.b64decode(shown.json()["request_body"]["base64"])
    assert msgspec.json.decode(body)["links"]["acknowledge"] == f"{PAGE}act/***"
    assert shown.json()["request_body"]["rebuilt"] is False
    assert shown.json()["signature_valid_with"] == "current"
    event = await api.get(f"events/{attempt['event_id']}", role=Role.VIEWER)
    for response in (shown, event):
        assert not any(path.rpartition("/")[2] in response.text for path in message.paths.values())


async def test_a_receiver_that_echoes_a_message_gives_no_token_away(
    api: Api, parts: Container, stack: AsyncExitStack
) -> None:
    async def echo(request: Received) -> web.Response:
        return web.Response(body=request.body)

    receiver = await stack.enter_async_context(Receiver(echo))
    destination = (await api.create(receiver.url, event_types=["monitor.alert.*"]))["id"]
    failing = (await api.create("http://127.0.0.1:9/hook"))["id"]
    await fail(api, failing)
    await Watch(parts).look()
    async with working(parts):
        [request] = await receiver.takes(1)
        await finished(api, 1)
    token = msgspec.json.decode(request.body)["links"]["acknowledge"].rpartition("/")[2]
    [attempt] = (await api.read(f"webhooks/{destination}/attempts"))["items"]
    shown = await api.get(f"webhooks/{destination}/attempts/{attempt['id']}", role=Role.VIEWER)
    assert "/act/" in shown.text
    assert token not in shown.text


async def test_the_uses_of_links_are_limited(message: Message, parts: Container) -> None:
    parts_settings = settings(parts.database.dsn, public_url=PAGE, http=Http(rate_limit_per_s=0.001, rate_burst=3))
    async with Container(parts_settings) as other, api_of(other) as strict:
        answers = [(await strict.client.get(message.paths["acknowledge"])).status_code for _ in range(5)]
    assert answers == [200, 200, 200, 429, 429]


async def test_links_can_be_switched_off(message: Message, parts: Container) -> None:
    off = settings(parts.database.dsn, public_url=PAGE, alerts=Alerts(action_links=False))
    async with Container(off) as other, api_of(other) as api:
        assert other.action_links is None
        assert (await api.client.post(message.paths["acknowledge"])).status_code == 404
        assert (await alert(api, message.failing))["state"] == "pending"
    async with Container(settings(parts.database.dsn)) as without:
        assert without.action_links is None
