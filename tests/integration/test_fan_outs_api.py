"""Events for more webhooks than a request serves: accepted at once, and carried on by workers."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from monitor.bootstrap.container import Container
from monitor.bootstrap.worker import build_fan_outs
from monitor.domain.delivery.job import REPEATED_AFTER_S
from monitor.domain.services.jobs import JobCommands
from monitor.domain.vocab import Role
from tests.integration.fan_out_support import fanned_out, made, subscribe
from tests.integration.processes import production, running
from tests.integration.support import Api, Receiver, api_of, eventually, execute, settings, sql, working

SUBSCRIBERS = 3_000
EVENT = {"type": "order.paid", "payload": 1}


@contextlib.contextmanager
def statements(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Collect the number of rows that each statement of a repository returns."""
    found: list[int] = []
    fetch, execute = asyncpg.Connection.fetch, asyncpg.Connection.execute

    async def counted_fetch(self: Any, *args: Any, **options: Any) -> Any:
        rows = await fetch(self, *args, **options)
        found.append(len(rows))
        return rows

    async def counted_execute(self: Any, *args: Any, **options: Any) -> Any:
        found.append(0)
        return await execute(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(asyncpg.Connection, "fetch", counted_fetch)
        patch.setattr(asyncpg.Connection, "execute", counted_execute)
        yield found


async def test_accepting_costs_the_same_for_any_number_of_subscribers(
    api: Api, parts: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs = []
    for _ in range(2):
        await subscribe(api, parts, SUBSCRIBERS // 2, "order.*")
        with statements(monkeypatch) as rows:
            accepted = await api.post("events", json=EVENT, role=Role.PUBLISHER)
        assert accepted.status_code == 202, accepted.text
        assert (accepted.json()["deliveries"], accepted.json()["fan_out"]) == (0, "running")
        costs.append(list(rows))
    assert costs[0] == costs[1]
    assert sum(costs[0]) <= 1
    assert await made(parts) == (0, 0, 0)
    queue = (await api.read("dashboard/overview"))["queue"]
    assert queue["fan_outs"] == 2
    assert queue["oldest_fan_out_age_s"] > 0
    assert "monitor_fan_outs_unfinished 2.0" in (await api.get("/metrics")).text


async def test_few_subscribers_are_served_by_the_request(api: Api, parts: Container) -> None:
    await subscribe(api, parts, 1_000, "order.*")
    accepted = (await api.post("events", json=EVENT)).json()
    assert (accepted["deliveries"], accepted["fan_out"]) == (1_000, "done")
    assert await made(parts) == (1_000, 1_000, 1_000)
    event = await api.read(f"events/{accepted['id']}")
    assert (event["fan_out"], event["deliveries"]["pending"]) == ("done", 1_000)


async def test_a_repeat_gives_the_first_answer(api: Api, parts: Container) -> None:
    await subscribe(api, parts, 1_001, "order.*")

    async def post() -> Any:
        return (await api.post("events", json=EVENT, headers={"Idempotency-Key": "k"})).json()

    first = await post()
    async with working(parts):
        await fanned_out(api, first["id"])
    assert await post() == first
    assert await made(parts) == (1_001, 1_001, 1_001)
    assert (await api.read(f"events/{first['id']}"))["deliveries"]["pending"] == 1_001


async def test_the_server_answers_others_while_it_accepts_a_thousand_events_for_sixty_webhooks(
    server: Api, parts: Container
) -> None:
    await subscribe(server, parts, 60, "order.*")
    posting = asyncio.create_task(server.publish(*range(1_000)))
    answers = []
    while not posting.done():
        at = time.monotonic()
        assert (await server.get("/health/live")).status_code == 200
        answers.append(time.monotonic() - at)
    ids = await posting
    assert answers
    assert max(answers) < 5
    async with working(parts):
        await fanned_out(server, ids[-1])
    assert await made(parts) == (60_000, 60_000, 60)


async def test_each_delivery_is_made_once_while_connections_are_killed(api: Api, parts: Container) -> None:
    await subscribe(api, parts, SUBSCRIBERS, "order.*")
    loops = {f"{name}.{n}": loop for n in range(3) for name, loop in build_fan_outs(parts).loops().items()}
    async with parts.supervisor.running(loops), sql(parts) as connection:
        event_id = (await api.post("events", json=EVENT)).json()["id"]

        async def progress() -> bool:
            done = await connection.fetchval("SELECT done FROM fan_outs")
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid() AND xact_start IS NOT NULL AND random() < 0.3"
            )
            return done is None or done > SUBSCRIBERS / 2

        await eventually(progress)
        await fanned_out(api, event_id)
    assert await made(parts) == (SUBSCRIBERS, SUBSCRIBERS, SUBSCRIBERS)


@pytest.mark.processes
async def test_each_delivery_is_made_once_while_workers_are_killed(database_url: str, tmp_path: Path) -> None:
    env = production(database_url)
    async with contextlib.AsyncExitStack() as stack:
        parts = await stack.enter_async_context(Container(settings(database_url)))
        api = await stack.enter_async_context(api_of(parts))
        await subscribe(api, parts, SUBSCRIBERS, "order.*")
        event_id = (await api.post("events", json=EVENT)).json()["id"]
        for n in range(3):
            before = (await made(parts))[0]
            workers = [
                await stack.enter_async_context(running("work", env=env, log=tmp_path / f"{n}.{m}.log"))
                for m in range(2)
            ]

            async def progressed(before: int = before) -> bool:
                return (await made(parts))[0] > before or before == SUBSCRIBERS

            await eventually(progressed)
            for worker in workers:
                await worker.stop(signal.SIGKILL)
        async with running("work", env=env, log=tmp_path / "last.log"):
            await fanned_out(api, event_id)
        assert await made(parts) == (SUBSCRIBERS, SUBSCRIBERS, SUBSCRIBERS)


async def test_an_ordered_webhook_gets_a_large_event_before_a_later_small_one(
    api: Api, parts: Container, receiver: Receiver
) -> None:
    await subscribe(api, parts, 1_500, "order.*")
    await api.create(receiver.url, event_types=["*"], ordered=True)
    large = (await api.post("events", json=EVENT)).json()
    small = (await api.post("events", json={"type": "user.created", "payload": 1})).json()
    assert (large["fan_out"], small["fan_out"]) == ("running", "done")
    async with working(parts):
        await receiver.takes(2)
    assert receiver.ids == [large["id"], small["id"]]


async def test_a_fan_out_that_can_never_be_read_ends_and_what_waited_for_it_goes_on(
    api: Api, parts: Container, receiver: Receiver
) -> None:
    await subscribe(api, parts, 1_001, "order.*")
    ordered = await api.create(receiver.url, event_types=["order.*", "user.*"], ordered=True)
    damaged = (await api.post("events", json=EVENT)).json()["id"]
    await execute(parts, "UPDATE events SET labels = '{\"team\": 5}' WHERE id = $1", damaged)
    [small] = await api.publish(1, type="user.created")
    async with working(parts):
        await eventually(lambda: api.ids("jobs", state="running"))
        assert (await api.read(f"jobs/{damaged}"))["error"].startswith("UnreadableRow: ")
        assert receiver.requests == []
        for _ in REPEATED_AFTER_S:
            await execute(parts, "UPDATE jobs SET stepped_at = now()")
            with pytest.raises(ExceptionGroup):
                await JobCommands(parts.unit_of_work).run()
        assert (await api.read(f"jobs/{damaged}"))["state"] == "failed"
        await receiver.takes(1)
    assert receiver.ids == [small]
    assert (await api.read(f"webhooks/{ordered['id']}"))["held"] is None
    assert (await api.read("dashboard/overview"))["queue"]["fan_outs"] == 0


async def test_a_fan_out_that_cannot_be_read_is_set_aside(api: Api, parts: Container) -> None:
    await subscribe(api, parts, 1_001, "order.*")
    damaged, other = [(await api.post("events", json=EVENT)).json()["id"] for _ in range(2)]
    await execute(parts, "UPDATE events SET labels = '{\"team\": 5}' WHERE id = $1", damaged)
    before = parts.database.rows.unreadable["fan_outs"]
    async with working(parts):
        await fanned_out(api, other)
    assert parts.database.rows.unreadable["fan_outs"] == before + 1
    assert (await made(parts))[0] == 1_001
