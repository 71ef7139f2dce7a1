"""What is done with a webhook over HTTP: secrets rotated, pings, pauses, removal, health."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from standardwebhooks import Webhook, WebhookVerificationError

from monitor.bootstrap.container import Container
from monitor.domain.vocab import Role
from tests.integration.support import Api, Receiver, assert_problem, eventually, execute, finished, verify, working
from tests.servers import free_port

CANARY = "canary-7d1f0a5c"
URL = "http://127.0.0.1:9/hook"


async def test_both_secrets_sign_until_the_overlap_is_over(api: Api, receiver: Receiver, parts: Container) -> None:
    created = await api.create(receiver.url)
    path = f"webhooks/{created['id']}"
    rotated = await api.post(f"{path}/rotate-secret", json={"overlap_s": 3600})
    assert rotated.status_code == 200
    assert rotated.json()["previous_expires_at"] is not None
    await api.post(f"{path}/test")
    for secret in (created["secret"], rotated.json()["secret"]):
        verify(secret, receiver.requests[0])
    await execute(parts, "UPDATE webhook_secrets SET expires_at = now() WHERE expires_at IS NOT NULL")
    await api.post(f"{path}/test")
    verify(rotated.json()["secret"], receiver.requests[1])
    with pytest.raises(WebhookVerificationError):
        verify(created["secret"], receiver.requests[1])


async def test_without_overlap_the_old_secret_ends_at_once(api: Api, receiver: Receiver) -> None:
    created = await api.create(receiver.url)
    rotated = await api.post(f"webhooks/{created['id']}/rotate-secret", json={"overlap_s": 0})
    assert rotated.json()["previous_expires_at"] is None
    await api.post(f"webhooks/{created['id']}/test")
    verify(rotated.json()["secret"], receiver.requests[0])
    with pytest.raises(WebhookVerificationError):
        verify(created["secret"], receiver.requests[0])
    assert_problem(await api.post(f"webhooks/{created['id']}/rotate-secret", json={"overlap_s": 7 * 86_400 + 1}), 422)


async def test_deliveries_under_way_are_signed_by_a_rotated_key_too(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    created = await api.create(receiver.url)
    async with working(parts):
        await api.publish(1)
        await receiver.takes(1)
        rotated = (await api.post(f"webhooks/{created['id']}/rotate-secret")).json()
        await api.publish(2)
        await receiver.takes(2)
    for secret in (created["secret"], rotated["secret"]):
        verify(secret, receiver.requests[1])


async def test_an_asymmetric_webhook_is_signed_with_ed25519(api: Api, receiver: Receiver) -> None:
    created = await api.create(receiver.url, signature="v1a")
    assert created["secret"].startswith("whpk_")
    await api.post(f"webhooks/{created['id']}/test")
    (got,) = receiver.requests
    version, signature = got.headers["webhook-signature"].split(",")
    assert version == "v1a"
    content = f"{got.id}.{got.headers['webhook-timestamp']}.".encode() + got.body
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(created["secret"].removeprefix("whpk_")))
    public.verify(base64.b64decode(signature), content)


async def test_a_ping_is_signed_sent_now_and_logged(api: Api, receiver: Receiver) -> None:
    created = await api.create(receiver.url)
    path = f"webhooks/{created['id']}"
    ping = (await api.post(f"{path}/test", role=Role.OPERATOR)).json()
    assert ping["ok"]
    assert ping["status_code"] == 200
    (got,) = receiver.requests
    assert got.id == ping["id"]
    assert got.headers["monitor-event-type"] == "monitor.ping"
    Webhook(created["secret"]).verify(got.body, dict(got.headers))
    (attempt,) = (await api.read(f"{path}/attempts"))["items"]
    assert (attempt["id"], attempt["kind"], attempt["ok"]) == (ping["id"], "test", True)
    assert ping["response_body"] == attempt["response_body"]
    assert attempt["response_body"] == "thank you"
    assert (await api.read(path))["health"]["status"] == "unknown"


async def test_a_ping_that_fails_says_how(api: Api) -> None:
    created = await api.create(f"http://127.0.0.1:{free_port()}/")
    ping = (await api.post(f"webhooks/{created['id']}/test")).json()
    assert not ping["ok"]
    assert (ping["status_code"], ping["error"]) == (None, "connect")


async def test_a_paused_webhook_holds_its_deliveries_and_a_resumed_one_gets_them(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    created = await api.create(receiver.url)
    path = f"webhooks/{created['id']}"
    async with Receiver() as other:
        await api.create(other.url)
        paused = [(await api.post(f"{path}/pause", role=Role.OPERATOR)).json() for _ in range(2)]
        async with working(parts):
            ids = await api.publish(*range(20))
            await other.takes(20)
        held = list(receiver.requests)
        resumed = await api.post(f"{path}/resume", role=Role.OPERATOR)
        waiting = (await api.read("deliveries", params={"webhook_id": created["id"]}))["items"]
        async with working(parts):
            rows = await finished(api, 40)
    assert paused[0]["paused_at"] == paused[1]["paused_at"] is not None
    assert held == []
    assert resumed.json()["paused_at"] is None
    assert {row["held"]["reason"] for row in waiting} == {"release"}
    assert sorted(receiver.ids) == sorted(ids)
    assert {row["state"] for row in rows} == {"delivered"}


def own(prefix: str, size: int) -> str:
    return prefix + base64.b64encode(bytes(range(size))).decode()


async def test_a_secret_may_be_brought_along(api: Api, receiver: Receiver) -> None:
    created = await api.create(receiver.url, secret=own("whsec_", 24))
    assert created["secret"] == own("whsec_", 24)
    path = f"webhooks/{created['id']}"
    rotated = await api.post(f"{path}/rotate-secret", json={"secret": own("whsec_", 64)})
    assert rotated.json()["secret"] == own("whsec_", 64)
    await api.post(f"{path}/test")
    for secret in (own("whsec_", 24), own("whsec_", 64)):
        verify(secret, receiver.requests[-1])


@pytest.mark.parametrize(
    ("signature", "secret"),
    [
        ("v1", own("whsec_", 23)),
        ("v1", own("whsec_", 65)),
        ("v1", own("", 32)),
        ("v1", "whsec_" + "?" * 32),
        ("v1", "whsec_ä"),
        ("v1", own("whsk_", 32)),
        ("v1a", own("whsec_", 32)),
        ("v1a", own("whsk_", 33)),
        ("v1a", own("whsk_", 64)),
    ],
)
async def test_a_secret_of_another_form_is_refused(signature: str, secret: str, api: Api) -> None:
    response = await api.post("webhooks", json={"name": "a", "url": URL, "signature": signature, "secret": secret})
    assert_problem(response, 422, "invalid")
    assert [error["pointer"] for error in response.json()["errors"]] == ["/secret"]
    assert await api.ids("webhooks") == []


async def test_an_ed25519_key_may_be_brought_along(api: Api, receiver: Receiver) -> None:
    created = await api.create(receiver.url, signature="v1a", secret=own("whsk_", 32))
    public = Ed25519PrivateKey.from_private_bytes(bytes(range(32))).public_key().public_bytes_raw()
    assert created["secret"] == "whpk_" + base64.b64encode(public).decode()
    both = "whsk_" + base64.b64encode(bytes(range(32)) + public).decode()
    assert (await api.create(receiver.url, signature="v1a", secret=both))["secret"] == created["secret"]
    path = f"webhooks/{created['id']}"
    assert_problem(await api.call("PATCH", path, json={"secret": both}), 422)


async def test_at_most_five_secrets_sign(api: Api, receiver: Receiver) -> None:
    path = f"webhooks/{(await api.create(receiver.url))['id']}"
    for _ in range(4):
        assert (await api.post(f"{path}/rotate-secret")).status_code == 200
    assert_problem(await api.post(f"{path}/rotate-secret"), 409, "conflict")
    await api.post(f"{path}/test")
    assert len(receiver.requests[-1].headers["webhook-signature"].split()) == 5
    assert (await api.post(f"{path}/rotate-secret", json={"overlap_s": 0})).status_code == 200
    await api.post(f"{path}/test")
    assert len(receiver.requests[-1].headers["webhook-signature"].split()) == 1
    assert (await api.post(f"{path}/rotate-secret")).status_code == 200


async def test_a_deleted_webhook_is_gone_and_what_waited_is_cancelled(api: Api) -> None:
    created = await api.create(URL)
    (event,) = await api.publish(1)
    path = f"webhooks/{created['id']}"
    assert (await api.call("DELETE", path)).status_code == 204
    assert await api.ids("webhooks") == []
    for method, sub in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/test"), ("POST", "/pause")):
        body: dict[str, Any] = {"json": {}} if method == "PATCH" else {}
        assert_problem(await api.call(method, path + sub, **body), 404, "not_found")
    (delivery,) = (await api.read("deliveries", params={"event_id": event}))["items"]
    assert delivery["state"] == "cancelled"
    assert_problem(await api.post(f"deliveries/{delivery['id']}/retry"), 404, "not_found")
    assert (await api.read(f"events/{event}"))["deliveries"]["cancelled"] == 1
    await api.publish(2)
    assert len(await api.ids("deliveries")) == 1


async def test_the_history_of_a_deleted_webhook_stays(api: Api, receiver: Receiver, parts: Container) -> None:
    async def answer(_: object) -> Any:
        return web.Response(status=999)

    receiver.answer = answer
    webhook = await api.create(receiver.url, retry={"schedule_s": [0], "jitter_ratio": 0})
    path = f"webhooks/{webhook['id']}"
    async with working(parts):
        await api.publish(1)
        await finished(api, 1)
    assert (await api.call("DELETE", path)).status_code == 204
    (attempt,) = (await api.read(f"{path}/attempts", params={"error": 999}))["items"]
    assert attempt["status_code"] == 999
    assert (await api.read(f"{path}/attempts", params={"error": 600}))["items"] == []
    assert (await api.read(f"{path}/attempts/{attempt['id']}"))["exchange"]["url"] == receiver.url
    assert (await api.read(f"{path}/metrics"))["total"]["attempts"] == 1
    reported = {"attempts": [{"delivered_at": datetime.now(UTC).isoformat(), "status_code": 204, "latency_ms": 1}]}
    assert_problem(await api.post(f"{path}/attempts", json=reported), 404, "not_found")


async def test_a_list_row_tells_how_the_last_hour_went(api: Api, receiver: Receiver, parts: Container) -> None:
    await api.create(receiver.url)
    async with working(parts):
        await api.publish(*range(10))
        await finished(api, 10)
    (row,) = (await api.read("webhooks"))["items"]
    assert row["last_hour"]["attempts"] == 10
    assert row["last_hour"]["success_ratio"] == 1
    assert row["last_hour"]["p95_ms"] > 0
    assert row["health"]["status"] == "healthy"


async def test_health_follows_the_attempts_and_says_why(api: Api, receiver: Receiver, parts: Container) -> None:
    async def answer(_: object) -> Any:
        return web.Response(status=503)

    receiver.answer = answer
    created = await api.create(receiver.url, retry={"schedule_s": [0], "jitter_ratio": 0}, max_concurrency=1)
    async with working(parts):
        await api.publish(*range(5))
        health = await eventually(lambda: _unavailable(api, created["id"]))
    assert "503" in health["reason"]
    assert health["failure_probability"] > 0.5
    assert health["changed_at"] is not None


async def _unavailable(api: Api, webhook_id: str) -> dict[str, Any] | None:
    health: dict[str, Any] = (await api.read(f"webhooks/{webhook_id}"))["health"]
    return health if health["status"] == "unavailable" else None
