"""The URL of a chat service is shown to the role admin alone, wherever it appears."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from monitor.bootstrap.container import Container
from monitor.domain.vocab import Role
from tests.integration.support import Api, Received, Receiver, sql

TOKEN = "abcdefghijklmnopqrstuvwx"
PATH = f"/hook?key={TOKEN}"


@pytest.fixture
async def webhook(api: Api, receiver: Receiver) -> dict[str, Any]:
    return await api.create(receiver.url.removesuffix("/hook") + PATH, body_format="slack", name="ops")


async def test_below_admin_a_chat_url_ends_after_its_origin(
    api: Api, webhook: dict[str, Any], receiver: Receiver, parts: Container
) -> None:
    path = f"webhooks/{webhook['id']}"
    shown = f"{receiver.url.removesuffix('/hook')}/***"
    # In turns, so that neither role is given what is remembered for the other.
    for role, url in [(Role.ADMIN, webhook["url"]), (Role.VIEWER, shown), (Role.OPERATOR, shown)] * 3:
        assert (await api.read(path, role=role))["url"] == url
        for query in ("", "?limit=1", "?q=ops"):
            (listed,) = (await api.read(f"webhooks{query}", role=role))["items"]
            assert listed["url"] == url
    for role, url in ((Role.OPERATOR, shown), (Role.ADMIN, webhook["url"])):
        for action in ("pause", "resume"):
            changed = await api.post(f"{path}/{action}", role=role)
            assert changed.json()["url"] == url
            assert changed.headers["etag"] == (await api.get(path, role=role)).headers["etag"]
    ping = await api.post(f"{path}/test", role=Role.OPERATOR)
    assert ping.json()["exchange"]["url"] == shown
    for found in (
        ping,
        await api.get(f"{path}/attempts/{ping.json()['id']}", role=Role.VIEWER),
        await api.get("audit-log"),
        await api.get("dashboard", role=Role.VIEWER),
        await api.get("/metrics", role=Role.VIEWER),
    ):
        assert found.status_code == 200
        assert TOKEN not in found.text
    async with sql(parts) as connection:
        for table in ("audit_log", "attempts", "event_outbox"):
            rows = await connection.fetch(f"SELECT * FROM {table}")
            assert TOKEN not in str([dict(row) for row in rows])


async def test_no_search_finds_a_chat_url_by_its_secret(api: Api, webhook: dict[str, Any], receiver: Receiver) -> None:
    other = await api.create(f"{receiver.url}?key=plain")
    assert await api.ids("webhooks", q="/hook?key=") == [other["id"]]
    assert await api.ids("webhooks", q=TOKEN[:3]) == []
    assert set(await api.ids("webhooks", q="127.0.0.1")) == {webhook["id"], other["id"]}


async def test_what_older_versions_stored_is_shown_without_the_secret(
    api: Api, webhook: dict[str, Any], parts: Container
) -> None:
    path = f"webhooks/{webhook['id']}"
    ping = (await api.post(f"{path}/test")).json()
    async with sql(parts) as connection:
        await connection.execute(
            "UPDATE attempts SET exchange = jsonb_set(exchange::jsonb, '{url}', to_jsonb($1::text))::json",
            webhook["url"],
        )
        await connection.execute(
            "UPDATE audit_log SET after = jsonb_set(after, '{url}', to_jsonb($1::text)) WHERE action = $2",
            webhook["url"],
            "webhook.create",
        )
    for found in (await api.get(f"{path}/attempts/{ping['id']}"), await api.get("audit-log")):
        assert found.status_code == 200
        assert "/***" in found.text
        assert TOKEN not in found.text


async def test_a_receiver_that_repeats_its_url_tells_no_viewer(
    api: Api, webhook: dict[str, Any], receiver: Receiver
) -> None:
    async def echo(_: Received) -> web.Response:
        return web.Response(status=404, text=f"no {PATH}", headers={"Location": PATH})

    receiver.answer = echo
    ping = await api.post(f"webhooks/{webhook['id']}/test", role=Role.OPERATOR)
    assert (ping.json()["status_code"], ping.json()["response_body"]) == (404, "no ***")
    assert TOKEN not in ping.text
