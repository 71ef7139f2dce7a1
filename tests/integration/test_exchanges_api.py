"""The exchange of an attempt over HTTP: what the receiver got is what is shown, and no secret is kept."""

from __future__ import annotations

import base64
import hashlib

import pytest
from aiohttp import web

from monitor.bootstrap.container import Container
from monitor.domain.vocab import Role
from tests.integration.support import (
    Api,
    Received,
    Receiver,
    answering,
    assert_problem,
    finished,
    sql,
    verify,
    working,
)

CANARY = "canary-4c1f0b7e"
JSON = {"Content-Type": "application/json"}


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
    body = attempt.pop("request_body")
    assert attempt.pop("signature_valid_with") == "current"
    assert attempt == listed
    assert (exchange["method"], exchange["url"], exchange["note"]) == ("POST", receiver.url, None)
    sent = {field["name"].lower(): field["value"] for field in exchange["request_headers"]}
    assert sent == {**got.headers, "x-token": "***"}
    assert (exchange["body_bytes"], exchange["body_sha256"]) == (len(got.body), hashlib.sha256(got.body).hexdigest())
    assert body == {"base64": base64.b64encode(got.body).decode(), "rebuilt": False}
    assert exchange["http_version"] == "1.1"
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
    attempt = await api.read(f"{path}/{listed['id']}")
    exchange = attempt["exchange"]
    (got,) = receiver.requests
    assert got.body != b'{"order":7}'
    assert attempt["request_body"] == {"base64": base64.b64encode(got.body).decode(), "rebuilt": False}
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


async def test_every_attempt_of_a_delivery_has_its_own_signature_over_the_bytes_that_were_posted(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    receiver.answer = answering(503, 200)
    webhook = await api.create(receiver.url, retry={"schedule_s": [0, 0.01], "jitter_ratio": 0})
    path, payload = f"webhooks/{webhook['id']}", b'{ "amount": 19.90,\n  "big": 12345678901234567890 }'
    async with working(parts):
        posted = b'{"type": "order.paid", "payload": %b}' % payload
        assert (await api.post("events", content=posted, headers=JSON)).status_code == 202
        await finished(api, 1)
    rotated = await api.post(f"{path}/rotate-secret", json={"overlap_s": 3600})
    attempts = [await api.read(f"{path}/attempts/{id_}") for id_ in await api.ids(f"{path}/attempts")]

    assert [base64.b64decode(one["request_body"]["base64"]) for one in attempts] == [payload, payload]
    assert [one.body for one in receiver.requests] == [payload, payload]
    assert [one["signature_valid_with"] for one in attempts] == ["previous", "previous"]
    sent = [{field["name"].lower(): field["value"] for field in one["exchange"]["request_headers"]} for one in attempts]
    assert sent == [dict(one.headers) for one in reversed(receiver.requests)]
    verify(webhook["secret"], receiver.requests[0])
    assert rotated.json()["secret"] != webhook["secret"]
    assert (await api.post(f"{path}/rotate-secret", json={"overlap_s": 0})).status_code == 200
    assert (await api.read(f"{path}/attempts/{attempts[0]['id']}"))["signature_valid_with"] == "none"


async def test_a_signature_by_ed25519_is_checked_as_well(api: Api, receiver: Receiver) -> None:
    webhook = await api.create(receiver.url, signature="v1a")
    ping = (await api.post(f"webhooks/{webhook['id']}/test")).json()
    attempt = await api.read(f"webhooks/{webhook['id']}/attempts/{ping['id']}")
    (got,) = receiver.requests
    assert attempt["request_body"] == {"base64": base64.b64encode(got.body).decode(), "rebuilt": False}
    assert attempt["signature_valid_with"] == "current"


async def test_cookies_of_the_receiver_are_not_kept(api: Api, receiver: Receiver) -> None:
    async def answer(_: Received) -> web.Response:
        return web.Response(headers={"Set-Cookie": f"session={CANARY}; Path=/"})

    receiver.answer = answer
    webhook = await api.create(receiver.url)
    exchange = (await api.post(f"webhooks/{webhook['id']}/test")).json()["exchange"]
    assert {"name": "Set-Cookie", "value": "session=***"} in exchange["response_headers"]
    assert CANARY not in str(exchange)


async def test_an_attempt_of_another_webhook_is_not_found(api: Api, receiver: Receiver) -> None:
    mine, other = [await api.create(receiver.url) for _ in range(2)]
    ping = (await api.post(f"webhooks/{mine['id']}/test")).json()

    assert_problem(await api.get(f"webhooks/{other['id']}/attempts/{ping['id']}"), 404)
