"""What a worker has leased and not sent, while users and other workers go on."""

from __future__ import annotations

import pytest

from monitor.bootstrap.container import Container
from tests import samples
from tests.integration.support import Api, Receiver, deliverer, execute, sql


@pytest.mark.parametrize("change", ["pause", "cancel", "delete", "disable"])
async def test_what_was_stopped_is_not_sendable(api: Api, receiver: Receiver, parts: Container, change: str) -> None:
    other = await api.create(receiver.url)
    stopped = await api.create(receiver.url)
    await api.publish(1)
    worker = deliverer(parts, "a")
    stock = (await worker.claim(None, 10)).deliveries
    assert len(stock) == 2
    (delivery,) = [str(one.id) for one in stock if str(one.webhook_id) == stopped["id"]]
    route = f"webhooks/{stopped['id']}"
    match change:
        case "pause":
            answer = await api.post(f"{route}/pause")
        case "cancel":
            answer = await api.post(f"deliveries/{delivery}/cancel")
        case "delete":
            answer = await api.call("DELETE", route)
        case _:
            answer = await api.call("PATCH", route, json={"enabled": False})
    assert answer.status_code in {200, 204}
    checked = await worker.check(stock)
    assert [str(one.webhook_id) for one in checked.sendable] == [other["id"]]
    assert checked.undetermined == []
    async with sql(parts) as db:
        left = await db.fetch("SELECT leased_by, crashes FROM deliveries WHERE webhook_id = $1", stopped["id"])
    kept = change in {"pause", "disable"}
    assert [(row["leased_by"], row["crashes"]) for row in left] == [(None, 0)] * kept


async def test_a_changed_url_is_where_old_stock_goes(api: Api, receiver: Receiver, parts: Container) -> None:
    webhook = await api.create("http://127.0.0.1:9/hook")
    await api.publish(1)
    worker = deliverer(parts, "a")
    stock = (await worker.claim(None, 10)).deliveries
    await api.call("PATCH", f"webhooks/{webhook['id']}", json={"url": receiver.url})
    (sendable,) = (await worker.check(stock)).sendable
    sent = await samples.send(worker, sendable)
    assert sent is not None
    assert sent.outcome.ok
    assert (await worker.settle([sent])).settled == 1


async def test_what_another_worker_took_is_lost(api: Api, receiver: Receiver, parts: Container) -> None:
    await api.create(receiver.url)
    await api.publish(1)
    asleep, other = deliverer(parts, "asleep", lease_s=0.0), deliverer(parts, "other")
    stock = (await asleep.claim(None, 10)).deliveries
    assert len((await other.claim(None, 10)).deliveries) == 1
    checked = await asleep.check(stock)
    assert (checked.sendable, checked.undetermined) == ([], [])
    assert await asleep.renew(stock) == stock


async def test_a_worker_leaves_out_what_it_still_holds(api: Api, receiver: Receiver, parts: Container) -> None:
    await api.create(receiver.url)
    await api.publish(1)
    worker = deliverer(parts, "a", lease_s=0.0)
    (held,) = (await worker.claim(None, 10)).deliveries
    assert (await worker.claim(None, 10, [held.id])).deliveries == []
    assert len((await worker.claim(None, 10)).deliveries) == 1


async def test_tokens_of_old_stock_are_charged_when_it_is_sent(api: Api, receiver: Receiver, parts: Container) -> None:
    await api.create(receiver.url, rate_limit={"per_s": 1.0, "burst": 4})
    await api.publish(*range(10))
    worker = deliverer(parts, "a")
    stock = (await worker.claim(None, 10)).deliveries
    assert len(stock) == 4
    await execute(parts, "UPDATE webhook_lanes SET tokens_at = tokens_at - interval '1 hour'")
    assert (await worker.check(stock[:3])).sendable == stock[:3]
    # A full bucket holds four: three are sent now, so one is left.
    assert len((await worker.claim(None, 10)).deliveries) == 1
