"""Claim, send, settle."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

import msgspec
import pytest
from msgspec.structs import replace

from monitor.domain.delivery.body_formats import render_body
from monitor.domain.delivery.circuit_breaker import Breaker, BreakerState
from monitor.domain.delivery.fan_out import NewDelivery
from monitor.domain.delivery.rate_limit import RateLimit
from monitor.domain.delivery.retry import RetryPolicy
from monitor.domain.errors import Unavailable
from monitor.domain.ports.queue import ClaimedDelivery
from monitor.domain.ports.unit_of_work import UnitOfWorkFactory
from monitor.domain.services.deliver import Deliverer
from monitor.domain.services.leases import DeliverConfig
from monitor.domain.vocab import BodyFormat
from monitor.domain.webhooks.destination import Destination
from monitor.domain.webhooks.signatures import sign_v1, signed_content
from tests import samples
from tests.fakes.clock import START, FakeClock
from tests.fakes.egress.sender import FakeWebhookSender
from tests.fakes.postgres.database import FakeDatabase
from tests.fakes.postgres.queries.resources import FakeQueries
from tests.unit.domain.services.deliver_bench import Bench

# ---------------------------------------------------------------------------------------------------------------- claim


async def test_a_claim_leases_what_is_due_and_says_who_has_more(bench: Bench) -> None:
    small, large = await bench.webhook(2), await bench.webhook(15)
    claim = await bench.deliverer.claim(None, 100)
    assert len(claim.deliveries) == 12
    assert claim.exhausted == {large}
    assert await bench.count([small]) == 0


async def test_a_claim_stays_within_its_limit_and_shares_it(bench: Bench) -> None:
    first, second = await bench.webhook(5), await bench.webhook(5)
    claim = await bench.deliverer.claim(None, 4)
    assert sorted(delivery.webhook_id for delivery in claim.deliveries) == sorted([first, first, second, second])


async def test_a_full_lane_gets_nothing_more_until_something_settles(bench: Bench) -> None:
    await bench.webhook(5, max_concurrency=2)
    sent = await bench.sent()
    assert len(sent) == 2
    assert await bench.count() == 0
    await bench.deliverer.settle(sent)
    assert await bench.count() == 2


async def test_a_rate_limit_holds_across_claims(bench: Bench) -> None:
    webhook_id = await bench.webhook(10, rate_limit=RateLimit(2.0, 3))
    claim = await bench.deliverer.claim(None, 100)
    assert len(claim.deliveries) == 3
    assert claim.refill_s == {webhook_id: 0.5}
    assert await bench.count() == 0
    bench.clock.advance(1)
    assert await bench.count() == 2


async def test_an_ordered_webhook_gets_one_at_a_time_in_order(bench: Bench) -> None:
    await bench.webhook(3, ordered=True)
    order = []
    for _ in range(3):
        [sent] = await bench.sent()
        order.append(sent.delivery.id)
        await bench.deliverer.settle([sent])
    assert order == sorted(order)


async def test_an_open_breaker_lets_one_probe_through_and_its_success_releases_the_rest(bench: Bench) -> None:
    webhook_id = await bench.webhook(8)
    open_ = Breaker(BreakerState.OPEN, START + timedelta(seconds=30), 1)
    bench.database.tables.lanes[webhook_id] = replace(bench.lane(webhook_id), breaker=open_)
    assert await bench.count() == 0
    bench.clock.advance(30)
    probe = await bench.sent()
    assert len(probe) == 1
    assert bench.lane(webhook_id).breaker.state is BreakerState.HALF_OPEN
    assert await bench.count() == 0
    await bench.deliverer.settle(probe)
    assert await bench.count() == 7


@pytest.mark.parametrize("after_s", [0.0, 5.0])
async def test_a_probe_that_is_released_unsent_makes_the_next_one_due(bench: Bench, after_s: float) -> None:
    webhook_id = await bench.webhook(3)
    bench.database.tables.lanes[webhook_id] = replace(
        bench.lane(webhook_id), breaker=Breaker(BreakerState.OPEN, START, 1)
    )
    (probe,) = (await bench.deliverer.claim(None, 10)).deliveries
    assert await bench.count() == 0
    await bench.deliverer.release([probe], after_s=after_s)
    (again,) = (await bench.deliverer.claim(None, 10)).deliveries
    assert bench.lane(webhook_id).breaker.trips == 1
    # What is released once more after its lease was taken over admits no second probe.
    await bench.deliverer.release([probe])
    assert await bench.count() == 0
    bench.sender.receiver = lambda _: samples.OK
    sent = await samples.send(bench.deliverer, again)
    assert sent is not None
    await bench.deliverer.settle([sent])
    assert bench.lane(webhook_id).breaker.state is BreakerState.CLOSED


async def test_a_probe_that_may_not_be_sent_any_more_makes_the_next_one_due(bench: Bench) -> None:
    webhook_id = await bench.webhook(3)
    bench.database.tables.lanes[webhook_id] = replace(
        bench.lane(webhook_id), breaker=Breaker(BreakerState.OPEN, START, 1)
    )
    stock = (await bench.deliverer.claim(None, 10)).deliveries
    async with bench.unit_of_work() as uow:
        await uow.webhooks.set_paused(webhook_id, True)
        await uow.commit()
    assert (await bench.deliverer.check(stock)).sendable == []
    async with bench.unit_of_work() as uow:
        await uow.webhooks.set_paused(webhook_id, False)
        await uow.commit()
    assert await bench.count() == 1


async def test_a_claim_that_cannot_read_destinations_leases_nothing(
    database: FakeDatabase, unit_of_work: UnitOfWorkFactory, sender: FakeWebhookSender, clock: FakeClock
) -> None:
    class Unreadable(FakeQueries):
        async def destinations(self, webhook_ids: Collection[UUID]) -> dict[UUID, tuple[int, Destination]]:
            raise Unavailable(f"The database went away before {len(webhook_ids)} were read.")

    await Bench(database, unit_of_work, sender, clock).webhook(1)
    deliverer = Deliverer(
        unit_of_work, Unreadable(database), sender, clock, lambda _k, _c: "", DeliverConfig("worker-1")
    )
    with pytest.raises(Unavailable):
        await deliverer.claim(None, 10)
    [delivery] = database.tables.deliveries.values()
    assert (delivery.leased_by, delivery.fencing_token) == (None, 0)


async def test_a_webhook_whose_secrets_do_not_open_is_left_as_it_is(
    database: FakeDatabase, unit_of_work: UnitOfWorkFactory, sender: FakeWebhookSender, clock: FakeClock
) -> None:
    sealed: set[UUID] = set()
    asked: list[UUID] = []

    class Sealed(FakeQueries):
        async def destinations(self, webhook_ids: Collection[UUID]) -> dict[UUID, tuple[int, Destination]]:
            asked.extend(webhook_ids)
            found = await super().destinations(webhook_ids)
            return {id_: one for id_, one in found.items() if id_ not in sealed}

    bench = Bench(database, unit_of_work, sender, clock)
    sealed.add(await bench.webhook(1, rate_limit=RateLimit(1.0, 4)))
    other = await bench.webhook(1)
    before = {id_: database.tables.lanes[id_] for id_ in sealed}, dict(database.tables.deliveries)
    deliverer = Deliverer(unit_of_work, Sealed(database), sender, clock, lambda _k, _c: "", DeliverConfig("worker-1"))
    assert [one.webhook_id for one in (await deliverer.claim(None, 1)).deliveries] == [other]
    for hints in (None, [*sealed]):
        assert (await deliverer.claim(hints, 10)).deliveries == []
    left = {id_: one for id_, one in database.tables.deliveries.items() if one.webhook_id in sealed}
    assert ({id_: database.tables.lanes[id_] for id_ in sealed}, left) == (
        before[0],
        {id_: before[1][id_] for id_ in left},
    )
    # Not asked for again and again.
    assert sum(id_ in sealed for id_ in asked) <= 2
    # Another worker has the key; so has this one after half a minute, when the secret was resealed.
    assert len((await bench.deliverer.claim(None, 10)).deliveries) == 1
    await bench.deliverer.release([])
    clock.advance(31)
    sealed.clear()
    assert len((await deliverer.claim(None, 10)).deliveries) == 2


async def test_old_stock_above_the_rate_limit_is_released(bench: Bench) -> None:
    await bench.webhook(10, rate_limit=RateLimit(1.0, 4))
    stock = (await bench.deliverer.claim(None, 100)).deliveries
    bench.clock.advance(3)
    stock += (await bench.deliverer.claim(None, 100)).deliveries
    bench.clock.advance(60)
    assert len(stock) == 7
    # Charged one after another, sent at one time: no more than a full bucket.
    assert (await bench.deliverer.check(stock)).sendable == stock[:4]
    assert sum(row.leased_by is not None for row in bench.database.tables.deliveries.values()) == 4


# ----------------------------------------------------------------------------------------------------------------- send


async def test_an_event_is_sent_signed_byte_for_byte_under_its_id(bench: Bench) -> None:
    await bench.webhook()
    [sent] = await bench.sent()
    [request] = bench.sender.requests
    headers = dict(request.headers)
    assert request.body == b'{"amount": 1}'
    assert headers["webhook-id"] == str(sent.delivery.event_id)
    assert headers["monitor-event-type"] == "order.paid"
    assert headers["X-Team"] == "blue"
    assert headers["webhook-signature"].startswith("v1,")


async def test_a_chat_gets_a_message_about_the_event_signed_as_it_is_sent(bench: Bench) -> None:
    await bench.webhook(body_format=BodyFormat.SLACK)
    [sent] = await bench.sent()
    [request] = bench.sender.requests
    assert request.body == render_body(BodyFormat.SLACK, "order.paid", b'{"amount": 1}').body != b'{"amount": 1}'
    headers = dict(request.headers)
    content = signed_content(str(sent.delivery.event_id), int(headers["webhook-timestamp"]), request.body)
    assert headers["webhook-signature"] == sign_v1(samples.KEY, content)


async def test_a_message_about_an_alert_says_how_late_it_is_at_each_attempt(bench: Bench) -> None:
    webhook_id = await bench.webhook(0, retry=RetryPolicy((0.0, 1_080.0), 0.0))
    payload = msgspec.json.encode({"timestamp": START, "data": {}})
    event = samples.event(bench.clock, type="monitor.alert.raised", payload=payload)
    async with bench.unit_of_work() as uow:
        await uow.events.add([event], [NewDelivery(bench.clock.new_id(), event.id, webhook_id)])
        await uow.commit()
    await bench.deliverer.settle(await bench.sent(samples.REFUSED))
    bench.clock.advance(1_080)
    await bench.sent()
    assert [msgspec.json.decode(request.body)["late_s"] for request in bench.sender.requests] == [0, 1_080]


async def test_an_error_of_teams_under_the_status_of_a_success_is_a_failure(bench: Bench) -> None:
    webhook_id = await bench.webhook(body_format=BodyFormat.TEAMS)
    body = (
        b"Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429 with ContextId x"
    )
    await bench.deliverer.settle(await bench.sent(replace(samples.OK, status_code=200, response_body=body)))
    assert bench.states() == []
    [waiting] = bench.database.tables.deliveries.values()
    assert (waiting.last_status_code, waiting.last_error) == (429, "status")
    assert bench.lane(webhook_id).throttled_until is not None


async def test_a_destination_is_read_again_when_it_changes_or_grows_old(bench: Bench) -> None:
    webhook_id = await bench.webhook()

    async def signatures() -> int:
        await samples.add_deliveries(bench.unit_of_work, bench.clock, webhook_id)
        await bench.deliverer.settle(await bench.sent())
        return len(dict(bench.sender.requests[-1].headers)["webhook-signature"].split(" "))

    assert await signatures() == 1
    async with bench.unit_of_work() as uow:
        await uow.webhooks.rotate_secret(webhook_id, b"n" * 32, overlap_s=15)
        await uow.commit()
    assert await signatures() == 2
    bench.clock.advance(29)
    assert await signatures() == 2
    bench.clock.advance(1)
    assert await signatures() == 1


async def test_nothing_is_sent_to_a_webhook_whose_destination_is_unknown(bench: Bench) -> None:
    claimed = ClaimedDelivery(UUID(int=1), UUID(int=2), UUID(int=3), 1, 0, "order.paid", b"{}")
    assert await samples.send(bench.deliverer, claimed) is None
    assert bench.sender.requests == []


def test_a_destination_never_shows_its_keys() -> None:
    shown = repr(Destination("https://a.example/", 1.0, (("X", "secret"),), "v1", (b"key",)))  # type: ignore[arg-type]
    assert "secret" not in shown
    assert "key" not in shown


@pytest.mark.parametrize(
    ("slept_s", "taken_over", "may_write"), [(20, False, True), (22, False, False), (0, True, False)]
)
async def test_an_attempt_that_is_not_written_yet_ends_with_its_lease(
    bench: Bench, clock: FakeClock, slept_s: float, taken_over: bool, may_write: bool
) -> None:
    await bench.webhook()
    [delivery] = (await bench.deliverer.claim(None, 10)).deliveries
    bench.deliverer.start(delivery, lambda _sent: None)
    if taken_over:
        clock.advance(31)
        assert len((await bench.another("worker-2").claim(None, 10)).deliveries) == 1
        await bench.deliverer.renew([delivery])
    clock.advance(slept_s)
    assert bench.sender.may_write is not None
    assert bench.sender.may_write() is may_write


async def test_a_renewed_lease_lets_an_attempt_be_written(bench: Bench, clock: FakeClock) -> None:
    await bench.webhook()
    [delivery] = (await bench.deliverer.claim(None, 10)).deliveries
    bench.deliverer.start(delivery, lambda _sent: None)
    clock.advance(20)
    await bench.deliverer.renew([delivery])
    clock.advance(20)
    assert bench.sender.may_write is not None
    assert bench.sender.may_write()
