"""The exchange of an attempt over HTTP: what the receiver got is what is shown, and no secret is kept."""

from __future__ import annotations

import hashlib

import pytest
from aiohttp import web

from monitor.bootstrap.container import Container
from monitor.domain.vocab import Role
from tests.integration.support import Api, Received, Receiver, assert_problem, finished, sql, working

CANARY = "canary-4c1f0b7e"


async def echo(received: Received) -> web.Response:
    return web.Response(
        text=f"you sent {received.headers['x-token']}",
        headers={"X-Echo": received.headers["x-token"], "X-Trace": "7"},
        status=503,
    )


async def test_an_attempt_shows_what_went_over_the_wire(api: Api, receiver: Receiver, parts: Container) -> None:
    receiver.answer = echo
    webhook = await api.create(receiver.url, headers={"X-Token": CANARY}, retry={"schedule_s": [0]})
    path = f"webhooks/{webhook['id']}"
    async with working(parts):
        await api.publish(1)
        await receiver.takes(1)
        await finished(api, 1)
    moved = await api.call("PATCH", path, json={"url": "http://127.0.0.1:9/moved", "headers": {"X-Token": CANARY}})
    assert moved.status_code == 200

    (listed,) = (await api.read(f"{path}/attempts"))["items"]
    attempt = await api.read(f"{path}/attempts/{listed['id']}", role=Role.VIEWER)

    assert "exchange" not in listed
    (got,) = receiver.requests
    exchange = attempt.pop("exchange")
    assert attempt == listed
    assert (exchange["method"], exchange["url"], exchange["note"]) == ("POST", receiver.url, None)
    sent = {field["name"].lower(): field["value"] for field in exchange["request_headers"]}
    assert sent == {**got.headers, "x-token": "***"}
    assert (exchange["body_bytes"], exchange["body_sha256"]) == (len(got.body), hashlib.sha256(got.body).hexdigest())
    answered = {field["name"]: field["value"] for field in exchange["response_headers"]}
    assert (answered["X-Echo"], answered["X-Trace"]) == ("***", "7")
    assert attempt["response_body"] == "you sent ***"
    async with sql(parts) as connection:
        assert not await connection.fetchval(
            "SELECT count(*) FROM attempts a WHERE a::text LIKE $1 OR a.response_body::text LIKE $2",
            f"%{CANARY}%",
            f"%{CANARY.encode().hex()}%",
        )


@pytest.mark.parametrize("body_format", ["slack", "discord", "teams"])
async def test_of_a_chat_message_the_body_as_sent_is_described(
    body_format: str, api: Api, receiver: Receiver, parts: Container
) -> None:
    webhook = await api.create(receiver.url, body_format=body_format)
    path = f"webhooks/{webhook['id']}/attempts"
    async with working(parts):
        await api.publish({"order": 7})
        await finished(api, 1)
    (listed,) = (await api.read(path))["items"]
    exchange = (await api.read(f"{path}/{listed['id']}"))["exchange"]
    (got,) = receiver.requests
    assert got.body != b'{"order":7}'
    assert (exchange["body_bytes"], exchange["body_sha256"]) == (len(got.body), hashlib.sha256(got.body).hexdigest())
    sent = {field["name"].lower(): field["value"] for field in exchange["request_headers"]}
    assert sent["content-length"] == str(len(got.body))


async def test_a_ping_shows_its_exchange_at_once(api: Api, receiver: Receiver) -> None:
    receiver.answer = echo
    webhook = await api.create(receiver.url, headers={"X-Token": CANARY})

    ping = (await api.post(f"webhooks/{webhook['id']}/test")).json()

    assert ping["exchange"] == (await api.read(f"webhooks/{webhook['id']}/attempts/{ping['id']}"))["exchange"]
    assert CANARY not in str(ping)


async def test_an_attempt_that_wrote_nothing_has_no_exchange(api: Api) -> None:
    webhook = await api.create("http://127.0.0.1:9/hook")

    ping = (await api.post(f"webhooks/{webhook['id']}/test")).json()

    assert (ping["ok"], ping["exchange"]) == (False, None)


async def test_an_attempt_of_another_webhook_is_not_found(api: Api, receiver: Receiver) -> None:
    mine, other = [await api.create(receiver.url) for _ in range(2)]
    ping = (await api.post(f"webhooks/{mine['id']}/test")).json()

    assert_problem(await api.get(f"webhooks/{other['id']}/attempts/{ping['id']}"), 404)
