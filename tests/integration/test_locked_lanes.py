"""Locks that one transaction holds, and what goes on beside them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from monitor.adapters.postgres.lanes import PostgresLanes
from monitor.bootstrap.container import Container
from monitor.domain.delivery.job import JobState
from monitor.domain.delivery.lane import Lane
from monitor.domain.delivery.rate_limit import RateLimit
from monitor.domain.delivery.replay import ReplayCount, ReplaySpec, ReplayView
from monitor.domain.errors import Unavailable
from monitor.domain.services.jobs import JobCommands
from monitor.domain.services.leases import SPARE_LANES
from monitor.domain.services.replays import ReplayCommands
from monitor.domain.services.settle import SentDelivery
from tests import samples
from tests.integration.support import Api, Receiver, deliverer, eventually, finished, working

SOON_S = 10.0
"""Far below the time that a lock is held in these tests, which is until the check is done."""


@asynccontextmanager
async def held(parts: Container, statement: str, *args: object) -> AsyncIterator[asyncpg.Connection]:
    """Keep what *statement* locks until the end."""
    connection = await asyncpg.connect(parts.database.dsn)
    try:
        async with connection.transaction():
            await connection.execute(statement, *args)
            yield connection
    finally:
        await connection.close()


def lane(webhook_id: str) -> tuple[str, str]:
    return "SELECT 1 FROM webhook_lanes WHERE webhook_id = $1 FOR UPDATE", webhook_id


async def test_a_locked_lane_holds_back_its_own_results_only(api: Api, receiver: Receiver, parts: Container) -> None:
    x, y = await api.create(receiver.url), await api.create(receiver.url)
    await api.publish(1)
    worker = deliverer(parts, "a")
    claim = await worker.claim(None, 10)
    batch: list[SentDelivery] = []
    for delivery in claim.deliveries:
        sent = await samples.send(worker, delivery)
        assert sent is not None
        batch.append(sent)
    async with held(parts, *lane(x["id"])), asyncio.timeout(SOON_S):
        settlement = await worker.settle(batch)
        assert settlement.settled == 1
        assert [sent.delivery.webhook_id for sent in settlement.locked] == [UUID(x["id"])]
        assert [d["state"] for d in (await api.read("deliveries", params={"webhook_id": y["id"]}))["items"]] == [
            "delivered"
        ]
    assert (await worker.settle(settlement.locked)).settled == 1


async def test_a_claim_locks_few_more_lanes_than_it_has_room(
    api: Api, receiver: Receiver, parts: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy worker claims one delivery at a time, from hundreds of webhooks that have one."""
    locked: list[int] = []
    lock = PostgresLanes.lock_ready_lanes

    async def lock_ready_lanes(
        self: PostgresLanes, hints: Collection[UUID] | None, limit: int, *, without: Collection[UUID] = ()
    ) -> dict[UUID, Lane]:
        lanes = await lock(self, hints, limit, without=without)
        locked.append(len(lanes))
        return lanes

    monkeypatch.setattr(PostgresLanes, "lock_ready_lanes", lock_ready_lanes)
    for _ in range(15):
        await api.create(receiver.url)
    await api.publish(1)
    claims = [await deliverer(parts, "a").claim(None, 1) for _ in range(15)]
    assert [len(claim.deliveries) for claim in claims] == [1] * 15
    assert max(locked) == 1 + SPARE_LANES


async def test_a_worker_comes_back_for_a_lane_that_was_locked(api: Api, receiver: Receiver, parts: Container) -> None:
    go_on = asyncio.Event()
    answer = receiver.answer

    async def late(received: object) -> object:
        await go_on.wait()
        return await answer(received)  # type: ignore[arg-type]

    receiver.answer = late  # type: ignore[assignment]
    x, y = await api.create(receiver.url), await api.create(receiver.url)
    await api.publish(1)
    async with working(parts):
        await receiver.takes(2)
        async with held(parts, *lane(x["id"])):
            go_on.set()

            async def settled() -> bool:
                (row,) = (await api.read("deliveries", params={"webhook_id": y["id"]}))["items"]
                return bool(row["state"] == "delivered")

            await eventually(settled, within_s=SOON_S)
        rows = await finished(api, 2)
    assert [(row["state"], row["attempts"]) for row in rows] == [("delivered", 1)] * 2


async def test_leases_are_renewed_beside_a_row_that_is_locked(api: Api, receiver: Receiver, parts: Container) -> None:
    await api.create(receiver.url)
    await api.publish(1, 2)
    worker = deliverer(parts, "a")
    stock = (await worker.claim(None, 10)).deliveries
    async with held(parts, "SELECT 1 FROM deliveries WHERE id = $1 FOR UPDATE", stock[0].id), asyncio.timeout(SOON_S):
        assert await worker.renew(stock) == []
        checked = await worker.check(stock)
        assert (checked.sendable, checked.undetermined) == ([stock[1]], [stock[0]])
    assert (await worker.check(stock)).sendable == stock


async def test_counting_for_a_replay_locks_nothing(api: Api, receiver: Receiver, parts: Container) -> None:
    webhook = await api.create(receiver.url)
    now = datetime.now(UTC)
    spec = ReplaySpec(from_at=now - timedelta(hours=1), to_at=now + timedelta(minutes=1), dry_run=True)
    commands = ReplayCommands(parts.unit_of_work, parts.clock)
    async with held(parts, *lane(webhook["id"])) as connection, asyncio.timeout(SOON_S):
        await connection.execute("SELECT 1 FROM webhooks FOR UPDATE")
        assert await commands.start(UUID(webhook["id"]), spec, samples.ACTOR) == ReplayCount(0)


async def test_a_job_waits_for_a_locked_lane_longer_than_a_statement_may_and_does_not_fail(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    locked, free = await api.create(receiver.url), await api.create(receiver.url)
    now = datetime.now(UTC)
    spec = ReplaySpec(from_at=now - timedelta(hours=1), to_at=now + timedelta(minutes=1))
    replays, jobs = ReplayCommands(parts.unit_of_work, parts.clock), JobCommands(parts.unit_of_work)
    first, second = [await replays.start(UUID(webhook["id"]), spec, samples.ACTOR) for webhook in (locked, free)]
    assert isinstance(first, ReplayView)
    assert isinstance(second, ReplayView)
    async with held(parts, *lane(locked["id"])):
        with pytest.raises(Unavailable):
            await jobs.run()
        assert await jobs.step()
        assert [(await jobs.show(view.id)).state for view in (first, second)] == [JobState.RUNNING, JobState.DONE]
    await jobs.run()
    assert (await jobs.show(first.id)).state is JobState.DONE


async def test_events_are_published_while_a_webhook_is_being_changed(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    webhook = await api.create(receiver.url)
    async with parts.unit_of_work() as uow, asyncio.timeout(SOON_S):
        await uow.webhooks.get(UUID(webhook["id"]))
        await api.publish(1)


async def test_claims_at_one_instant_share_one_bucket(api: Api, receiver: Receiver, parts: Container) -> None:
    """The transactions begin at the same time and lock one after another."""
    limit = RateLimit(1.0, 6)
    await api.create(receiver.url, rate_limit={"per_s": limit.per_s, "burst": limit.burst}, max_concurrency=100)
    await api.publish(*range(40))
    began = asyncio.get_running_loop().time()
    workers = [deliverer(parts, f"w{i}") for i in range(4)]
    claims = [claim for _ in range(5) for claim in await asyncio.gather(*(w.claim(None, 3) for w in workers))]
    passed_s = asyncio.get_running_loop().time() - began
    assert limit.burst <= sum(len(claim.deliveries) for claim in claims) <= limit.burst + limit.per_s * passed_s + 0.01
