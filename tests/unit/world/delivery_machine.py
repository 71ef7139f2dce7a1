"""
Delivery and people in one world: two workers, a receiver that ends attempts in any order, and changes in between.

The receiver and the machine keep their own books; nothing that is compared comes from the code under test.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, TypeVar

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from monitor.domain.delivery.outcome import Outcome
from monitor.domain.delivery.request import OutboundRequest
from monitor.domain.delivery.retry import RetryPolicy
from monitor.domain.errors import Conflict, Unavailable
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.services.backlogs import BacklogCommands
from monitor.domain.services.deliver import Deliverer
from monitor.domain.services.leases import DeliverConfig
from monitor.domain.services.settle import SentDelivery
from monitor.domain.services.webhooks import WebhookCommands
from monitor.domain.vocab import DeliveryState, ErrorKind
from monitor.domain.webhooks.registration import WebhookSpec
from tests import samples
from tests.fakes.clock import START, FakeClock
from tests.fakes.postgres.database import FakeDatabase
from tests.fakes.postgres.queries.resources import FakeQueries
from tests.fakes.postgres.unit_of_work import FakeUnitOfWork
from tests.unit.world.site import Keys

T = TypeVar("T")

MAX_CONCURRENCY = 4
WINDOW = 20
ANSWERS = (200, 200, 200, 410, 422, 429, 500, None)
"""Status codes; ``None`` is a timeout."""


class Request:
    """One request in the receiver's book. ``version`` is the machine's count of changes when it was sent."""

    def __init__(self, request: OutboundRequest, version: int, at: datetime, answer: Callable[[Outcome], object]):
        self.event_id = dict(request.headers)["webhook-id"]
        self.url = request.url
        self.version = version
        self.at = at
        self.answer = answer
        self.ended_at: datetime | None = None
        self.label = ""

    def abandon(self) -> None:
        """The sender gives up; the receiver has the request all the same."""


class Worker:
    """A deliverer with a clock of its own, and what it has yet to settle."""

    def __init__(self, world: DeliveryMachine, name: str, ahead: timedelta) -> None:
        self.world = world
        self.clock = FakeClock(START + ahead, seed=len(name))
        self.under_way: list[Request] = []
        self.results: list[tuple[SentDelivery, Request]] = []
        self.deliverer = Deliverer(
            world.unit_of_work,
            FakeQueries(world.database),
            self,
            self.clock,
            lambda _key, _content: "v1a,x",
            DeliverConfig(name, undecided_s=1.0),
        )

    def start(self, request: OutboundRequest, on_outcome: Callable[[Outcome], object], **_options: object) -> Request:
        made = Request(request, self.world.version, self.world.clock.now(), on_outcome)
        self.world.requests.append(made)
        self.under_way.append(made)
        return made

    async def send(self, request: OutboundRequest) -> Outcome:
        raise NotImplementedError(request)

    def take(self, sent: SentDelivery) -> None:
        self.results.append((sent, self.under_way.pop(self.world.ending)))


class DeliveryMachine(RuleBasedStateMachine):
    """Laws: each request is stored once; ends decide; a verdict moves its own version only; nothing is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock()
        self.database = FakeDatabase(self.clock)
        self.unit_of_work = lambda: FakeUnitOfWork(self.database)
        self.requests: list[Request] = []
        self.version = 1
        self.ending = 0
        self.judged: list[tuple[datetime, str]] = []
        self.settled: set[int] = set()
        self.lost: set[int] = set()
        self.published = 0
        self.changes = 0
        self.workers = (Worker(self, "a", timedelta(minutes=10)), Worker(self, "bb", timedelta(minutes=-3)))
        self.commands = WebhookCommands(
            self.unit_of_work, FakeQueries(self.database), self.clock, Keys(), lambda url: url
        )

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    @initialize()
    def register(self) -> None:
        made = samples.add_webhook(
            self.unit_of_work,
            self.clock,
            max_concurrency=MAX_CONCURRENCY,
            retry=RetryPolicy((0.0, 1.0, 5.0), 0.0),
        )
        self.webhook_id = self.run(made).id

    # ------------------------------------------------------------------------------------------------------- machines

    def publish(self, count: int) -> None:
        self.run(samples.add_deliveries(self.unit_of_work, self.clock, self.webhook_id, count))
        self.published += count

    @rule(n=st.integers(0, 1), count=st.integers(0, 3))
    def publish_and_claim(self, n: int, count: int) -> None:
        self.publish(count)
        worker = self.workers[n]

        async def work() -> None:
            for delivery in (await worker.deliverer.claim(None, 10)).deliveries:
                worker.deliverer.start(delivery, worker.take)

        self.run(work())

    @precondition(lambda self: any(worker.under_way for worker in self.workers))
    @rule(choice=st.integers(0, 100), answer=st.sampled_from(ANSWERS), took_s=st.sampled_from([0.001, 0.5, 15.0]))
    def end(self, choice: int, answer: int | None, took_s: float) -> None:
        self.advance(took_s)
        busy = [worker for worker in self.workers if worker.under_way]
        worker = busy[choice % len(busy)]
        self.ending = choice // 2 % len(worker.under_way)
        request = worker.under_way[self.ending]
        request.ended_at = self.clock.now()
        latency_ms = (request.ended_at - request.at) / timedelta(milliseconds=1)
        if answer is None:
            request.label, outcome = "timeout", Outcome(latency_ms, error=ErrorKind.TIMEOUT)
        else:
            request.label = "ok" if answer == 200 else str(answer)
            outcome = Outcome(latency_ms, answer, None if answer == 200 else ErrorKind.STATUS, retry_after="2")
        request.answer(outcome)

    @precondition(lambda self: any(worker.results for worker in self.workers))
    @rule(n=st.integers(0, 1), answer_lost=st.booleans())
    def settle(self, n: int, answer_lost: bool) -> None:
        worker = self.workers[n] if self.workers[n].results else self.workers[1 - n]
        batch = [sent for sent, _ in worker.results]
        self.database.answers_lost = answer_lost
        gone = any(request.label == "410" and request.version == self.version for _, request in worker.results)
        try:
            self.run(worker.deliverer.settle(batch))
        except Unavailable:
            assert answer_lost
        for _, request in worker.results:
            new = id(request) not in self.settled
            if new and request.version == self.version and request.ended_at is not None:
                self.judged.append((request.ended_at, request.label))
            self.settled.add(id(request))
        self.database.answers_lost = False
        if not answer_lost:
            worker.results.clear()
        if not self.database.tables.webhooks[self.webhook_id].webhook.enabled:
            assert gone, "a verdict on another configuration disabled this one"
            self.version += 1
            self.patch({"enabled": True})

    @precondition(lambda self: len(self.requests) > 10)
    @rule(n=st.integers(0, 1))
    def crash(self, n: int) -> None:
        worker = self.workers[n]
        self.lost |= {id(one) for one in worker.under_way} | {id(request) for _, request in worker.results}
        self.lost -= self.settled
        worker.under_way.clear()
        worker.results.clear()

    @rule(seconds=st.sampled_from([0.5, 3.0, 31.0, 120.0]))
    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        for clock in (self.clock, *(worker.clock for worker in self.workers)):
            clock.advance(seconds)

    # --------------------------------------------------------------------------------------------------------- people

    @precondition(lambda self: self.requests)
    @rule()
    def change_url(self) -> None:
        self.changes += 1
        self.patch({"url": f"https://{self.changes}.example/hook", "headers": {"X-Team": "blue"}})
        self.judged.clear()

    @precondition(lambda self: self.requests)
    @rule()
    def rename(self) -> None:
        self.changes += 1
        self.patch({"name": f"Orders {self.changes}"})

    @precondition(lambda self: self.requests)
    @rule(seconds=st.sampled_from([0.0, 5.0]))
    def pause_and_resume(self, seconds: float) -> None:
        self.run(self.commands.pause(self.webhook_id, samples.ACTOR))
        self.advance(seconds)
        self.run(self.commands.resume(self.webhook_id, samples.ACTOR))
        self.version += 2

    @precondition(lambda self: self.requests)
    @rule()
    def send_now(self) -> None:
        try:
            self.run(BacklogCommands(self.unit_of_work, self.clock).send_now(self.webhook_id, samples.ACTOR))
        except Conflict:
            assert not self.database.tables.webhooks[self.webhook_id].webhook.enabled

    @precondition(lambda self: self.requests)
    @rule()
    def rotate_secret(self) -> None:
        self.run(self.commands.rotate_secret(self.webhook_id, samples.ACTOR, overlap_s=0.0))
        self.version += 1

    def patch(self, changes: dict[str, Any]) -> None:
        self.run(
            self.commands.patch(
                self.webhook_id,
                changes,
                samples.ACTOR,
                require=lambda _version: None,
                read=lambda patched: msgspec.convert(patched, WebhookSpec),
            )
        )
        self.version += 1

    @precondition(lambda self: self.requests)
    @rule(choice=st.integers(0, 100), retry=st.booleans())
    def decide_by_hand(self, choice: int, retry: bool) -> None:
        tables = self.database.tables
        ids = sorted([*tables.deliveries, *tables.finished])
        by_hand = self.commands.retry_delivery if retry else self.commands.cancel_delivery
        try:
            self.run(by_hand(ids[choice % len(ids)], samples.ACTOR))
        except Conflict:
            assert not tables.deliveries.get(ids[choice % len(ids)])

    # ----------------------------------------------------------------------------------------------------------- laws

    @invariant()
    def every_request_is_stored_once(self) -> None:
        """stored + under way + not settled + lost with a worker == requests seen; rollups count what is stored."""
        stored = Counter(str(one.event_id) for one in self.database.tables.attempts.values())
        assert stored == Counter(one.event_id for one in self.requests if id(one) in self.settled)
        minutes = self.database.tables.minutes.items()
        assert sum(rollup.attempts for (id_, _), rollup in minutes if id_ == SYSTEM_ID) == stored.total()
        open_ = sum(len(worker.under_way) for worker in self.workers)
        unsettled = {id(request) for worker in self.workers for _, request in worker.results} - self.settled
        assert stored.total() + open_ + len(unsettled) + len(self.lost) == len(self.requests)

    @invariant()
    def the_last_ends_are_the_recent_outcomes(self) -> None:
        """recent == the labels of the last 20 ends of the present URL, each judged by its own version."""
        if self.database.tables.lanes:
            recent = self.database.tables.lanes[self.webhook_id].recent
            assert recent == tuple(label for _, label in sorted(self.judged)[-WINDOW:])

    @invariant()
    def nothing_is_lost_or_invented(self) -> None:
        """pending + finished == published; what is delivered was answered 2xx; leases stay within the concurrency."""
        tables = self.database.tables
        assert len(tables.deliveries) + len(tables.finished) == self.published
        answered = {one.event_id for one in self.requests if one.label == "ok"}
        assert all(
            str(one.event_id) in answered for one in tables.finished.values() if one.state is DeliveryState.DELIVERED
        )
        now = self.clock.now()
        leased = sum(one.leased_by is not None and one.due_at > now for one in tables.deliveries.values())
        # The probe goes out beside attempts from before the breaker opened.
        assert leased <= MAX_CONCURRENCY + 1

    def teardown(self) -> None:
        """At rest, every request that its worker survived is stored."""
        try:
            if hasattr(self, "webhook_id"):
                for n, worker in enumerate(self.workers):
                    while worker.under_way:
                        self.end_first(worker)
                    if worker.results:
                        self.settle(n, answer_lost=False)
                self.every_request_is_stored_once()
                self.the_last_ends_are_the_recent_outcomes()
                assert len(self.settled) + len(self.lost) == len(self.requests)
        finally:
            self.loop.close()

    def end_first(self, worker: Worker) -> None:
        self.advance(0.001)
        self.ending = 0
        request = worker.under_way[0]
        request.ended_at, request.label = self.clock.now(), "ok"
        request.answer(replace(samples.OK, latency_ms=(request.ended_at - request.at) / timedelta(milliseconds=1)))
