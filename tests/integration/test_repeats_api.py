"""Calls that add something, made twice with one Idempotency-Key; and a commit whose answer is lost."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import msgspec
import pytest
from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncSession

from monitor.bootstrap.container import Container
from monitor.cli.openapi import document
from monitor.domain.errors import UnknownOutcome
from tests import samples
from tests.integration.detection_support import Watch, alert, fail
from tests.integration.support import API, Api, Received, Receiver, assert_problem, sql

URL = "http://127.0.0.1:9/hook"
NOW = datetime.now(UTC).isoformat()
SOON = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
BEFORE = (datetime.now(UTC) - timedelta(hours=1)).isoformat()

BODIES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "webhooks": ({"name": "a", "url": URL}, {"name": "b", "url": URL}),
    "webhooks/{id}/rotate-secret": ({}, {"overlap_s": 60}),
    "webhooks/{id}/attempts": (
        {"attempts": [{"delivered_at": NOW, "latency_ms": 1, "status_code": 200}]},
        {"attempts": [{"delivered_at": NOW, "latency_ms": 2, "status_code": 200}]},
    ),
    "webhooks/{id}/test": ({}, {"other": 1}),
    "notifications/destinations/{id}/test": ({}, {"other": 1}),
    "alerts/{id}/comments": ({"text": "a"}, {"text": "b"}),
    "webhooks/{id}/replay": ({"from": BEFORE, "to": SOON}, {"from": BEFORE, "to": SOON, "states": ["failed"]}),
    "deliveries/bulk": (
        {"action": "retry", "filter": {"state": "failed"}},
        {"action": "retry", "filter": {"error": "503"}},
    ),
    "silences": (
        {"reason": "a", "ends_at": SOON, "kind": "failing"},
        {"reason": "b", "ends_at": SOON, "kind": "failing"},
    ),
    "events": ({"type": "a.b", "payload": 1}, {"type": "a.b", "payload": 2}),
    "events/{id}/resend": ({}, {"webhook_ids": ["00000000-0000-7000-8000-000000000000"]}),
}
ROWS = (
    "SELECT (SELECT count(*) FROM webhooks), (SELECT count(*) FROM webhook_secrets), (SELECT count(*) FROM attempts),"
    " (SELECT count(*) FROM jobs), (SELECT count(*) FROM silences), (SELECT count(*) FROM events),"
    " (SELECT count(*) FROM deliveries), (SELECT count(*) FROM alert_history), (SELECT count(*) FROM audit_log)"
)


async def path_of(route: str, api: Api, parts: Container) -> str:
    """Return *route* of a webhook, event or alert that was made for it."""
    webhook_id = (await api.create(URL))["id"]
    if route.startswith("alerts/"):
        await fail(api, webhook_id)
        await Watch(parts).look()
        return route.format(id=(await alert(api, webhook_id))["id"])
    return route.format(id=(await api.publish(1))[0] if route.startswith("events/") else webhook_id)


@pytest.mark.parametrize("route", BODIES)
async def test_a_repeat_with_its_key_adds_nothing_and_gets_the_same_response(
    route: str, api: Api, parts: Container
) -> None:
    path = await path_of(route, api, parts)
    body, other = BODIES[route]
    key = {"Idempotency-Key": "one"}
    first = await api.post(path, json=body, headers=key)
    assert first.is_success, first.text
    async with sql(parts) as connection:
        before = await connection.fetchrow(ROWS)
        again = await api.post(path, json=body, headers=key)
        assert (again.status_code, again.json()) == (first.status_code, first.json())
        assert again.content == first.content
        assert again.headers.get("location") == first.headers.get("location")
        assert await connection.fetchrow(ROWS) == before
        assert_problem(await api.post(path, json=other, headers=key), 422, "idempotency_mismatch")
        assert await connection.fetchrow(ROWS) == before
        assert (await api.post(path, json=body)).is_success
        assert await connection.fetchrow(ROWS) != before


def test_every_route_that_takes_a_key_is_among_them() -> None:
    documented = {
        path.removeprefix(f"{API}/")
        for path, item in msgspec.json.decode(document())["paths"].items()
        for operation in item.values()
        if any(parameter["name"] == "Idempotency-Key" for parameter in operation.get("parameters", ()))
    }
    assert {re.sub(r"{\w+}", "{id}", path) for path in documented} == BODIES.keys()


async def test_a_key_is_of_one_webhook(api: Api) -> None:
    body = BODIES["webhooks/{id}/rotate-secret"][0]
    key = {"Idempotency-Key": "one"}
    secrets = set()
    for _ in range(2):
        path = f"webhooks/{(await api.create(URL))['id']}/rotate-secret"
        secrets.add((await api.post(path, json=body, headers=key)).json()["secret"])
    assert len(secrets) == 2


async def test_a_test_message_under_way_is_not_sent_again(api: Api, receiver: Receiver) -> None:
    begun, end = asyncio.Event(), asyncio.Event()

    async def wait(_: Received) -> web.Response:
        begun.set()
        await end.wait()
        return web.Response()

    receiver.answer = wait
    path, key = f"webhooks/{(await api.create(receiver.url))['id']}/test", {"Idempotency-Key": "one"}
    first = asyncio.create_task(api.post(path, headers=key))
    await begun.wait()
    assert_problem(await api.post(path, headers=key), 409, "conflict")
    end.set()
    assert (await api.post(path, headers={"Idempotency-Key": "two"})).json()["ok"]
    made = await first
    again = await api.post(path, headers=key)
    assert made.content == again.content
    assert receiver.ids == [again.json()["id"], receiver.ids[1]]


async def test_a_commit_whose_answer_is_lost_has_an_unknown_outcome(parts: Container, api: Api) -> None:
    async with sql(parts) as connection:
        with pytest.raises(UnknownOutcome, match="may have been made"):
            await _commit_after_termination(parts, connection)
    assert (await api.read("audit-log"))["items"] == []


@pytest.mark.parametrize("route", BODIES)
async def test_a_call_whose_commit_is_not_answered_says_that_it_may_have_been_made(
    route: str, api: Api, parts: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, key = await path_of(route, api, parts), {"Idempotency-Key": "one"}
    commit = AsyncSession.commit

    async def lose_the_answer(session: AsyncSession) -> None:
        await commit(session)
        raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    with monkeypatch.context() as lossy:
        lossy.setattr(AsyncSession, "commit", lose_the_answer)
        problem = assert_problem(await api.post(path, json=BODIES[route][0], headers=key), 503, "unknown_outcome")
    assert "may have been made" in problem["detail"]
    assert "Idempotency-Key" in problem["detail"]
    again = await api.post(path, json=BODIES[route][0], headers=key)
    if route.endswith("/test"):
        # What is stored is that a message begins to be sent; it may be on its way.
        assert_problem(again, 409, "conflict")
    else:
        assert again.is_success, again.text


async def _commit_after_termination(parts: Container, connection: asyncpg.Connection) -> None:
    async with parts.unit_of_work() as uow:
        await uow.audit.add(samples.ACTOR, "webhook.pause", "webhook:x", before=None, after=None)
        pids = await connection.fetch(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'"
        )
        for row in pids:
            await connection.execute("SELECT pg_terminate_backend($1, 5000)", row["pid"])
        await uow.commit()
