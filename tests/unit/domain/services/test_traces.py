"""One trace from the request that publishes to every attempt."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import msgspec
import pytest

from monitor.domain.delivery.outcome import Outcome
from monitor.domain.errors import Invalid
from monitor.domain.ports.unit_of_work import UnitOfWorkFactory
from monitor.domain.services.deliver import Deliverer
from monitor.domain.services.leases import DeliverConfig
from monitor.domain.services.publish import EventIn, Publisher
from monitor.domain.vocab import BodyFormat, ErrorKind
from tests import samples
from tests.fakes.clock import FakeClock
from tests.fakes.egress.sender import FakeWebhookSender
from tests.fakes.postgres.database import FakeDatabase
from tests.fakes.postgres.queries.resources import FakeQueries
from tests.fakes.tracing import FakeTracing

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
RECEIVED = f"00-{TRACE}-00f067aa0ba902b7-01"
PAID = EventIn(type="order.paid", payload=msgspec.Raw(b"{}"))
DOWN = Outcome(latency_ms=5.0, status_code=503, error=ErrorKind.STATUS)


class Pipeline:
    """From publishing to a receiver, with or without spans."""

    def __init__(
        self, database: FakeDatabase, unit_of_work: UnitOfWorkFactory, clock: FakeClock, tracing: FakeTracing | None
    ) -> None:
        self.clock = clock
        self.sender = FakeWebhookSender()
        self.publisher = Publisher(unit_of_work, clock, tracing)
        self.deliverer = Deliverer(
            unit_of_work,
            FakeQueries(database),
            self.sender,
            clock,
            lambda _key, _content: "v1a,x",
            DeliverConfig("worker-1"),
            tracing=tracing,
        )

    async def publish(self, traceparent: str | None, count: int = 1) -> list[UUID]:
        result = await self.publisher.publish([PAID] * count, samples.ACTOR, traceparent=traceparent)
        return [event.id for event in result.events]

    async def deliver(self, outcome: Outcome = samples.OK) -> list[str | None]:
        """Make the attempts that are due; return the ``traceparent`` that each sent."""
        self.sender.receiver, before = (lambda _: outcome), len(self.sender.requests)
        claim = await self.deliverer.claim(None, 10)
        made = [await samples.send(self.deliverer, delivery) for delivery in claim.deliveries]
        await self.deliverer.settle([sent for sent in made if sent is not None])
        return [dict(request.headers).get("traceparent") for request in self.sender.requests[before:]]


@pytest.fixture
def tracing() -> FakeTracing:
    return FakeTracing()


@pytest.fixture
def traced(database: FakeDatabase, unit_of_work: UnitOfWorkFactory, clock: FakeClock, tracing: FakeTracing) -> Pipeline:
    return Pipeline(database, unit_of_work, clock, tracing)


@pytest.fixture
def plain(database: FakeDatabase, unit_of_work: UnitOfWorkFactory, clock: FakeClock) -> Pipeline:
    return Pipeline(database, unit_of_work, clock, None)


async def test_without_spans_a_trace_goes_on_as_it_is(
    plain: Pipeline, unit_of_work: UnitOfWorkFactory, clock: FakeClock
) -> None:
    await samples.add_webhook(unit_of_work, clock)
    await plain.publish(RECEIVED)
    assert await plain.deliver(DOWN) == [RECEIVED]
    clock.advance(60)
    assert await plain.deliver() == [RECEIVED]


@pytest.mark.parametrize("received", [None, "none", f"{RECEIVED}, {RECEIVED}"])
async def test_without_spans_none_begins(
    plain: Pipeline, unit_of_work: UnitOfWorkFactory, clock: FakeClock, received: str | None
) -> None:
    await samples.add_webhook(unit_of_work, clock)
    await plain.publish(received)
    assert await plain.deliver() == [None]


@pytest.mark.parametrize("received", [RECEIVED, None])
async def test_each_attempt_is_a_child_of_the_request(
    traced: Pipeline,
    tracing: FakeTracing,
    unit_of_work: UnitOfWorkFactory,
    clock: FakeClock,
    received: str | None,
) -> None:
    await samples.add_webhook(unit_of_work, clock, url="https://orders.example/hook?token=secret")
    ids = await traced.publish(received)
    assert await traced.deliver(DOWN) == [tracing.spans[1].traceparent]
    clock.advance(timedelta(days=1).total_seconds())
    assert await traced.deliver() == [tracing.spans[2].traceparent]
    request, first, second = tracing.spans
    assert (request.parent, request.event_ids) == (received, ids)
    assert first.parent == second.parent == request.traceparent
    assert [first.outcome, second.outcome] == [DOWN, samples.OK]
    assert all(span.is_ended for span in tracing.spans)
    assert {span.traceparent.split("-")[1] for span in tracing.spans if span.traceparent} == {
        TRACE if received else f"{1:032x}"
    }
    assert {first.url, second.url} == {"https://orders.example/hook?***"}


async def test_the_events_of_a_batch_share_the_span_of_their_request(
    traced: Pipeline, tracing: FakeTracing, unit_of_work: UnitOfWorkFactory, clock: FakeClock
) -> None:
    await samples.add_webhook(unit_of_work, clock)
    ids = await traced.publish(RECEIVED, 3)
    await traced.deliver()
    request, *attempts = tracing.spans
    assert request.event_ids == ids
    assert {span.parent for span in attempts} == {request.traceparent}


async def test_what_is_refused_begins_no_span(traced: Pipeline, tracing: FakeTracing) -> None:
    with pytest.raises(Invalid):
        await traced.publisher.publish([], samples.ACTOR, traceparent=RECEIVED)
    assert tracing.spans == []


async def test_a_span_of_a_chat_service_has_its_origin_alone(
    traced: Pipeline, tracing: FakeTracing, unit_of_work: UnitOfWorkFactory, clock: FakeClock
) -> None:
    url = "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX"
    await samples.add_webhook(unit_of_work, clock, url=url, body_format=BodyFormat.SLACK)
    await traced.publish(None)
    await traced.deliver()
    assert tracing.spans[1].url == "https://hooks.slack.com/***"
