"""Attempts that no delivery made."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from monitor.domain.alerts import Silence
from monitor.domain.alerts.notification import RAISED
from monitor.domain.anomaly.tally import tally_of
from monitor.domain.delivery.circuit_breaker import BreakerState
from monitor.domain.delivery.lane import Lane, LanePolicy
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.delivery.ping import PING_TYPE
from monitor.domain.delivery.reported import ReportedAttempt
from monitor.domain.errors import Conflict, IdempotencyMismatch, Invalid, NotFound
from monitor.domain.events import WebhookStatusChanged
from monitor.domain.monitoring.uptime import Counts
from monitor.domain.ports.unit_of_work import UnitOfWorkFactory
from monitor.domain.services.attempts import AttemptRecorder
from monitor.domain.views.webhooks import below_admin
from monitor.domain.vocab import ErrorKind, HealthStatus
from tests import samples
from tests.fakes.clock import START, FakeClock
from tests.fakes.egress.sender import FakeWebhookSender
from tests.fakes.postgres.database import FakeDatabase
from tests.fakes.postgres.queries.resources import FakeQueries
from tests.fakes.trouble import Trouble


@pytest.fixture
def measurer(
    unit_of_work: UnitOfWorkFactory, queries: FakeQueries, sender: FakeWebhookSender, clock: FakeClock
) -> AttemptRecorder:
    return AttemptRecorder(unit_of_work, queries, sender, clock, lambda _key, _content: "v1a,x", LanePolicy())


@pytest.fixture
async def webhook_id(unit_of_work: UnitOfWorkFactory, clock: FakeClock) -> UUID:
    return (await samples.add_webhook(unit_of_work, clock)).id


LATENCY = timedelta(milliseconds=12)


def reported(at: datetime = START, status_code: int | None = 200, **fields: Any) -> ReportedAttempt:
    return ReportedAttempt(delivered_at=at, latency_ms=12.0, status_code=status_code, **fields)


def failed(at: datetime) -> ReportedAttempt:
    return reported(at, None, error=ErrorKind.TIMEOUT)


async def test_reported_attempts_count_for_health_and_rollups_but_not_for_the_breaker(
    measurer: AttemptRecorder, database: FakeDatabase, webhook_id: UUID
) -> None:
    attempts = [reported(START - timedelta(seconds=n), 503) for n in range(6)]
    assert (await measurer.report(webhook_id, attempts, samples.ACTOR)).recorded == 6
    lane = database.tables.lanes[webhook_id]
    assert lane.recent == ("503",) * 6
    assert lane.health.status is HealthStatus.UNAVAILABLE
    assert lane.breaker.state is BreakerState.CLOSED
    assert lane.failing_since == START - timedelta(seconds=5) + LATENCY
    assert sum(r.failures for (id_, _), r in database.tables.minutes.items() if id_ == webhook_id) == 6
    assert {attempt.kind for attempt in database.tables.attempts.values()} == {"reported"}
    (row,) = database.tables.audit.values()
    assert (row.subject, row.action, row.target) == ("ada", "attempts.report", f"webhook:{webhook_id}")
    assert (row.before, row.after) == (None, {"recorded": 6})


async def test_what_is_reported_inside_a_silence_is_left_out_of_the_uptime(
    measurer: AttemptRecorder, database: FakeDatabase, unit_of_work: UnitOfWorkFactory, webhook_id: UUID
) -> None:
    async with unit_of_work() as uow:
        silence = Silence(
            id=UUID(int=1),
            created_by="ada",
            created_at=START,
            reason="Maintenance.",
            ends_at=START + timedelta(hours=1),
            webhook_id=webhook_id,
        )
        await uow.silences.add(silence)
        await uow.commit()
    await measurer.report(webhook_id, [reported(), failed(START)], samples.ACTOR)
    assert list(database.tables.silenced_hours.values()) == [Counts(2, 1)]
    assert sum(r.attempts for (id_, _), r in database.tables.minutes.items() if id_ == webhook_id) == 2


async def test_what_is_reported_is_kept_for_the_detector_in_its_order(
    measurer: AttemptRecorder, database: FakeDatabase, webhook_id: UUID
) -> None:
    attempts = [reported(START - timedelta(seconds=1)), failed(START - timedelta(seconds=2))]
    await measurer.report(webhook_id, attempts, samples.ACTOR)
    await measurer.report(webhook_id, [failed(START)], samples.ACTOR)
    lane = database.tables.lanes[webhook_id]
    assert lane.unevaluated == tally_of([(False, 12.0), (True, 12.0), (False, 12.0)])
    assert [type(fact) for fact in database.domain_events] == [WebhookStatusChanged]
    assert lane.evaluate_at == START


async def test_a_status_or_an_error_tells_how_an_attempt_ended(
    measurer: AttemptRecorder, database: FakeDatabase, webhook_id: UUID
) -> None:
    attempts = [reported(status_code=code) for code in (204, 302, 500)] + [failed(START)]
    await measurer.report(webhook_id, attempts, samples.ACTOR)
    stored = [attempt.outcome.label for attempt in database.tables.attempts.values()]
    assert sorted(stored) == ["302", "500", "ok", "timeout"]


@pytest.mark.parametrize(
    ("attempt", "pointers"),
    [
        (reported(status_code=None), ["/attempts/1"]),
        (reported(error=ErrorKind.TIMEOUT), ["/attempts/1"]),
        (reported(event_type="order\u2066paid"), ["/attempts/1/event_type"]),
        (reported(START.replace(tzinfo=None)), ["/attempts/1/delivered_at"]),
        (reported(START - timedelta(days=1, seconds=1)), ["/attempts/1/delivered_at"]),
        (reported(START + timedelta(minutes=6)), ["/attempts/1/delivered_at"]),
    ],
)
async def test_one_bad_attempt_refuses_the_report(
    measurer: AttemptRecorder, database: FakeDatabase, webhook_id: UUID, attempt: ReportedAttempt, pointers: list[str]
) -> None:
    with pytest.raises(Invalid) as refused:
        await measurer.report(webhook_id, [reported(), attempt], samples.ACTOR)
    assert [error.pointer for error in refused.value.errors] == pointers
    assert (database.tables.attempts, database.tables.audit) == ({}, {})


@pytest.mark.parametrize("count", [0, 1_001])
async def test_a_report_holds_one_to_a_thousand_attempts(
    measurer: AttemptRecorder, webhook_id: UUID, count: int
) -> None:
    with pytest.raises(Invalid):
        await measurer.report(webhook_id, [reported()] * count, samples.ACTOR)


async def test_a_long_report_still_tells_since_when_the_webhook_fails(
    measurer: AttemptRecorder, database: FakeDatabase, webhook_id: UUID
) -> None:
    # Before the report it failed for four days; in its older part it worked once.
    lane = Lane(webhook_id=webhook_id, failing_since=START - timedelta(days=4))
    database.tables.lanes[webhook_id] = lane
    at = [START - timedelta(minutes=n) for n in range(100, 0, -1)]
    await measurer.report(webhook_id, [failed(at[0]), reported(at[1]), *(failed(one) for one in at[2:])], samples.ACTOR)
    assert database.tables.lanes[webhook_id].failing_since == at[2] + LATENCY


async def test_reports_are_judged_by_when_attempts_ended_in_whatever_order_they_come(
    measurer: AttemptRecorder, database: FakeDatabase, webhook_id: UUID
) -> None:
    quick = [reported(START - timedelta(seconds=60 - n)) for n in range(10)]
    slow = [replace(failed(START - timedelta(seconds=60 - n)), latency_ms=15_000.0) for n in range(10)]
    await measurer.report(webhook_id, slow, samples.ACTOR)
    await measurer.report(webhook_id, quick[5:], samples.ACTOR)
    await measurer.report(webhook_id, quick[:5], samples.ACTOR)
    lane = database.tables.lanes[webhook_id]
    assert lane.recent == ("ok",) * 10 + ("timeout",) * 10
    assert lane.health.status is HealthStatus.UNAVAILABLE
    assert lane.failing_since == START - timedelta(seconds=45)


async def test_a_reported_429_is_no_failure_and_holds_nothing(
    measurer: AttemptRecorder, database: FakeDatabase, webhook_id: UUID
) -> None:
    await measurer.report(webhook_id, [reported(status_code=429)] * 6, samples.ACTOR)
    lane = database.tables.lanes[webhook_id]
    assert (lane.health.status, lane.throttled_until, lane.failing_since) == (HealthStatus.THROTTLED, None, None)
    assert lane.unevaluated == tally_of([])


async def test_a_report_of_yesterday_does_not_outweigh_what_is_known_since(
    measurer: AttemptRecorder, database: FakeDatabase, webhook_id: UUID
) -> None:
    await measurer.report(webhook_id, [reported(START - timedelta(seconds=n)) for n in range(20)], samples.ACTOR)
    lane = database.tables.lanes[webhook_id]
    await measurer.report(webhook_id, [failed(START - timedelta(hours=20))] * 30, samples.ACTOR)
    after = database.tables.lanes[webhook_id]
    assert (after.recent, after.health, after.failing_since) == (lane.recent, lane.health, None)


async def test_nothing_is_reported_of_an_unknown_or_deleted_webhook(
    measurer: AttemptRecorder, unit_of_work: UnitOfWorkFactory, clock: FakeClock, webhook_id: UUID
) -> None:
    async with unit_of_work() as uow:
        await uow.webhooks.remove(webhook_id)
        await uow.commit()
    for id_ in (webhook_id, clock.new_id()):
        with pytest.raises(NotFound):
            await measurer.report(id_, [reported()], samples.ACTOR)
        with pytest.raises(NotFound):
            await measurer.ping(id_, samples.ACTOR)


async def test_a_ping_is_sent_signed_and_logged_and_counts_for_nothing(
    measurer: AttemptRecorder, sender: FakeWebhookSender, database: FakeDatabase, webhook_id: UUID
) -> None:
    sender.receiver = lambda _: Outcome(latency_ms=3.0, status_code=500, error=ErrorKind.STATUS)
    lane = database.tables.lanes[webhook_id]
    ping = await measurer.ping(webhook_id, samples.ACTOR)
    assert (ping.ok, ping.status_code, ping.webhook_id) == (False, 500, webhook_id)
    [request] = sender.requests
    assert dict(request.headers)["webhook-id"] == str(ping.id)
    assert dict(request.headers)["monitor-event-type"] == PING_TYPE
    [attempt] = database.tables.attempts.values()
    assert (attempt.id, attempt.kind) == (ping.id, "test")
    assert database.tables.lanes[webhook_id] == lane
    assert database.tables.minutes == {}
    [row] = database.tables.audit.values()
    assert (row.action, row.after) == ("webhook.test", {"outcome": "500"})


async def test_a_sample_alert_says_that_it_is_one(
    measurer: AttemptRecorder, sender: FakeWebhookSender, webhook_id: UUID
) -> None:
    assert (await measurer.ping(webhook_id, samples.ACTOR, sample_alert=True)).ok
    [request] = sender.requests
    assert dict(request.headers)["monitor-event-type"] == RAISED
    assert b"This is a sample" in request.body


async def test_below_admin_the_url_of_a_chat_service_ends_after_its_origin(
    queries: FakeQueries, webhook_id: UUID
) -> None:
    view = replace(await queries.webhook(webhook_id), url="https://hooks.slack.com/services/T0/B0/secret")
    assert below_admin(view) == replace(view, url="https://hooks.slack.com/***")


async def test_a_paused_webhook_can_be_pinged(
    measurer: AttemptRecorder, database: FakeDatabase, webhook_id: UUID
) -> None:
    row = database.tables.webhooks[webhook_id]
    held = replace(row.webhook, paused_at=START, enabled=False)
    database.tables.webhooks[webhook_id] = replace(row, webhook=held)
    assert (await measurer.ping(webhook_id, samples.ACTOR)).ok


async def test_a_ping_that_is_repeated_with_its_key_is_sent_once(
    measurer: AttemptRecorder, sender: FakeWebhookSender, database: FakeDatabase, webhook_id: UUID
) -> None:
    first = await measurer.ping(webhook_id, samples.ACTOR, key="k", body=b"")
    assert await measurer.ping(webhook_id, samples.ACTOR, key="k", body=b"") == first
    assert (len(sender.requests), len(database.tables.attempts), len(database.tables.audit)) == (1, 1, 1)
    with pytest.raises(IdempotencyMismatch):
        await measurer.ping(webhook_id, samples.ACTOR, key="k", body=b"{}")
    with pytest.raises(NotFound):
        await measurer.ping(UUID(int=7), samples.ACTOR, key="k")


async def test_a_ping_under_way_holds_its_key_for_no_longer_than_a_ping_lasts(
    measurer: AttemptRecorder,
    sender: FakeWebhookSender,
    clock: FakeClock,
    webhook_id: UUID,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As of a process that ends while it sends.
    Trouble(monkeypatch, FakeWebhookSender, "send", KeyError("it ended"), "after", times=1)
    with pytest.raises(KeyError):
        await measurer.ping(webhook_id, samples.ACTOR, key="k")
    with pytest.raises(Conflict, match="under way"):
        await measurer.ping(webhook_id, samples.ACTOR, key="k")
    clock.advance(61.0)
    assert (await measurer.ping(webhook_id, samples.ACTOR, key="k")).ok
    assert len(sender.requests) == 2
