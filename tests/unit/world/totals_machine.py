"""
From acceptance to the end of each delivery, under users, crashes and outages: nothing accepted is out of reach.

The same rules run on the fakes and on PostgreSQL. Each command and each step may crash before or after its commit; what
was not answered is asked for again, as a client does.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import timedelta
from typing import Any, Literal, TypeVar

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from monitor.domain.delivery.bulk import BulkAction, BulkSpec
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.delivery.replay import UNDELIVERED, ReplaySource, ReplaySpec
from monitor.domain.delivery.retry import RetryPolicy
from monitor.domain.delivery.selection import DeliveryFilter
from monitor.domain.errors import Conflict, NotFound
from monitor.domain.ports.unit_of_work import UnitOfWork
from monitor.domain.services.bulk import BulkCommands
from monitor.domain.services.fan_outs import FanOutCommands
from monitor.domain.services.jobs import JobCommands
from monitor.domain.services.publish import EventIn, Publisher
from monitor.domain.services.replays import ReplayCommands
from monitor.domain.services.resends import ResendCommands, ResendSpec
from monitor.domain.services.webhooks import WebhookCommands
from monitor.domain.views.deliveries import DeliveryView
from monitor.domain.vocab import DeliveryState, ErrorKind, FanOutState
from monitor.domain.webhooks.registration import WebhookSpec
from tests import samples
from tests.integration.contract.world import World
from tests.unit.world.site import Keys
from tests.unit.world.totals_journal import Journal, Pair, Subscriber
from tests.unit.world.totals_worker import LEASE_S, Worker, patch

T = TypeVar("T")

WEBHOOKS_MAX, ROUNDS = 4, 60
LONGEST_HOLD_S, PENDING = 4_000.0, DeliveryState.PENDING
DAY, MILLISECOND = timedelta(days=1), timedelta(milliseconds=1)
KINDS: tuple[dict[str, Any], ...] = ({}, {}, {"ordered": True}, {"ordered": "key"})

Crash = Literal["before", "after"] | None
CRASHES = st.sampled_from([None, None, None, "before", "after"])
WHICH = st.integers(0, WEBHOOKS_MAX - 1)


class Crashed(Exception):
    """The process ended before or after a commit."""


class TotalsMachine(RuleBasedStateMachine):
    """Laws: see :class:`Journal`; at rest, all that was accepted has ended, what failed or was cancelled is delivered
    by a replay, and what came while a webhook was disabled or did not exist by a backfill."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.crash: Crash = None
        self.keys = 0
        self.journal = Journal()

    async def open(self) -> World:
        """Return an empty world."""
        raise NotImplementedError

    async def close(self) -> None:
        """Leave the world."""

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    @initialize(kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=3))
    def begin(self, kinds: list[dict[str, Any]]) -> None:
        self.world = self.run(self.open())
        self.publisher = Publisher(self.unit_of_work, self.world.clock)
        self.fan_outs = FanOutCommands(self.unit_of_work)
        self.jobs = JobCommands(self.unit_of_work)
        self.replays = ReplayCommands(self.unit_of_work, self.world.clock)
        self.resends = ResendCommands(self.unit_of_work, self.world.clock)
        self.bulk = BulkCommands(self.unit_of_work, self.world.clock)
        self.commands = WebhookCommands(
            self.unit_of_work, self.world.queries, self.world.clock, Keys(), lambda url: url
        )
        self.workers = tuple(Worker(name, self.world, self.unit_of_work, self.answer) for name in "ab")
        for kind in kinds:
            self.create(kind, None)

    def unit_of_work(self) -> UnitOfWork:
        made = self.world.unit_of_work()
        crash, commit = self.crash, made.commit

        async def crashing() -> None:
            if crash == "after":
                await commit()
            raise Crashed(crash)

        if crash is not None:
            setattr(made, "commit", crashing)  # noqa: B010 - a method, to mypy
        return made

    def ask(self, operation: Callable[[], Coroutine[Any, Any, T]], crash: Crash) -> T:
        """Do it, and do it again if it crashes."""
        self.crash = crash
        try:
            return self.run(operation())
        except Crashed:
            self.crash = None
            return self.run(operation())
        finally:
            self.crash = None

    def key(self) -> dict[str, Any]:
        self.keys += 1
        return {"key": f"key-{self.keys}", "body": b"{}"}

    # ------------------------------------------------------------------------------------------------------ producers

    @precondition(lambda self: self.journal.subscribers)
    @rule(which=WHICH, to_all=st.booleans(), keys=st.lists(st.sampled_from([None, "a", "b"]), min_size=1, max_size=3))
    def publish(self, which: int, to_all: bool, keys: list[str | None], crash: Crash = None) -> None:
        subscriber = self.journal.subscribers[which % len(self.journal.subscribers)]
        type_ = "all.sent" if to_all else subscriber.event_type
        events = [EventIn(type=type_, payload=msgspec.Raw(b"1"), order_key=key) for key in keys]
        once = self.key()
        accepted = self.ask(lambda: self.publisher.publish(events, samples.ACTOR, **once), crash).events
        running = {one.fan_out == "running" for one in accepted} == {True}
        self.journal.accept(type_, [one.id for one in accepted], fanning_out=running)

    @precondition(lambda self: self.journal.subscribers)
    @rule(which=WHICH, to_all=st.booleans(), crash=st.sampled_from(["before", "after"]))
    def publish_twice(self, which: int, to_all: bool, crash: Crash) -> None:
        self.publish(which, to_all, [None, None], crash)

    # ------------------------------------------------------------------------------------------------------- machines

    @precondition(lambda self: self.journal.fanning_out)
    @rule(crash=CRASHES)
    def fan_out(self, crash: Crash) -> None:
        self.crash = crash
        with suppress(Crashed):
            self.run(self.fan_outs.step())
        self.crash = None
        self.note_finished()

    def note_finished(self) -> None:
        """One that no worker takes any more may have been left to a job: the API says which are finished."""
        for first in list(self.journal.fanning_out):
            if self.run(self.world.queries.event(first)).fan_out is FanOutState.DONE:
                del self.journal.fanning_out[first]

    @rule(crash=CRASHES)
    def do_job(self, crash: Crash) -> None:
        self.crash = crash
        with suppress(Crashed):
            self.run(self.jobs.step())
        self.crash = None

    @rule()
    def sweep(self) -> None:
        self.run(self.jobs.cancel_left_behind())

    @rule(n=st.integers(0, 1), limit=st.integers(1, 10), crash=CRASHES)
    def work(self, n: int, limit: int, crash: Crash) -> None:
        self.crash = crash
        with suppress(Crashed):
            self.run(self.workers[n].work(limit))
        self.crash = None

    @precondition(lambda self: any(worker.results for worker in self.workers))
    @rule(n=st.integers(0, 1), crash=CRASHES)
    def settle(self, n: int, crash: Crash) -> None:
        worker = self.workers[n] if self.workers[n].results else self.workers[1 - n]
        self.ask(worker.settle, crash)
        for subscriber in self.journal.alive:
            if subscriber.status == 410 and subscriber.enabled:
                # Whether the verdict counted depends on what else changed; what the API shows is what users go by.
                subscriber.enabled = self.run(self.world.queries.webhook(subscriber.id)).enabled

    @precondition(lambda self: any(worker.results for worker in self.workers))
    @rule(n=st.integers(0, 1))
    def kill(self, n: int) -> None:
        self.excuse_unsettled(self.workers[n])
        self.workers[n].results.clear()

    @rule(seconds=st.sampled_from([0.5, 3.0, LEASE_S + 1, 600.0]))
    def pass_time(self, seconds: float) -> None:
        if seconds > LEASE_S:
            for worker in self.workers:
                self.excuse_unsettled(worker)
        self.run(self.pass_on(seconds))

    async def pass_on(self, seconds: float) -> None:
        await self.world.pass_time(seconds)

    def excuse_unsettled(self, worker: Worker) -> None:
        for sent in worker.results:
            self.journal.excused[Pair(sent.delivery.webhook_id, sent.delivery.event_id)] += 1

    # ---------------------------------------------------------------------------------------------------------- users

    @precondition(lambda self: len(self.journal.subscribers) < WEBHOOKS_MAX)
    @rule(kind=st.sampled_from(KINDS), crash=CRASHES)
    def create(self, kind: dict[str, Any], crash: Crash) -> None:
        event_type = f"one.n{len(self.journal.subscribers)}"
        spec = WebhookSpec(
            name=event_type,
            url="https://orders.example/hook",
            event_types=["all.sent", event_type],
            max_concurrency=3,
            retry=RetryPolicy((0.0, 1.0), 0.0),
            **kind,
        )
        once = self.key()
        made = self.ask(lambda: self.commands.create(spec, samples.ACTOR, **once), crash)
        self.journal.subscribers.append(Subscriber(made.id, event_type))

    @precondition(lambda self: self.journal.alive)
    @rule(which=WHICH, status=st.sampled_from([200, 410, 500]))
    def behave(self, which: int, status: int) -> None:
        self.choose(which).status = status

    @precondition(lambda self: self.journal.alive)
    @rule(which=WHICH, enabled=st.booleans(), crash=CRASHES)
    def enable(self, which: int, enabled: bool, crash: Crash) -> None:
        subscriber = self.choose(which)
        self.ask(lambda: patch(self.commands, subscriber.id, {"enabled": enabled}), crash)
        subscriber.enabled = enabled

    @precondition(lambda self: self.journal.alive)
    @rule(which=WHICH, resumed=st.booleans(), crash=CRASHES)
    def pause(self, which: int, resumed: bool, crash: Crash) -> None:
        command = self.commands.resume if resumed else self.commands.pause
        webhook_id = self.choose(which).id
        self.ask(lambda: command(webhook_id, samples.ACTOR), crash)

    @precondition(lambda self: len(self.journal.alive) > 1 and self.journal.due.total() > 3)
    @rule(which=WHICH, crash=CRASHES)
    def delete(self, which: int, crash: Crash) -> None:
        subscriber = self.choose(which)
        with suppress(NotFound):
            self.ask(lambda: self.commands.remove(subscriber.id, samples.ACTOR, require=lambda _version: None), crash)
        subscriber.deleted = True

    @precondition(lambda self: self.journal.due)
    @rule(choice=st.integers(0, 100), crash=CRASHES)
    def retry(self, choice: int, crash: Crash) -> None:
        if (delivery := self.choose_delivery(choice)) is None:
            return
        try:
            self.ask(lambda: self.commands.retry_delivery(delivery.id, samples.ACTOR), crash)
        except Conflict:
            assert delivery.state is DeliveryState.DELIVERED
        except NotFound:
            assert self.subscriber_of(delivery).deleted
        else:
            self.journal.excused[Pair(delivery.webhook_id, delivery.event_id)] += 1

    @precondition(lambda self: self.journal.due)
    @rule(choice=st.integers(0, 100), crash=CRASHES)
    def cancel(self, choice: int, crash: Crash) -> None:
        if (delivery := self.choose_delivery(choice)) is None:
            return
        try:
            self.ask(lambda: self.commands.cancel_delivery(delivery.id, samples.ACTOR), crash)
        except Conflict:
            assert delivery.state not in (DeliveryState.PENDING, DeliveryState.CANCELLED)
        else:
            self.journal.cancelled.add(Pair(delivery.webhook_id, delivery.event_id))

    @precondition(lambda self: self.journal.alive)
    @rule(which=WHICH, delivered=st.booleans(), crash=CRASHES)
    def replay(self, which: int, delivered: bool, crash: Crash = None) -> None:
        subscriber, now = self.choose(which), self.world.clock.now()
        states = [*UNDELIVERED, DeliveryState.DELIVERED] if delivered else [*UNDELIVERED]
        spec = ReplaySpec(from_at=now - DAY, to_at=now + MILLISECOND, states=states)
        once = self.key()
        self.ask(lambda: self.replays.start(subscriber.id, spec, samples.ACTOR, **once), crash)
        for pair in self.journal.due.keys() | self.journal.missed:
            if pair.webhook_id == subscriber.id:
                self.journal.excused[pair] += 1

    @precondition(lambda self: self.journal.alive)
    @rule(which=WHICH, crash=CRASHES)
    def backfill(self, which: int, crash: Crash) -> None:
        subscriber, now = self.choose(which), self.world.clock.now()
        spec = ReplaySpec(from_at=now - DAY, to_at=now + DAY, source=ReplaySource.EVENTS)
        once = self.key()
        self.ask(lambda: self.replays.start(subscriber.id, spec, samples.ACTOR, **once), crash)
        self.journal.missed.update(self.journal.matched(subscriber))

    @precondition(lambda self: self.journal.events.get("all.sent"))
    @rule(choice=st.integers(0, 100), crash=CRASHES)
    def resend(self, choice: int, crash: Crash) -> None:
        event_ids = self.journal.events["all.sent"]
        event_id, once = event_ids[choice % len(event_ids)], self.key()
        try:
            self.ask(lambda: self.resends.resend(event_id, ResendSpec(), samples.ACTOR, **once), crash)
        except Conflict:
            assert any(event_id in ids for ids in self.journal.fanning_out.values())
            return
        self.journal.resent.add(event_id)
        self.journal.excused.update(Pair(subscriber.id, event_id) for subscriber in self.journal.alive)

    @precondition(lambda self: self.journal.alive)
    @rule(which=WHICH, action=st.sampled_from(BulkAction), crash=CRASHES)
    def change_many(self, which: int, action: BulkAction, crash: Crash) -> None:
        webhook_id, once = self.choose(which).id, self.key()
        spec = BulkSpec(action=action, filter=DeliveryFilter(webhook_id=webhook_id))
        self.ask(lambda: self.bulk.start(spec, samples.ACTOR, **once), crash)
        pairs = {pair for pair in self.journal.due.keys() | self.journal.missed if pair.webhook_id == webhook_id}
        if action is BulkAction.CANCEL:
            self.journal.cancelled.update(pairs)
        else:
            self.journal.excused.update(pairs)

    # --------------------------------------------------------------------------------------------------- what it does

    def answer(self, pair: Pair) -> Outcome:
        (subscriber,) = (one for one in self.journal.subscribers if one.id == pair.webhook_id)
        self.journal.answered[pair] += subscriber.status == 200
        return Outcome(1.0, subscriber.status, None if subscriber.status == 200 else ErrorKind.STATUS)

    def choose(self, which: int) -> Subscriber:
        return self.journal.alive[which % len(self.journal.alive)]

    def choose_delivery(self, choice: int) -> DeliveryView | None:
        found = self.run(self.world.queries.deliveries(DeliveryFilter(), after=None, limit=1_000)).rows
        return found[choice % len(found)] if found else None

    def subscriber_of(self, delivery: DeliveryView) -> Subscriber:
        return next(one for one in self.journal.subscribers if one.id == delivery.webhook_id)

    # ----------------------------------------------------------------------------------------------------------- laws

    def found(self, subscriber: Subscriber) -> list[tuple[Pair, DeliveryState]]:
        where = DeliveryFilter(webhook_id=subscriber.id)
        views = self.run(self.world.queries.deliveries(where, after=None, limit=1_000)).rows
        return [(Pair(view.webhook_id, view.event_id), view.state) for view in views]

    @invariant()
    def totals_hold(self) -> None:
        """accepted while enabled == delivered + failed + cancelled + waiting, for each webhook and event."""
        for subscriber in self.journal.subscribers:
            self.journal.compare(subscriber, self.found(subscriber))
        self.journal.compare_answers()

    def come_to_rest(self) -> None:
        """Let the workers do all that is to be done."""
        for _ in range(ROUNDS):
            while self.run(self.fan_outs.step()):
                pass
            while self.run(self.jobs.step()):
                pass
            self.note_finished()
            self.sweep()
            for worker in self.workers:
                while self.run(worker.work(100)):
                    self.run(worker.settle())
                self.run(worker.settle())
            waiting = self.run(self.world.queries.deliveries(DeliveryFilter(state=PENDING), after=None, limit=1)).rows
            if not waiting and not self.journal.fanning_out:
                return
            self.pass_time(LONGEST_HOLD_S)
        raise AssertionError("deliveries, or fan-outs, wait for ever")

    def teardown(self) -> None:
        try:
            if hasattr(self, "workers"):
                self.rest()
        finally:
            if hasattr(self, "world"):
                self.run(self.close())
            self.loop.close()

    def rest(self) -> None:
        for which, subscriber in enumerate(self.journal.alive):
            subscriber.status = 200
            self.enable(which, True, None)
            self.pause(which, True, None)
        self.come_to_rest()
        self.totals_hold()
        for which, subscriber in enumerate(self.journal.alive):
            self.replay(which, False)
            self.backfill(which, None)
            # From here on, whatever it was when they were accepted.
            self.journal.due |= Counter(self.journal.matched(subscriber))
        self.come_to_rest()
        self.totals_hold()
        for subscriber in self.journal.alive:
            states = {state for _, state in self.found(subscriber)}
            assert states <= {DeliveryState.DELIVERED}, f"{states} after a replay"
