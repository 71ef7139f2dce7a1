"""
Whole workers under people and trouble: what a person asks for happens, and nothing else does.

Compared are the book of the receiver and a journal of what was asked and answered.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from monitor.domain.delivery.rate_limit import RateLimit
from monitor.domain.delivery.replay import ReplaySpec
from monitor.domain.delivery.retry import RetryPolicy
from monitor.domain.errors import Conflict, Unavailable
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.vocab import DeliveryState
from monitor.domain.webhooks.registration import WebhookSpec
from monitor.worker.config import DeliveryConfig
from tests import samples
from tests.fakes.clock import START
from tests.unit.world.site import Request, Site

MAX_CONCURRENCY = 3
SECOND = timedelta(seconds=1)
LEASE = timedelta(seconds=30)
POLLED_S = DeliveryConfig().poll_s + 0.3
"""What a poll that has just missed a delivery lets it wait, and the calls of the next one, which take time."""

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "ordered": {"ordered": True},
    "limited": {"rate_limit": RateLimit(2.0, 2)},
}
CONFIGS = (DeliveryConfig(), DeliveryConfig(concurrency=2, ahead_s=3.0))
"""That of a worker with room for all, and of one with a stock."""
TROUBLES = ("down", "commits_fail", "answers_lost")


class Journal(msgspec.Struct):
    """What people were answered about one webhook."""

    url: str
    url_since: datetime
    held_since: datetime | None = None
    deleted: bool = False


class WorkerMachine(RuleBasedStateMachine):
    """Laws: nothing is sent that was held a second ago; what was asked for goes out or shows what holds it; each
    delivery is sent until it succeeds and no more; every attempt is stored once."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[str] = []
        self.journals: dict[UUID, Journal] = {}
        self.webhook_of: dict[str, UUID] = {}
        self.delivery_of: dict[str, UUID] = {}
        self.cancelled_at: dict[str, datetime] = {}
        self.excused: Counter[str] = Counter()
        """By event: how many successes more than one there may be, since it was sent again for a reason."""
        self.unstored: set[int] = set()
        """Requests whose attempts a crash may have lost."""
        self.changes = 0

    @initialize(kinds=st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=2), config=st.sampled_from(CONFIGS))
    def register(self, kinds: list[str], config: DeliveryConfig) -> None:
        self.site = Site(config)
        self.site.receiver.on_request = self.check_request
        for n, kind in enumerate(kinds):
            made = self.site.run(
                samples.add_webhook(
                    self.site.unit_of_work,
                    self.site.clock,
                    url=f"https://{n}.example/hook",
                    max_concurrency=MAX_CONCURRENCY,
                    retry=RetryPolicy((0.0, 1.0, 5.0), 0.0),
                    **KINDS[kind],
                )
            )
            self.journals[made.id] = Journal(made.url, self.now)

    @property
    def now(self) -> datetime:
        return self.site.clock.now()

    # ------------------------------------------------------------------------------------------------------- machines

    @rule(n=st.integers(0, 1), count=st.integers(1, 4), late=st.booleans())
    def publish(self, n: int, count: int, late: bool = False) -> None:
        webhook_id = self.choose(n)
        if self.journals[webhook_id].deleted:
            return
        self.site.database.wakeups_late = late
        ids = self.site.run(samples.add_deliveries(self.site.unit_of_work, self.site.clock, webhook_id, count))
        self.site.database.wakeups_late = False
        for id_ in ids:
            event_id = str(self.site.run(self.site.queries.delivery(id_)).event_id)
            self.webhook_of[event_id], self.delivery_of[event_id] = webhook_id, id_

    @rule(n=st.integers(0, 1))
    def fill_a_stock(self, n: int) -> None:
        """Publish as fast as it is sent, and then let the receiver hang."""
        self.site.receiver.status, self.site.receiver.delay_s = 200, 0.01
        for _ in range(2):
            self.publish(n, 6)
            self.site.pass_time(3.1)
        self.site.receiver.status = None
        self.publish(n, 6)

    @rule(status=st.sampled_from([200, 200, 410, 422, 429, 500, None]), delay_s=st.sampled_from([0.01, 0.4, 3.0]))
    def behave(self, status: int | None, delay_s: float) -> None:
        self.site.receiver.status, self.site.receiver.delay_s = status, delay_s

    @rule(seconds=st.sampled_from([0.05, 1.5, 6.0, 31.0]))
    def pass_time(self, seconds: float) -> None:
        self.site.pass_time(seconds)
        if seconds > 1:
            self.what_is_due_is_sent_or_held()

    @rule(seconds=st.sampled_from([0.5, 20.0, 40.0, 100.0]))
    def suspend(self, seconds: float) -> None:
        self.excuse(self.unsettled())
        self.site.suspend(seconds)

    @rule(n=st.integers(0, 1))
    def crash(self, n: int) -> None:
        lost = self.site.crash(n)
        self.excuse(lost)
        self.unstored |= {id(request) for request in lost}
        self.site.start(n)

    @rule(kind=st.sampled_from(TROUBLES), seconds=st.sampled_from([0.6, 3.0, 12.0]))
    def trouble(self, kind: str, seconds: float) -> None:
        setattr(self.site.database, kind, True)
        self.site.pass_time(seconds)
        setattr(self.site.database, kind, False)

    # --------------------------------------------------------------------------------------------------------- people

    @rule(n=st.integers(0, 1), lost=st.booleans())
    def pause(self, n: int, lost: bool) -> None:
        if journal := self.ask(n, "pause", lost):
            journal.held_since = journal.held_since or self.now

    @rule(n=st.integers(0, 1), lost=st.booleans())
    def resume(self, n: int, lost: bool) -> None:
        journal = self.journals[self.choose(n)]
        if not journal.deleted:
            journal.held_since = None
        if self.ask(n, "resume", lost):
            self.site.pass_time(1.2)
            self.what_is_due_is_sent_or_held()

    @rule(n=st.integers(0, 1))
    def rotate_secret(self, n: int) -> None:
        webhook_id = self.choose(n)
        if not self.journals[webhook_id].deleted:
            self.site.run(self.site.commands.rotate_secret(webhook_id, samples.ACTOR, overlap_s=0.0))

    @rule(n=st.integers(0, 1), change=st.sampled_from(["name", "url", "disable", "enable"]))
    def change(self, n: int, change: str) -> None:
        webhook_id = self.choose(n)
        journal = self.journals[webhook_id]
        if journal.deleted:
            return
        self.changes += 1
        url = f"https://{self.changes}.changed.example/hook"
        if change == "disable":
            # Pauses too: an answer of 410 disables it without anyone asking.
            self.pause(n, lost=False)
        elif change == "url":
            journal.url, journal.url_since = url, self.now
        members: dict[str, dict[str, Any]] = {
            "name": {"name": f"Orders {self.changes}"},
            "url": {"url": url, "headers": {"X-Team": "blue"}},
        }
        self.patch(webhook_id, members.get(change, {"enabled": change == "enable"}))
        self.site.pass_time(1.2)
        self.what_is_due_is_sent_or_held()

    @precondition(lambda self: len(self.webhook_of) > 6)
    @rule(n=st.integers(0, 5))
    def delete(self, n: int) -> None:
        webhook_id = self.choose(n)
        journal = self.journals[webhook_id]
        if n > 1 or journal.deleted:
            return
        require = {"require": lambda _version: None}
        self.site.run(self.site.commands.remove(webhook_id, samples.ACTOR, **require))
        journal.deleted, journal.held_since = True, journal.held_since or self.now

    @precondition(lambda self: self.webhook_of)
    @rule(choice=st.integers(0, 100))
    def retry(self, choice: int) -> None:
        event_id = self.choose_event(choice)
        journal = self.journals[self.webhook_of[event_id]]
        delivery_id = self.delivery_of[event_id]
        if journal.deleted:
            return
        before = self.site.run(self.site.queries.delivery(delivery_id))
        asked_at = self.now
        under_way = [one for one in self.unsettled() if one.event_id == event_id]
        self.cancelled_at.pop(event_id, None)
        try:
            answered = self.site.run(self.site.commands.retry_delivery(delivery_id, samples.ACTOR))
        except Conflict:
            assert before.state is DeliveryState.DELIVERED
            return
        assert answered.state is DeliveryState.PENDING
        self.excused[event_id] += 1
        self.site.pass_time(POLLED_S)
        sent = [one for one in self.site.receiver.of(UUID(event_id)) if one.at >= asked_at]
        after = self.site.run(self.site.queries.delivery(delivery_id))
        waits = after.state is DeliveryState.PENDING and not after.in_flight and not self.is_full()
        assert sent or under_way or not waits or after.held is not None, (
            f"nothing was sent, and nothing holds it: {after}"
        )

    @precondition(lambda self: self.webhook_of)
    @rule(choice=st.integers(0, 100))
    def cancel(self, choice: int) -> None:
        event_id = self.choose_event(choice)
        try:
            self.site.run(self.site.commands.cancel_delivery(self.delivery_of[event_id], samples.ACTOR))
        except Conflict:
            assert self.delivery_of[event_id] in self.site.database.tables.finished
        else:
            self.cancelled_at.setdefault(event_id, self.now)

    @rule(n=st.integers(0, 1))
    def replay(self, n: int) -> None:
        webhook_id = self.choose(n)
        if self.journals[webhook_id].deleted:
            return
        spec = ReplaySpec(from_at=START - SECOND, to_at=self.now + SECOND)
        finished = self.site.database.tables.finished.values()
        chosen = [str(one.event_id) for one in finished if one.webhook_id == webhook_id and one.state in spec.states]
        for event_id in chosen:
            self.cancelled_at.pop(event_id, None)
            self.excused[event_id] += 1
        self.site.run(self.site.replays.start(webhook_id, spec, samples.ACTOR))
        self.site.run(self.site.jobs.run())

    # ----------------------------------------------------------------------------------------------------- what it does

    def choose(self, n: int) -> UUID:
        return [*self.journals][n % len(self.journals)]

    def choose_event(self, choice: int) -> str:
        return [*self.webhook_of][choice % len(self.webhook_of)]

    def waiting(self) -> dict[UUID, Any]:
        return self.site.database.tables.deliveries

    def ask(self, n: int, command: str, lost: bool) -> Journal | None:
        """Pause or resume, and again if the answer is *lost*; ``None`` for a deleted webhook."""
        webhook_id = self.choose(n)
        if self.journals[webhook_id].deleted:
            return None
        asked = getattr(self.site.commands, command)
        self.site.database.answers_lost = lost
        try:
            self.site.run(asked(webhook_id, samples.ACTOR))
        except Unavailable:
            assert lost
        self.site.database.answers_lost = False
        if lost:
            self.site.run(asked(webhook_id, samples.ACTOR))
        return self.journals[webhook_id]

    def patch(self, webhook_id: UUID, changes: dict[str, Any]) -> None:
        self.site.run(
            self.site.commands.patch(
                webhook_id,
                changes,
                samples.ACTOR,
                require=lambda _version: None,
                read=lambda patched: msgspec.convert(patched, WebhookSpec),
            )
        )

    def unsettled(self) -> list[Request]:
        return [one for one in self.site.receiver.requests if not one.settled]

    def excuse(self, requests: Any) -> None:
        self.excused.update(request.event_id for request in requests)

    # ------------------------------------------------------------------------------------------------------------ laws

    def check_request(self, request: Request) -> None:
        """Nothing is sent more than a second after it was answered that it is held, or that the URL is another."""
        webhook_id = self.webhook_of.get(request.event_id)
        if webhook_id is None:
            return
        journal = self.journals[webhook_id]
        if journal.held_since is not None and request.at > journal.held_since + SECOND:
            self.wrong.append(f"sent {request.at - journal.held_since} after it was held")
        if request.url != journal.url and request.at > journal.url_since + SECOND:
            self.wrong.append(f"sent to a former URL after {request.at - journal.url_since}")
        cancelled_at = self.cancelled_at.get(request.event_id)
        if cancelled_at is not None and request.at > cancelled_at + SECOND:
            self.wrong.append(f"sent {request.at - cancelled_at} after it was cancelled")

    def what_is_due_is_sent_or_held(self) -> None:
        """No delivery stays due from one poll to the next without being sent or showing what holds it."""
        waits = self.without_reason()
        for seconds in (0.3, POLLED_S - 0.3):
            if waits:
                self.site.pass_time(seconds)
                waits &= self.without_reason()
        assert not waits or self.is_full(), [self.site.run(self.site.queries.delivery(id_)) for id_ in waits]

    def is_full(self) -> bool:
        """Whether a worker has no slot left."""
        return any(n >= self.site.config.concurrency for n in self.site.receiver.open.values())

    def without_reason(self) -> set[UUID]:
        """Return the deliveries that are due, not leased, and by their view not held."""
        due = [one.id for one in self.waiting().values() if one.due_at < self.now]
        return {id_ for id_ in due if self.site.run(self.site.queries.delivery(id_)).held is None}

    @invariant()
    def nothing_wrong_was_sent(self) -> None:
        assert not self.wrong, self.wrong
        assert not self.site.supervisor.failures

    @invariant()
    def no_attempt_is_stored_twice_or_invented(self) -> None:
        stored = Counter(str(one.event_id) for one in self.site.database.tables.attempts.values())
        ended = Counter(one.event_id for one in self.site.receiver.requests if one.outcome is not None)
        assert stored <= ended
        minutes = self.site.database.tables.minutes.items()
        assert sum(rollup.attempts for (id_, _), rollup in minutes if id_ == SYSTEM_ID) == stored.total()

    @invariant()
    def leases_end_and_stay_within_the_limits(self) -> None:
        leased = [one for one in self.waiting().values() if one.leased_by is not None and one.due_at > self.now]
        assert all(one.due_at <= self.now + LEASE for one in leased)
        # The probe goes out beside attempts from before the breaker opened.
        assert all(n <= MAX_CONCURRENCY + 1 for n in Counter(one.webhook_id for one in leased).values())

    def teardown(self) -> None:
        if self.journals:
            try:
                self.heal()
            finally:
                self.site.close()

    def heal(self) -> None:
        """Once everything works again, each delivery ends as it should, and every attempt is stored."""
        self.site.receiver.status, self.site.receiver.delay_s = 200, 0.01
        for n, (webhook_id, journal) in enumerate(self.journals.items()):
            if not journal.deleted:
                self.patch(webhook_id, {"enabled": True})
                self.resume(n, lost=False)
                self.change(n, "url")
        self.site.pass_time(150)
        self.nothing_wrong_was_sent()
        self.no_attempt_is_stored_twice_or_invented()
        assert not self.waiting()
        tables = self.site.database.tables
        assert {str(one.event_id) for one in tables.finished.values()} == self.webhook_of.keys()
        answered = Counter(one.event_id for one in self.site.receiver.requests if one.outcome and one.outcome.ok)
        for one in tables.finished.values():
            event_id = str(one.event_id)
            if one.state is DeliveryState.DELIVERED:
                assert answered[event_id], "delivered, and the receiver answered no request with 2xx"
            elif one.state is DeliveryState.CANCELLED:
                assert event_id in self.cancelled_at or self.journals[one.webhook_id].deleted
            assert answered[event_id] <= 1 + self.excused[event_id], "sent again after a success"
        stored = Counter(str(one.event_id) for one in tables.attempts.values())
        missing = Counter(one.event_id for one in self.site.receiver.requests) - stored
        lost = Counter(one.event_id for one in self.site.receiver.requests if id(one) in self.unstored)
        assert missing <= lost, "an attempt is not stored, and no crash took it"
        assert all(one.settled or id(one) in self.unstored for one in self.site.receiver.requests)
