"""What every ``AttemptLog`` must do."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from msgspec.structs import replace

from monitor.domain.delivery.exchange import HeaderField, StoredExchange
from monitor.domain.delivery.outcome import Outcome, Phases
from monitor.domain.delivery.reported import ReportedAttempt, columns_of
from monitor.domain.errors import NotFound
from monitor.domain.monitoring.metrics import Rollup, merge_rollups
from monitor.domain.ports.queries.resources import AttemptFilter
from monitor.domain.ports.repositories.attempts import AttemptRecord, MinuteRollup
from monitor.domain.views.metrics import MetricsPoint
from monitor.domain.vocab import ErrorKind
from tests import samples
from tests.integration.contract.world import World
from tests.samples import rollup_of

EMPTY = Rollup()
CALM = rollup_of([("ok", 12.5), ("ok", 13.0)])
ROUGH = rollup_of([("ok", 12.5), ("503", 700.0), ("timeout", 15_000.0)])
WORSE = rollup_of([("503", 3.25), ("dns", 0.0)])


async def test_an_attempt_that_is_stored_is_found_by_its_webhook_and_id(world: World) -> None:
    made = await world.add_webhook()
    ids = [world.clock.new_id() for _ in range(3)]
    async with world.unit_of_work() as uow:
        await uow.attempts.add([AttemptRecord(id=id_, webhook_id=made.id, outcome=samples.OK) for id_ in ids[:2]])
        await uow.commit()
    async with world.unit_of_work() as uow:
        assert await uow.attempts.stored([(made.id, id_) for id_ in ids]) == set(ids[:2])
        assert await uow.attempts.stored([(ids[2], ids[0])]) == set()


async def test_an_attempt_comes_back_as_it_was_stored(world: World) -> None:
    made = await world.add_webhook()
    at = world.clock.now()
    outcome = replace(
        samples.REFUSED, error_detail="busy", phases=Phases(1.0, 2.0, None, 4.0), response_body=b"try \xff later"
    )
    record = AttemptRecord(
        id=world.clock.new_id(at),
        webhook_id=made.id,
        outcome=outcome,
        delivery_id=world.clock.new_id(),
        event_id=world.clock.new_id(),
        event_type="order.paid",
        number=3,
        exchange=StoredExchange(
            "POST", "https://a.com/", (HeaderField("X-A", "***"),), 2, "ab", (HeaderField("x-b", "1"),), "odd", "1.0"
        ),
    )
    async with world.unit_of_work() as uow:
        await uow.attempts.add([record])
        await uow.commit()
    [view] = await world.queries.attempts(made.id, AttemptFilter(), after=None, limit=10)
    assert (view.id, view.delivery_id, view.event_id) == (record.id, record.delivery_id, record.event_id)
    assert (view.kind, view.number, view.event_type) == ("delivery", 3, "order.paid")
    assert (view.ok, view.status_code, view.error, view.error_detail) == (False, 503, "status", "busy")
    assert (view.latency_ms, view.phases) == (8.0, outcome.phases)
    assert view.response_body == "try \ufffd later"
    assert abs(view.at - at) < timedelta(milliseconds=1)
    assert view.exchange is msgspec.UNSET
    assert (await world.queries.attempt(made.id, record.id)).exchange == record.exchange
    for webhook_id, attempt_id in ((made.id, made.id), (record.id, record.id)):
        with pytest.raises(NotFound):
            await world.queries.attempt(webhook_id, attempt_id)


async def test_attempts_are_listed_newest_first_and_by_how_they_ended(world: World) -> None:
    made = await world.add_webhook()
    outcomes: list[Outcome] = [samples.OK, samples.REFUSED, samples.TIMED_OUT]
    records = [AttemptRecord(id=world.clock.new_id(), webhook_id=made.id, outcome=one, kind="test") for one in outcomes]
    async with world.unit_of_work() as uow:
        await uow.attempts.add(records)
        await uow.commit()
    ok, refused, timed_out = (record.id for record in records)
    for where, found in (
        (AttemptFilter(), [timed_out, refused, ok]),
        (AttemptFilter(ok=True), [ok]),
        (AttemptFilter(ok=False), [timed_out, refused]),
        (AttemptFilter(error="timeout"), [timed_out]),
        (AttemptFilter(error="503"), [refused]),
        (AttemptFilter(error="status"), [refused]),
        (AttemptFilter(error="502"), []),
    ):
        page = await world.queries.attempts(made.id, where, after=None, limit=10)
        assert [view.id for view in page] == found
    page = await world.queries.attempts(made.id, AttemptFilter(), after=timed_out, limit=1)
    assert [view.id for view in page] == [refused]


async def test_columns_are_stored_as_their_attempts(world: World) -> None:
    made = await world.add_webhook()
    now, event_id = world.clock.now(), world.clock.new_id()
    columns = columns_of(
        [
            ReportedAttempt(delivered_at=now, latency_ms=5.0, error=ErrorKind.TIMEOUT, event_id=event_id),
            ReportedAttempt(delivered_at=now - timedelta(seconds=2), latency_ms=8.5, status_code=503),
            ReportedAttempt(
                delivered_at=now - timedelta(seconds=3), latency_ms=7.0, status_code=204, event_type="order.paid"
            ),
        ],
        now,
    )
    ids = world.clock.new_ids([started_us // 1_000 for started_us in columns.started_us])
    async with world.unit_of_work() as uow:
        await uow.attempts.add_reported(made.id, ids, columns)
        await uow.commit()
    views = await world.queries.attempts(made.id, AttemptFilter(), after=None, limit=10)
    assert [view.id for view in views] == ids[::-1]
    assert {(view.kind, view.number, view.delivery_id) for view in views} == {("reported", 1, None)}
    assert [(view.ok, view.status_code, view.error, view.latency_ms) for view in views] == [
        (False, None, "timeout", 5.0), (False, 503, "status", 8.5), (True, 204, None, 7.0),
    ]  # fmt: skip
    assert [(view.event_id, view.event_type) for view in views] == [
        (event_id, None), (None, None), (None, "order.paid"),
    ]  # fmt: skip


async def test_minutes_added_one_by_one_are_their_merge(world: World) -> None:
    """add_minutes(a) then add_minutes(b) stores merge_rollups(a, b), for the webhook and for the whole system."""
    made, other = await world.add_webhook(), await world.add_webhook()
    at = world.clock.now().replace(second=0, microsecond=0)
    later = at + timedelta(minutes=1)
    steps = [
        [MinuteRollup(made.id, at, CALM), MinuteRollup(other.id, at, WORSE)],
        [MinuteRollup(made.id, at, ROUGH), MinuteRollup(made.id, later, CALM)],
        [MinuteRollup(made.id, at, WORSE)],
        [MinuteRollup(made.id, later, WORSE)],
    ]
    for minutes in steps:
        async with world.unit_of_work() as uow:
            await uow.attempts.add_minutes(minutes)
            await uow.commit()
    view = await world.queries.metrics(made.id, at, later + timedelta(minutes=1), 60)
    assert [point.at for point in view.points] == [at, later]
    for point, expected in (
        (view.points[0], merge_rollups(CALM, ROUGH, WORSE)),
        (view.points[1], merge_rollups(CALM, WORSE)),
        (view.total, merge_rollups(CALM, ROUGH, WORSE, CALM, WORSE)),
    ):
        assert_is(point, expected)


def assert_is(point: MetricsPoint, rollup: Rollup) -> None:
    assert (point.attempts, point.failures, point.errors) == (rollup.attempts, rollup.failures, rollup.errors)
    assert rollup.latency_mean_ms is not None
    assert point.mean_ms == round(rollup.latency_mean_ms, 3)


async def test_a_percentile_over_merged_minutes_sees_every_attempt(world: World) -> None:
    made = await world.add_webhook()
    at = world.clock.now().replace(second=0, microsecond=0)
    fast, slow = rollup_of([("ok", 10.0)] * 90), rollup_of([("ok", 1_000.0)] * 10)
    for rollup in (slow, fast):
        async with world.unit_of_work() as uow:
            await uow.attempts.add_minutes([MinuteRollup(made.id, at, rollup)])
            await uow.commit()
    [point] = (await world.queries.metrics(made.id, at, at + timedelta(hours=1), 3600)).points
    assert point.p50_ms is not None
    assert point.p95_ms is not None
    assert abs(point.p50_ms - 10) <= 0.25
    assert abs(point.p95_ms - 1_000) <= 25
