"""Settling attempts: what is written, retried, counted and disabled, once each."""

from __future__ import annotations

from datetime import timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from monitor.domain.anomaly.tally import tally_of
from monitor.domain.delivery.circuit_breaker import BreakerState
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.delivery.retry import RetryPolicy
from monitor.domain.errors import Unavailable
from monitor.domain.events import WebhookStatusChanged, WebhookUpdated
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.monitoring.metrics import merge_rollups
from monitor.domain.services.settle import (
    FAILED_FOR_DAYS,
    GONE,
    minute_rollups,
)
from monitor.domain.vocab import DeliveryState, ErrorKind, HealthStatus
from tests import samples
from tests import strategies as our
from tests.fakes.clock import START, FakeClock
from tests.fakes.egress.sender import FakeWebhookSender
from tests.fakes.postgres.database import FakeDatabase
from tests.fakes.postgres.unit_of_work import FakeUnitOfWork
from tests.samples import rollup_of
from tests.unit.domain.services.deliver_bench import Bench


async def test_a_success_is_written_everywhere_at_once(bench: Bench) -> None:
    webhook_id = await bench.webhook()
    settlement = await bench.deliverer.settle(await bench.sent())
    assert (settlement.settled, settlement.lost, settlement.undecided, settlement.disabled) == (1, [], {}, {})
    assert bench.states() == [DeliveryState.DELIVERED]
    [attempt] = bench.database.tables.attempts.values()
    assert (attempt.number, attempt.outcome, attempt.kind) == (1, samples.OK, "delivery")
    minute = START.replace(second=0)
    expected = rollup_of([("ok", samples.OK.latency_ms)])
    assert bench.database.tables.minutes == {(webhook_id, minute): expected, (SYSTEM_ID, minute): expected}
    assert bench.lane(webhook_id).health.status is HealthStatus.HEALTHY


async def test_a_retry_asked_for_during_the_last_attempt_is_made(bench: Bench) -> None:
    await bench.webhook(retry=RetryPolicy((0.0, 60.0), 0.0))
    await bench.deliverer.settle(await bench.sent(samples.REFUSED))
    bench.clock.advance(60)
    last = await bench.sent(samples.REFUSED)
    async with bench.unit_of_work() as uow:
        await uow.queue.requeue(last[0].delivery.id)
        await uow.commit()
    await bench.deliverer.settle(last)
    assert bench.states() == []
    bench.clock.advance(60)
    await bench.deliverer.settle(await bench.sent())
    assert bench.states() == [DeliveryState.DELIVERED]


async def test_a_lane_that_is_freed_between_two_looks_is_judged_by_its_own_policy(bench: Bench) -> None:
    webhook_id = await bench.webhook(retry=RetryPolicy((0.0, 1.0), 0.0))
    sent = await bench.sent(samples.REFUSED)
    bench.database.locked_once.add(webhook_id)
    settlement = await bench.deliverer.settle(sent)
    assert (settlement.settled, settlement.locked) == (1, [])
    [waiting] = bench.database.tables.deliveries.values()
    assert waiting.due_at == START + timedelta(seconds=1)
    assert bench.lane(webhook_id).recent == ("503",)


async def test_a_failure_waits_as_its_policy_says_until_the_attempts_are_used_up(bench: Bench) -> None:
    await bench.webhook(retry=RetryPolicy((0.0, 60.0), 0.0))
    await bench.deliverer.settle(await bench.sent(samples.REFUSED))
    [waiting] = bench.database.tables.deliveries.values()
    assert waiting.due_at == START + timedelta(seconds=60)
    assert (waiting.attempts, waiting.last_status_code, waiting.last_error) == (1, 503, "status")
    bench.clock.advance(60)
    [second] = await bench.sent(samples.REFUSED)
    await bench.deliverer.settle([second])
    assert bench.states() == [DeliveryState.FAILED]
    assert max(attempt.number for attempt in bench.database.tables.attempts.values()) == 2


async def test_a_delivery_that_is_retried_gets_its_whole_schedule_again(bench: Bench) -> None:
    await bench.webhook(retry=RetryPolicy((0.0, 60.0), 0.0))
    for number in range(1, 5):
        [sent] = await bench.sent(samples.REFUSED)
        await bench.deliverer.settle([sent])
        if number == 2:
            async with bench.unit_of_work() as uow:
                await uow.queue.requeue(sent.delivery.id)
                await uow.commit()
        else:
            bench.clock.advance(60)
    assert bench.states() == [DeliveryState.FAILED]
    assert sorted(attempt.number for attempt in bench.database.tables.attempts.values()) == [1, 2, 3, 4]


async def test_a_429_holds_every_delivery_of_its_webhook_and_counts_as_no_failure(bench: Bench) -> None:
    webhook_id = await bench.webhook(8, max_concurrency=5)
    slow_down = Outcome(latency_ms=3.0, status_code=429, error=ErrorKind.STATUS, retry_after="300")
    await bench.deliverer.settle(await bench.sent(slow_down))
    lane = bench.lane(webhook_id)
    assert (lane.health.status, lane.breaker.state) == (HealthStatus.THROTTLED, BreakerState.CLOSED)
    assert lane.unevaluated == tally_of([])
    bench.clock.advance(299)
    assert await bench.count() == 0
    bench.clock.advance(1)
    assert await bench.count() == 5


async def test_429s_that_ask_for_a_second_are_tried_again_after_it_and_leave_the_schedule(bench: Bench) -> None:
    """However many came: today the second one waited five minutes, and the tenth was the last."""
    await bench.webhook(retry=RetryPolicy((0.0, 5.0, 300.0), 0.0))
    slow_down = Outcome(latency_ms=3.0, status_code=429, error=ErrorKind.STATUS, retry_after="1")
    for _ in range(12):
        [sent] = await bench.sent(slow_down)
        await bench.deliverer.settle([sent])
        assert await bench.count() == 0
        bench.clock.advance(1)
    for wait_s in (5, 300):
        [sent] = await bench.sent(samples.REFUSED)
        await bench.deliverer.settle([sent])
        bench.clock.advance(wait_s - 1)
        assert await bench.count() == 0
        bench.clock.advance(1)
    [sent] = await bench.sent(samples.OK)
    await bench.deliverer.settle([sent])
    assert bench.states() == [DeliveryState.DELIVERED]


async def test_a_change_of_status_is_told_and_looked_at_at_once(bench: Bench) -> None:
    webhook_id = await bench.webhook(2)
    bench.database.tables.lanes[webhook_id] = replace(bench.lane(webhook_id), evaluate_at=None)
    await bench.deliverer.settle(await bench.sent(limit=1))
    [fact] = bench.database.domain_events
    assert isinstance(fact, WebhookStatusChanged)
    assert (fact.webhook_id, fact.status, fact.at) == (webhook_id, HealthStatus.HEALTHY, START)
    assert bench.lane(webhook_id).evaluate_at == START
    bench.database.tables.lanes[webhook_id] = replace(bench.lane(webhook_id), evaluate_at=None)
    await bench.deliverer.settle(await bench.sent())
    assert (bench.database.domain_events, bench.lane(webhook_id).evaluate_at) == ([fact], None)
    assert bench.lane(webhook_id).unevaluated == tally_of([(True, samples.OK.latency_ms)] * 2)


async def test_five_failures_in_a_row_open_the_breaker(bench: Bench) -> None:
    webhook_id = await bench.webhook(5)
    await bench.deliverer.settle(await bench.sent(samples.TIMED_OUT))
    assert bench.lane(webhook_id).breaker.state is BreakerState.OPEN
    assert bench.lane(webhook_id).recent == ("timeout",) * 5


async def test_gone_disables_the_webhook(bench: Bench) -> None:
    webhook_id = await bench.webhook(2)
    settlement = await bench.deliverer.settle(await bench.sent(samples.GONE))
    assert settlement.disabled == {webhook_id: GONE}
    assert bench.database.tables.webhooks[webhook_id].webhook.disabled_reason == GONE
    assert bench.states() == [DeliveryState.FAILED] * 2
    assert WebhookUpdated(webhook_id) in bench.database.domain_events
    [row] = bench.database.tables.audit.values()
    assert (row.subject, row.role, row.action) == ("system", None, "webhook.disable")
    assert row.target == f"webhook:{webhook_id}"
    assert (row.before, row.after) == ({"enabled": True}, {"enabled": False, "disabled_reason": GONE})


async def test_a_webhook_that_is_disabled_already_is_not_disabled_again(bench: Bench) -> None:
    webhook_id = await bench.webhook(2)
    first, second = await bench.sent(samples.GONE)
    for sent in (first, second):
        # The second attempt was made with the same configuration, which nothing else changed.
        stored = bench.database.tables.webhooks[webhook_id]
        version = replace(stored.webhook, version=sent.version)
        bench.database.tables.webhooks[webhook_id] = replace(stored, webhook=version)
        assert (await bench.deliverer.settle([sent])).disabled == {webhook_id: GONE}
    assert len(bench.database.tables.audit) == 1


async def test_five_days_of_failure_disable_the_webhook(bench: Bench) -> None:
    webhook_id = await bench.webhook()
    long_ago = START - timedelta(days=5)
    bench.database.tables.lanes[webhook_id] = replace(bench.lane(webhook_id), failing_since=long_ago)
    settlement = await bench.deliverer.settle(await bench.sent(samples.REFUSED))
    assert settlement.disabled == {webhook_id: FAILED_FOR_DAYS}
    assert not bench.database.tables.webhooks[webhook_id].webhook.enabled
    assert await bench.count() == 0


async def test_a_worker_that_lost_its_lease_stores_its_attempt_and_changes_no_delivery(bench: Bench) -> None:
    webhook_id = await bench.webhook()
    [late] = await bench.sent(samples.REFUSED)
    bench.clock.advance(31)
    other = bench.another("worker-2")
    [taken] = (await other.claim(None, 10)).deliveries
    settlement = await bench.deliverer.settle([late])
    assert (settlement.settled, settlement.lost) == (0, [late.delivery.id])
    [waiting] = bench.database.tables.deliveries.values()
    assert (waiting.attempts, waiting.leased_by) == (0, "worker-2")
    assert stored(bench) == {late.attempt_id}
    assert bench.lane(webhook_id).recent == ("503",)
    bench.sender.receiver = lambda _: samples.OK
    second = await samples.send(other, taken)
    assert second is not None
    assert (await other.settle([second, late, second])).settled == 1
    assert bench.states() == [DeliveryState.DELIVERED]
    assert stored(bench) == {late.attempt_id, second.attempt_id}
    assert bench.counted() == 2


@pytest.mark.parametrize("end", ["cancelled", "deleted", "purged"])
async def test_an_attempt_of_a_delivery_that_ended_meanwhile_is_stored(bench: Bench, end: str) -> None:
    webhook_id = await bench.webhook(2)
    sent = await bench.sent()
    lane = bench.lane(webhook_id)
    async with bench.unit_of_work() as uow:
        await uow.queue.cancel_waiting(webhook_id, after=None, limit=10)
        if end != "cancelled":
            await uow.webhooks.remove(webhook_id)
        await uow.commit()
    if end == "purged":
        del bench.database.tables.lanes[webhook_id]
    for _ in range(2):
        settlement = await bench.deliverer.settle(sent)
        assert (settlement.settled, len(settlement.lost)) == (0, 2)
    assert bench.states() == [DeliveryState.CANCELLED] * 2
    assert stored(bench) == {one.attempt_id for one in sent}
    assert bench.counted() == 2
    if end == "cancelled":
        assert bench.lane(webhook_id).recent == ("ok", "ok")
    elif end == "deleted":
        assert replace(bench.lane(webhook_id), evaluate_at=lane.evaluate_at) == lane


async def test_settling_is_safe_to_repeat(bench: Bench) -> None:
    await bench.webhook(2)
    sent = await bench.sent()
    bench.database.commits_fail = True
    with pytest.raises(Unavailable):
        await bench.deliverer.settle(sent)
    assert bench.states() == []
    bench.database.commits_fail = False
    assert (await bench.deliverer.settle(sent)).settled == 2
    assert (await bench.deliverer.settle(sent)).settled == 0
    assert bench.counted() == len(stored(bench)) == 2


async def test_a_settle_whose_answer_was_lost_ends_as_if_it_had_not_been(bench: Bench) -> None:
    webhook_id = await bench.webhook(2)
    sent = await bench.sent(samples.GONE)
    bench.database.answers_lost = True
    with pytest.raises(Unavailable):
        await bench.deliverer.settle(sent)
    bench.database.answers_lost = False
    tables = bench.database.tables.copy()
    assert not tables.webhooks[webhook_id].webhook.enabled
    assert (await bench.deliverer.settle(sent)).settled == 0
    assert bench.database.tables == tables
    assert bench.counted() == len(stored(bench)) == 2


def stored(bench: Bench) -> set[UUID]:
    return set(bench.database.tables.attempts)


attempts = st.lists(
    st.tuples(st.sampled_from([UUID(int=1), UUID(int=2)]), st.integers(0, 300), our.outcomes), max_size=20
)


@given(attempts)
def test_minutes_lose_no_attempt(made: list[tuple[UUID, int, Outcome]]) -> None:
    """merge(minutes(attempts)) == rollup_of(attempts), each in the minute of its start, whatever its zone."""
    last, zone = timedelta(microseconds=999_999), timezone(timedelta(hours=5, minutes=30))
    built = minute_rollups((id_, (START + timedelta(seconds=s) + last).astimezone(zone), o) for id_, s, o in made)
    assert merge_rollups(*(minute.rollup for minute in built)) == rollup_of((o.label, o.latency_ms) for _, _, o in made)
    assert {(minute.webhook_id, minute.at) for minute in built} == {
        (id_, START + timedelta(minutes=s // 60)) for id_, s, _ in made
    }


@given(st.lists(st.sampled_from([samples.OK, samples.REFUSED, samples.GONE, samples.TIMED_OUT]), max_size=12))
async def test_every_delivery_is_counted_once_whatever_receivers_answer(outcomes: list[Outcome]) -> None:
    """pending + finished == accepted, and attempts stored == attempts made."""
    clock, sender = FakeClock(), FakeWebhookSender()
    database = FakeDatabase(clock)
    bench = Bench(database, lambda: FakeUnitOfWork(database), sender, clock)
    await bench.webhook(5, retry=RetryPolicy((0.0, 1.0, 1.0), 0.0), max_concurrency=2)
    for outcome in outcomes:
        await bench.deliverer.settle(await bench.sent(outcome))
        clock.advance(2)
    tables, made = database.tables, len(sender.requests)
    assert len(tables.deliveries) + len(tables.finished) == 5
    assert len(tables.attempts) == made
    assert bench.counted() == made
