"""Leases: who may send, and that nothing is lost when a worker or a write fails."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from statistics import median

import pytest
from aiohttp import web

from monitor.bootstrap.container import Container
from monitor.domain.delivery.quarantine import MAX_CRASHES
from monitor.domain.ports.queue import ClaimedDelivery
from monitor.domain.services.deliver import Deliverer
from monitor.settings.schema import Worker
from tests.integration.lease_support import claim_one, cut_connections, failing
from tests.integration.support import (
    Api,
    Received,
    Receiver,
    answering,
    deliverer,
    delivery_of,
    eventually,
    finished,
    settings,
    sql,
    working,
)

URL = "http://127.0.0.1:9/hook"


# Leases ----------------------------------------------------------------------------------------------------------


async def test_a_lease_that_is_renewed_is_not_taken_over(api: Api, receiver: Receiver, parts: Container) -> None:
    ended = asyncio.Event()

    async def answer(_: Received) -> web.Response:
        await ended.wait()
        return web.Response()

    receiver.answer = answer
    await api.create(receiver.url)
    brief = settings(parts.database.dsn, worker=Worker(lease_s=3, renew_s=0.3, poll_s=0.05))
    async with Container(brief) as one, Container(brief) as two, working(one, "a"), working(two, "b"), sql(parts) as db:
        await api.publish(1)
        await receiver.takes(1)
        until = await db.fetchval("SELECT due_at FROM deliveries")
        await eventually(lambda: db.fetchval("SELECT now() > $1", until))
        ended.set()
        (row,) = await finished(api, 1)
    assert (row["state"], row["attempts"]) == ("delivered", 1)
    assert len(receiver.requests) == 1


async def test_a_dead_workers_deliveries_are_taken_over_when_the_lease_runs_out(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    await api.create(receiver.url)
    ids = await api.publish(*range(10))
    dead = deliverer(parts, "dead", lease_s=0.5)
    assert len((await dead.claim(None, 100)).deliveries) == 10
    async with working(parts):
        await receiver.takes(10)
        await finished(api, 10)
    assert sorted(receiver.ids) == sorted(ids)


async def test_a_delivery_that_keeps_killing_workers_is_quarantined_and_may_be_retried(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    await api.create(receiver.url)
    (event,) = await api.publish(1)
    victim = deliverer(parts, "victim", lease_s=0.01)
    for _ in range(MAX_CRASHES):
        assert await eventually(lambda: claim_one(victim))

    async def quarantined() -> bool:
        assert await claim_one(victim) is None
        return bool((await delivery_of(api, event))["state"] == "quarantined")

    await eventually(quarantined)
    delivery = await delivery_of(api, event)
    assert (await api.read(f"events/{event}"))["deliveries"]["quarantined"] == 1
    async with working(parts):
        assert (await api.post(f"deliveries/{delivery['id']}/retry")).status_code == 200
        await receiver.takes(1)
        await finished(api, 1)
    assert (await delivery_of(api, event))["state"] == "delivered"


# Claims ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("webhooks", [1, 20])
async def test_claims_of_four_workers_never_overlap(api: Api, parts: Container, webhooks: int) -> None:
    for _ in range(webhooks):
        await api.create(URL, max_concurrency=1000)
    await api.publish(*range(1000 // webhooks))
    workers = [deliverer(parts, f"w{i}") for i in range(4)]
    claimed: list[list[ClaimedDelivery]] = [[] for _ in workers]

    async def claim_all(worker: Deliverer, into: list[ClaimedDelivery]) -> None:
        while sum(map(len, claimed)) < 1000:
            into += (await worker.claim(None, 37)).deliveries

    async with asyncio.timeout(60):
        await asyncio.gather(*map(claim_all, workers, claimed))
    ids = [delivery.id for delivery in itertools.chain(*claimed)]
    assert len(ids) == len(set(ids)) == 1000
    assert await claim_one(workers[0]) is None
    async with sql(parts) as connection:
        leases = await connection.fetch("SELECT leased_by, count(*) AS n FROM deliveries GROUP BY 1")
    assert {row["leased_by"]: row["n"] for row in leases} == {
        f"w{i}": len(mine) for i, mine in enumerate(claimed) if mine
    }


async def test_a_claim_shares_itself_out_between_webhooks(api: Api, parts: Container) -> None:
    greedy = await api.create(URL, event_types=["greedy"], max_concurrency=1000)
    modest = [await api.create(URL, event_types=["modest"]) for _ in range(4)]
    await api.publish(*range(500), type="greedy")
    await api.publish(*range(2), type="modest")
    counts = Counter(str(d.webhook_id) for d in (await deliverer(parts, "w").claim(None, 100)).deliveries)
    assert [counts[webhook["id"]] for webhook in modest] == [2, 2, 2, 2]
    assert 20 <= counts[greedy["id"]] <= 92


# Failures of the write -------------------------------------------------------------------------------------------


async def test_a_settle_that_fails_for_an_outage_is_repeated_and_nothing_is_sent_twice(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    await api.create(receiver.url)
    async with working(parts) as worker:
        # Attempts and states are written before rollups, so this fails in the middle.
        async with failing(parts, "rollups_minute", "57P01"):
            ids = await api.publish(*range(20))
            await eventually(lambda: len(receiver.requests) >= 10 and worker.held >= 10)
            assert {row["state"] for row in (await api.read("deliveries"))["items"]} == {"pending"}
        rows = await finished(api, 20)
    assert {(row["state"], row["attempts"]) for row in rows} == {("delivered", 1)}
    assert sorted(receiver.ids) == sorted(ids)
    assert (await api.read("dashboard/overview"))["traffic"]["attempts"] == 20


async def test_a_worker_lives_through_connections_that_are_cut(api: Api, receiver: Receiver, parts: Container) -> None:
    async def answer(_: Received) -> web.Response:
        await asyncio.sleep(0.02)
        return web.Response()

    receiver.answer = answer
    await api.create(receiver.url)
    ids = await api.publish(*range(100))
    own = settings(parts.database.dsn, worker=Worker(poll_s=0.05, lease_s=1, renew_s=0.2))
    async with Container(own) as victim, working(victim):
        for i in range(1, 5):
            await receiver.takes(20 * i)
            await cut_connections(parts)
        rows = await finished(api, 100)
    assert {row["state"] for row in rows} == {"delivered"}
    assert set(receiver.ids) == set(ids)


# Stopping --------------------------------------------------------------------------------------------------------


async def test_a_worker_that_stops_finishes_what_is_in_flight(api: Api, receiver: Receiver, parts: Container) -> None:
    async def answer(_: Received) -> web.Response:
        await asyncio.sleep(0.3)
        return web.Response()

    receiver.answer = answer
    await api.create(receiver.url, max_concurrency=5)
    async with working(parts):
        await api.publish(*range(20))
        await receiver.takes(5)
    assert len(receiver.requests) == 5
    states = Counter(row["state"] for row in (await api.read("deliveries"))["items"])
    assert states == {"delivered": 5, "pending": 15}
    async with sql(parts) as connection:
        assert await connection.fetchval("SELECT count(*) FROM deliveries WHERE leased_by IS NOT NULL") == 0


async def test_a_worker_that_stops_gives_back_what_it_could_not_finish(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    hanging = asyncio.Event()

    async def answer(_: Received) -> web.Response:
        await hanging.wait()
        return web.Response()

    receiver.answer = answer
    await api.create(receiver.url, max_concurrency=5)
    impatient = settings(parts.database.dsn, worker=Worker(poll_s=0.1, drain_s=0.1, lease_s=3600))
    async with Container(impatient) as own, working(own):
        ids = await api.publish(*range(5))
        await receiver.takes(5)
    hanging.set()
    # At once, and not when the lease has run out.
    async with working(parts):
        await receiver.takes(10)
        await finished(api, 5)
    assert Counter(receiver.ids) == Counter(ids * 2)


# Wake-ups --------------------------------------------------------------------------------------------------------


async def test_an_event_is_sent_at_once_and_not_at_the_next_poll(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    await api.create(receiver.url)
    rare = settings(parts.database.dsn, worker=Worker(poll_s=3600))
    delays = []
    async with Container(rare) as own, working(own):
        await api.publish(0)
        await receiver.takes(1)
        for i in range(2, 22):
            await api.publish(i)
            accepted = time.monotonic()
            (*_, request) = await receiver.takes(i)
            delays.append(request.at - accepted)
    assert median(delays) < 5


async def test_a_lost_wake_up_is_made_up_for_by_the_poll(api: Api, receiver: Receiver, parts: Container) -> None:
    await api.create(receiver.url)
    async with working(parts):
        await api.publish(1)
        await receiver.takes(1)
        await finished(api, 1)
        # As if its NOTIFY had been lost: made due by hand.
        async with sql(parts) as connection:
            await connection.execute(
                "INSERT INTO deliveries (id, event_id, webhook_id, due_at)"
                " SELECT id, event_id, webhook_id, now() FROM deliveries_finished"
            )
        await receiver.takes(2)


async def test_a_killed_listener_comes_back_and_misses_nothing(api: Api, receiver: Receiver, parts: Container) -> None:
    await api.create(receiver.url)
    rare = settings(parts.database.dsn, worker=Worker(poll_s=3600))
    async with Container(rare) as own, working(own):
        await api.publish(1)
        await receiver.takes(1)
        for i in range(2):
            await cut_connections(parts, "query LIKE 'LISTEN%'")
            await api.publish(*range(5))
            await receiver.takes(6 + 5 * i)


async def test_a_retry_and_a_resume_wake_the_worker_too(api: Api, receiver: Receiver, parts: Container) -> None:
    receiver.answer = answering(500, 200)
    created = await api.create(receiver.url, retry={"schedule_s": [0, 3600], "jitter_ratio": 0})
    rare = settings(parts.database.dsn, worker=Worker(poll_s=3600))
    async with Container(rare) as own, working(own) as worker:
        (event,) = await api.publish(1)
        await receiver.takes(1)
        await eventually(lambda: worker.held == 0)
        (id_,) = await api.ids("deliveries", event_id=event)
        await api.post(f"deliveries/{id_}/retry")
        await receiver.takes(2)
        await api.post(f"webhooks/{created['id']}/pause")
        await api.publish(2)
        await api.post(f"webhooks/{created['id']}/resume")
        await receiver.takes(3)
