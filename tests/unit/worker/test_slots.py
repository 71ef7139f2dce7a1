"""A share of the slots stays with webhooks that answer quickly."""

from __future__ import annotations

import asyncio
from uuid import UUID

from msgspec.structs import replace

from monitor.domain.delivery.outcome import Outcome
from monitor.domain.delivery.request import OutboundRequest
from monitor.domain.ports.queue import ClaimedDelivery
from monitor.worker import slots as module
from monitor.worker.slots import Flight, Slots
from tests.fakes.egress.sender import FakePendingSend, FakeWebhookSender
from tests.unit.worker.delivery_site import QUIET, Site, running
from tests.waiting import until

CONCURRENCY = 20


class PartlySlow(FakeWebhookSender):
    """Receivers at ``slow.example`` answer only while ``open`` is set."""

    async def send(self, request: OutboundRequest) -> Outcome:
        self.requests.append(request)
        if "slow.example" in request.url:
            await self.open.wait()
        return self.receiver(request)


async def test_hundreds_of_slow_receivers_leave_slots_to_a_quick_one(site: Site) -> None:
    site.sender = PartlySlow()
    site.sender.open.clear()
    quick = await site.webhook(1)
    worker = site.worker(replace(QUIET, concurrency=CONCURRENCY, poll_s=0.01))
    async with running(worker):
        await until(lambda: site.delivered == 1)
        for _ in range(200):
            await site.webhook(2, url="https://slow.example/hook")
        await until(lambda: len(site.sender.requests) == 16)
        for round_ in range(1, 4):
            await site.publish(quick, 10)
            await until(lambda done=1 + 10 * round_: site.delivered == done)  # type: ignore[misc]
        # Three quarters of the slots are theirs, and no more.
        assert len(worker._in_flight) == 15
        site.sender.open.set()
        await until(lambda: site.delivered == 31 + 400)


async def test_slow_receivers_alone_are_all_sent(site: Site) -> None:
    """Nothing that was deferred is forgotten, without any poll."""
    site.sender = PartlySlow()
    site.sender.open.clear()
    ids = [await site.webhook(3, url="https://slow.example/hook") for _ in range(20)]
    worker = site.worker(replace(QUIET, concurrency=CONCURRENCY))
    async with running(worker):
        await until(lambda: len(site.sender.requests) == 15)
        await site.publish(ids[0])
        await asyncio.sleep(0)
        site.sender.open.set()
        await until(lambda: site.delivered == 61)


def flight(webhook: int, is_quick: bool, since: float = 0.0) -> Flight:
    delivery = ClaimedDelivery(UUID(int=1), UUID(int=2), UUID(int=webhook), 1, 0, "order.paid", b"{}")
    return Flight(delivery, FakePendingSend(None), is_quick, since)  # type: ignore[arg-type]


def test_a_webhook_is_quick_if_one_of_its_two_latest_attempts_was() -> None:
    slots = Slots(CONCURRENCY)
    one = flight(1, False)
    for now, expected in ((0.6, False), (0.1, True), (0.6, True), (0.6, False), (0.4, True), (0.6, True), (0.1, True)):
        slots.begin(one.delivery)
        slots.end(one._replace(is_quick=slots.is_quick(one.delivery)), now)
        assert slots.is_quick(one.delivery) is expected
    slots.watch([one, one], 0.3)
    slots.watch([one], 0.6)
    assert slots.is_quick(one.delivery)
    slots.watch([one, one], 0.6)
    assert not slots.is_quick(one.delivery)


def test_one_that_hangs_after_a_slow_one_is_not_quick() -> None:
    slots = Slots(CONCURRENCY)
    one = flight(1, True)
    for now in (0.1, 0.6):
        slots.end(one, now)
    slots.watch([one], 0.6)
    assert not slots.is_quick(one.delivery)


def test_an_attempt_that_was_not_made_is_not_quick() -> None:
    slots = Slots(CONCURRENCY)
    one = flight(1, True)
    slots.end(one, 0.1)
    slots.end(one, 0.1, made=False)
    assert not slots.is_quick(one.delivery)


def test_the_others_have_three_quarters() -> None:
    slots = Slots(CONCURRENCY)
    for number in range(15):
        assert not slots.is_full
        assert not slots.begin(flight(number, False).delivery)
    assert slots.is_full
    assert slots.defer({UUID(int=99)}) == set()
    assert slots.end_deferral() == []
    slots.end(flight(0, False), 1.0)
    assert slots.end_deferral() == [UUID(int=99)]
    slots.defer(None)
    slots.defer({UUID(int=99)})
    assert slots.end_deferral() is None
    assert slots.end_deferral() == []


def test_a_small_worker_gives_all_of_its_slots_to_all() -> None:
    slots = Slots(2)
    slots.begin(flight(1, False).delivery)
    assert not slots.is_full
    slots.begin(flight(1, False).delivery)
    assert slots.is_full


def test_what_is_remembered_is_bounded() -> None:
    slots = Slots(CONCURRENCY)
    for number in range(module.KNOWN + 5):
        slots.end(flight(number, True), 0.1)
    assert len(slots.defer(None)) == module.KNOWN
