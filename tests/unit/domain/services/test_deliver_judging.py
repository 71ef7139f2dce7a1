"""Settling attempts: what judges a webhook, and in which order; and what is renewed, released and quarantined."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from msgspec.structs import replace

from monitor.domain.delivery.quarantine import MAX_CRASHES
from monitor.domain.delivery.retry import RetryPolicy
from monitor.domain.vocab import DeliveryState
from tests import samples
from tests.fakes.clock import START, FakeClock
from tests.fakes.egress.sender import FakeWebhookSender
from tests.unit.domain.services.deliver_bench import Bench


async def change_url(bench: Bench, webhook_id: UUID, url: str = "https://new.example/hook") -> None:
    async with bench.unit_of_work() as uow:
        old = await uow.webhooks.get(webhook_id)
        await uow.webhooks.save(replace(old, url=url, version=old.version + 1), None)
        await uow.commit()


async def test_a_late_410_of_an_old_url_disables_nothing_and_the_new_one_is_tried(bench: Bench) -> None:
    webhook_id = await bench.webhook()
    sent = await bench.sent(samples.GONE)
    await change_url(bench, webhook_id)
    assert (await bench.deliverer.settle(sent)).disabled == {}
    assert bench.database.tables.webhooks[webhook_id].webhook.enabled
    bench.clock.advance(10)
    await bench.deliverer.settle(await bench.sent())
    assert bench.sender.requests[-1].url == "https://new.example/hook"
    assert bench.states() == [DeliveryState.DELIVERED]
    assert bench.lane(webhook_id).recent == ("ok",)
    assert bench.counted() == 2


async def test_attempts_of_an_earlier_configuration_judge_nothing(bench: Bench) -> None:
    webhook_id = await bench.webhook(6)
    sent = await bench.sent(samples.TIMED_OUT)
    await change_url(bench, webhook_id)
    bench.database.tables.lanes[webhook_id] = replace(
        bench.lane(webhook_id), failing_since=START - timedelta(days=5, seconds=1)
    )
    before = bench.lane(webhook_id)
    assert (await bench.deliverer.settle(sent)).disabled == {}
    lane = bench.lane(webhook_id)
    assert (lane.recent, lane.health, lane.breaker, lane.failing_since) == (
        before.recent, before.health, before.breaker, before.failing_since
    )  # fmt: skip
    assert lane.unevaluated.attempts == bench.counted() == 6


async def test_a_delivery_that_cannot_be_judged_waits_and_does_not_stop_the_others(bench: Bench) -> None:
    bad = await bench.webhook(retry=RetryPolicy((0.0, "soon")))  # type: ignore[arg-type]
    await bench.webhook()
    settlement = await bench.deliverer.settle(await bench.sent(samples.REFUSED))
    assert settlement.settled == 2
    [(id_, error)] = settlement.undecided.items()
    assert isinstance(error, TypeError)
    waiting = bench.database.tables.deliveries[id_]
    assert (waiting.webhook_id, waiting.due_at) == (bad, START + timedelta(seconds=60))


async def test_a_batch_is_judged_in_the_order_in_which_its_attempts_ended(bench: Bench) -> None:
    webhook_id = await bench.webhook(2)
    claim = await bench.deliverer.claim(None, 10)
    bench.sender.receiver = lambda _: samples.TIMED_OUT
    slow = await samples.send(bench.deliverer, claim.deliveries[0])
    bench.clock.advance(1)
    bench.sender.receiver = lambda _: samples.OK
    quick = await samples.send(bench.deliverer, claim.deliveries[1])
    assert slow is not None
    assert quick is not None
    bench.clock.advance(14)
    await bench.deliverer.settle([slow, quick])
    assert bench.lane(webhook_id).recent == ("ok", "timeout")
    assert bench.lane(webhook_id).failing_since == START + timedelta(seconds=15)


async def test_ends_are_compared_by_the_clock_of_the_database(
    bench: Bench, sender: FakeWebhookSender, clock: FakeClock
) -> None:
    webhook_id = await bench.webhook(2)
    ahead = FakeClock(START + timedelta(minutes=10))
    other = Bench(bench.database, bench.unit_of_work, sender, ahead)
    first = await other.sent(samples.TIMED_OUT, limit=1)
    for one in (clock, ahead):
        one.advance(15)
    await other.deliverer.settle(first)
    assert bench.lane(webhook_id).last_attempt_at == START + timedelta(seconds=15)
    clock.advance(1)
    await bench.deliverer.settle(await bench.sent())
    assert bench.lane(webhook_id).recent == ("timeout", "ok")


async def test_a_renewed_lease_is_not_taken_over(bench: Bench) -> None:
    await bench.webhook()
    claim = await bench.deliverer.claim(None, 10)
    bench.clock.advance(25)
    await bench.deliverer.renew(claim.deliveries)
    bench.clock.advance(25)
    assert (await bench.another("worker-2").claim(None, 10)).deliveries == []


async def test_what_is_released_can_be_claimed_at_once(bench: Bench) -> None:
    await bench.webhook(3)
    claim = await bench.deliverer.claim(None, 10)
    await bench.deliverer.release(claim.deliveries)
    assert len((await bench.another("worker-2").claim(None, 10)).deliveries) == 3


async def test_a_delivery_under_which_workers_keep_dying_is_quarantined(bench: Bench) -> None:
    await bench.webhook()
    for _ in range(MAX_CRASHES):
        assert await bench.count() == 1
        bench.clock.advance(31)
    assert await bench.count() == 0
    assert bench.states() == [DeliveryState.QUARANTINED]
