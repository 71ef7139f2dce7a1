"""What services answer about a row that this version cannot read."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

import msgspec
import pytest

from monitor.domain.delivery.lane import LanePolicy
from monitor.domain.delivery.reported import ReportedAttempt
from monitor.domain.errors import UnreadableRow
from monitor.domain.ports.unit_of_work import UnitOfWorkFactory
from monitor.domain.services.alerts import Acknowledgement
from monitor.domain.services.attempts import AttemptRecorder, Recorded
from monitor.domain.services.idempotency import read_back, stored_response
from monitor.domain.views.webhooks import WebhookView
from monitor.domain.webhooks.destination import Destination
from tests import samples
from tests.fakes.clock import START, FakeClock
from tests.fakes.egress.sender import FakeWebhookSender
from tests.fakes.postgres.database import FakeDatabase
from tests.fakes.postgres.queries.resources import FakeQueries
from tests.unit.domain.services.deliver_bench import Bench
from tests.unit.domain.services.detection_harness import DetectionHarness


class Sealed(FakeQueries):
    """Opens no secret."""

    async def destinations(self, webhook_ids: Collection[UUID]) -> dict[UUID, tuple[int, Destination]]:
        return await super().destinations([]) if webhook_ids else {}


@pytest.fixture
def recorder(
    unit_of_work: UnitOfWorkFactory, database: FakeDatabase, sender: FakeWebhookSender, clock: FakeClock
) -> AttemptRecorder:
    return AttemptRecorder(unit_of_work, Sealed(database), sender, clock, lambda _key, _content: "v1a,x", LanePolicy())


async def test_stock_whose_secrets_do_not_open_any_more_is_released(
    unit_of_work: UnitOfWorkFactory, database: FakeDatabase, sender: FakeWebhookSender, clock: FakeClock
) -> None:
    bench = Bench(database, unit_of_work, sender, clock)
    webhook_id = await bench.webhook(1)
    stock = (await bench.deliverer.claim(None, 10)).deliveries
    async with unit_of_work() as uow:
        await uow.webhooks.rotate_secret(webhook_id, b"n" * 32, overlap_s=0.0)
        await uow.commit()
    bench.deliverer._queries = Sealed(database)
    assert (await bench.deliverer.check(stock)).sendable == []
    [left] = database.tables.deliveries.values()
    assert (left.leased_by, left.attempts, left.due_at) == (None, 0, clock.now())
    assert await bench.count() == 0
    assert len((await bench.another("worker-2").claim(None, 10)).deliveries) == 1


async def test_a_report_about_an_unreadable_lane_stores_nothing(
    recorder: AttemptRecorder, database: FakeDatabase, unit_of_work: UnitOfWorkFactory, clock: FakeClock
) -> None:
    webhook_id = (await samples.add_webhook(unit_of_work, clock)).id
    del database.tables.lanes[webhook_id]
    attempt = ReportedAttempt(delivered_at=START, latency_ms=1.0, status_code=200)
    with pytest.raises(UnreadableRow):
        await recorder.report(webhook_id, [attempt], samples.ACTOR)
    assert database.tables.attempts == {}


async def test_a_test_of_a_webhook_whose_secrets_do_not_open_names_the_setting(
    recorder: AttemptRecorder, unit_of_work: UnitOfWorkFactory, sender: FakeWebhookSender, clock: FakeClock
) -> None:
    webhook_id = (await samples.add_webhook(unit_of_work, clock)).id
    with pytest.raises(UnreadableRow, match="MONITOR_SECRETS__KEYS"):
        await recorder.ping(webhook_id, samples.ACTOR)
    assert sender.requests == []


async def test_an_answer_of_another_version_is_not_given_for_a_repeat(unit_of_work: UnitOfWorkFactory) -> None:
    async with unit_of_work() as uow:
        assert await stored_response(uow, "ada", "k", b"", Recorded) is None
        await uow.idempotency.finish("ada", "k", b'{"recorded": "many"}')
        await uow.commit()
    async with unit_of_work() as uow:
        with pytest.raises(UnreadableRow):
            await stored_response(uow, "ada", "k", b"", Recorded)


async def test_what_was_written_is_answered_when_it_cannot_be_read_back() -> None:
    async def read() -> int:
        raise UnreadableRow("by another version")

    assert await read_back(read(), 7) == 7


async def test_an_alert_of_an_unreadable_webhook_can_be_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = DetectionHarness()
    webhook_id = await harness.add()
    harness.make_unavailable(webhook_id)
    await harness.evaluate_all()

    async def webhook(_queries: FakeQueries, _id: UUID) -> WebhookView:
        raise UnreadableRow("by another version")

    monkeypatch.setattr(FakeQueries, "webhook", webhook)
    alert_id = harness.alert(webhook_id).id
    view = await harness.commands.acknowledge(alert_id, Acknowledgement(), samples.ACTOR)
    assert view.acknowledged_by == samples.ACTOR.subject
    assert msgspec.json.encode(view)
