"""A resource that this version cannot read, asked for by its id: a problem that says so, logged and counted once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from monitor.bootstrap.container import Container
from tests.integration.detection_support import Watch, fail
from tests.integration.support import Api, Receiver, assert_problem, execute, finished, working

SLUG = "row_unreadable"
NOWHERE = "http://127.0.0.1:9/hook"
NOW = datetime.now(UTC).isoformat()


class Resource(NamedTuple):
    """How to make one, what damages it, and the calls on it. ``{}`` stands for its id."""

    make: Callable[[Api, Container, Receiver], Awaitable[str]]
    table: str
    damage: str
    calls: tuple[tuple[str, str, object], ...]


async def webhook(api: Api, _parts: Container, receiver: Receiver) -> str:
    return str((await api.create(receiver.url))["id"])


async def event(api: Api, _parts: Container, _receiver: Receiver) -> str:
    return (await api.publish(1))[0]


async def delivery(api: Api, parts: Container, receiver: Receiver) -> str:
    await api.create(receiver.url)
    await api.publish(1)
    async with working(parts):
        return str((await finished(api, 1))[0]["id"])


async def attempt(api: Api, parts: Container, receiver: Receiver) -> str:
    await delivery(api, parts, receiver)
    (made,) = (await api.read("webhooks"))["items"]
    (shown,) = (await api.read(f"webhooks/{made['id']}/attempts"))["items"]
    return f"webhooks/{made['id']}/attempts/{shown['id']}"


async def alert(api: Api, parts: Container, _receiver: Receiver) -> str:
    await fail(api, (await api.create(NOWHERE))["id"])
    await Watch(parts).look()
    return (await api.ids("alerts"))[0]


async def silence(api: Api, parts: Container, _receiver: Receiver) -> str:
    id_ = parts.clock.new_id()
    await execute(
        parts,
        "INSERT INTO silences (id, created_by, created_at, reason, ends_at)"
        " VALUES ($1, 'ada', now(), 'r', now() + interval '1 hour')",
        id_,
    )
    return str(id_)


async def replay(api: Api, _parts: Container, receiver: Receiver) -> str:
    id_ = await webhook(api, _parts, receiver)
    spec = {"from": "2020-01-01T00:00:00Z", "to": datetime.now(UTC).isoformat()}
    response = await api.post(f"webhooks/{id_}/replay", json=spec)
    assert response.status_code in (201, 202), response.text
    return str(response.json()["id"])


PATCH = {"name": "new"}
RESOURCES = {
    "webhook": Resource(
        webhook,
        "webhooks",
        "retry = '{\"max_age_s\": 9}'",
        (
            ("GET", "webhooks/{}", None),
            ("PATCH", "webhooks/{}", PATCH),
            ("POST", "webhooks/{}/rotate-secret", {}),
            ("POST", "webhooks/{}/pause", None),
            ("POST", "webhooks/{}/resume", None),
            ("DELETE", "webhooks/{}", None),
        ),
    ),
    "destination": Resource(webhook, "webhooks", r"headers_sealed = '\x00'", (("POST", "webhooks/{}/test", None),)),
    "lane": Resource(
        webhook,
        "webhook_lanes",
        "breaker_state = 'of_a_newer_version'",
        (("POST", "webhooks/{}/attempts", {"attempts": [{"delivered_at": NOW, "status_code": 200, "latency_ms": 1}]}),),
    ),
    "health": Resource(
        webhook, "webhook_lanes", "health_status = 'of_a_newer_version'", (("GET", "webhooks/{}", None),)
    ),
    "event": Resource(event, "events", "labels = '[]'", (("GET", "events/{}", None),)),
    "delivery": Resource(
        delivery,
        "deliveries_finished",
        "state = 'of_a_newer_version'",
        (
            ("GET", "deliveries/{}", None),
            ("POST", "deliveries/{}/retry", None),
            ("POST", "deliveries/{}/cancel", None),
        ),
    ),
    "attempt": Resource(attempt, "attempts", "exchange = '7'", (("GET", "{}", None),)),
    "alert": Resource(
        alert,
        "alerts",
        "severity = 'fatal'",
        (("GET", "alerts/{}", None), ("POST", "alerts/{}/ack", {}), ("POST", "alerts/{}/resolve", {})),
    ),
    "silence": Resource(silence, "silences", "kind = 'rhythm'", (("GET", "silences/{}", None),)),
    "job": Resource(
        replay,
        "jobs",
        'parameters = \'{"kind": "of_a_newer_version"}\'',
        (("GET", "replays/{}", None), ("GET", "jobs/{}", None), ("POST", "jobs/{}/cancel", None)),
    ),
}


@pytest.mark.parametrize("name", RESOURCES)
async def test_it_is_a_problem_of_its_own_on_each_route(
    api: Api, parts: Container, receiver: Receiver, name: str
) -> None:
    resource = RESOURCES[name]
    id_ = await resource.make(api, parts, receiver)
    key = "webhook_id" if resource.table == "webhook_lanes" else "id"
    bare = UUID(id_.rpartition("/")[2])
    await execute(parts, f"UPDATE {resource.table} SET {resource.damage} WHERE {key} = $1", bare)
    with capture_logs() as lines:
        for method, path, body in resource.calls * 2:
            response = await api.call(method, path.format(id_), json=body)
            assert_problem(response, 503, SLUG)
            assert int(response.headers["retry-after"]) >= 1
    names = [line["event"] for line in lines]
    assert names.count(SLUG) == 1
    assert "unexpected_error" not in names


async def test_a_webhook_that_cannot_be_read_keeps_its_alert_workable(api: Api, parts: Container) -> None:
    made = await api.create(NOWHERE)
    await fail(api, made["id"])
    await Watch(parts).look()
    (id_,) = await api.ids("alerts")
    await execute(parts, "UPDATE webhooks SET labels = '[]'")
    assert (await api.post(f"alerts/{id_}/ack", json={})).status_code == 200
    assert (await api.post(f"alerts/{id_}/resolve", json={})).status_code == 200


async def test_an_answer_of_another_version_is_not_repeated(api: Api, parts: Container) -> None:
    headers = {"Idempotency-Key": "k"}
    body = {"name": "test", "url": NOWHERE}
    assert (await api.post("webhooks", json=body, headers=headers)).status_code == 201
    await execute(parts, r"UPDATE idempotency_keys SET answer_sealed = '\x0102'")
    assert_problem(await api.post("webhooks", json=body, headers=headers), 503, SLUG)


async def test_a_change_is_answered_though_it_cannot_be_read_back(api: Api, parts: Container) -> None:
    made = await api.create(NOWHERE)
    await execute(parts, "UPDATE webhook_lanes SET health_status = 'of_a_newer_version'")
    assert (await api.call("PATCH", f"webhooks/{made['id']}", json=PATCH)).status_code == 200
