"""Alerts with who was told, the figures of now and the last failed attempt, and the destinations of notifications."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from monitor.domain.alerts import AlertKind
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.errors import NotFound
from monitor.domain.ports.repositories.attempts import AttemptRecord
from monitor.domain.services.alert_details import AlertDetails
from monitor.domain.services.alerts import AlertNote
from monitor.domain.views.alerts import HistoryView, ToldView
from monitor.domain.vocab import BodyFormat, DeliveryState, ErrorKind, WebhookStatus
from tests import samples
from tests.fakes.postgres.database import FinishedDelivery
from tests.unit.domain.services.detection_harness import MINUTE, DetectionHarness


@pytest.fixture
def harness() -> DetectionHarness:
    return DetectionHarness()


@pytest.fixture
def details(harness: DetectionHarness) -> AlertDetails:
    return AlertDetails(harness.queries, harness.alert_queries)


@pytest.fixture
async def webhook_id(harness: DetectionHarness) -> UUID:
    webhook_id = await harness.add(name="Orders")
    harness.make_unavailable(webhook_id)
    await harness.evaluate_all()
    return webhook_id


async def lines(details: AlertDetails, alert_id: UUID) -> list[HistoryView]:
    history = (await details.alert(alert_id)).history
    assert history
    return history


async def attempted(harness: DetectionHarness, webhook_id: UUID, status_code: int, **record: Any) -> UUID:
    error = None if status_code == 200 else ErrorKind.STATUS
    outcome = Outcome(status_code=status_code, latency_ms=20.0, error=error)
    made = AttemptRecord(id=harness.clock.new_id(), webhook_id=webhook_id, outcome=outcome, **record)
    async with harness.unit_of_work() as uow:
        await uow.attempts.add([made])
        await uow.commit()
    return made.id


async def test_a_change_says_how_many_destinations_were_told(harness: DetectionHarness, details: AlertDetails) -> None:
    got, lost, _waiting = [await harness.add(event_types=("monitor.alert.*",)) for _ in range(3)]
    failing = await harness.add()
    harness.make_unavailable(failing)
    await harness.evaluate_all()
    alert_id = harness.alert(failing).id
    assert [line.event_id for line in await lines(details, alert_id)] == [None, None]
    await harness.notifier.publish()
    for webhook_id, state in ((got, DeliveryState.DELIVERED), (lost, DeliveryState.FAILED)):
        tables = harness.database.tables
        [delivery] = [d for d in tables.deliveries.values() if d.webhook_id == webhook_id]
        del tables.deliveries[delivery.id]
        tables.finished[delivery.id] = FinishedDelivery(
            delivery.id, delivery.event_id, webhook_id, state, 1, 1, 200, None, harness.clock.now()
        )
    raised, notified = await lines(details, alert_id)
    assert (raised.event_id, notified.told) == (None, ToldView(destinations=3, delivered=1, failed=1))
    harness.database.tables.events.clear()
    assert (await lines(details, alert_id))[1].told is None


async def test_a_change_says_that_nobody_subscribes(
    harness: DetectionHarness, details: AlertDetails, webhook_id: UUID
) -> None:
    await harness.notifier.publish()
    [_, notified] = await lines(details, harness.alert(webhook_id).id)
    assert notified.told == ToldView(0, 0, 0)


async def test_an_alert_shows_its_webhook_now(
    harness: DetectionHarness, details: AlertDetails, webhook_id: UUID
) -> None:
    alert_id = harness.alert(webhook_id).id
    harness.make_healthy(webhook_id)
    now = (await details.alert(alert_id)).now
    assert now
    assert (now.window_s, now.attempts, now.failures) == (300, 0, 0)
    assert (now.status, now.reason) == (WebhookStatus.HEALTHY, "All of the last 20 attempts succeeded.")
    harness.delete(webhook_id)
    now = (await details.alert(alert_id)).now
    assert now
    assert (now.status, now.reason) == (None, None)
    del harness.database.tables.webhooks[webhook_id]
    view = await details.alert(alert_id)
    assert (view.now, view.last_failed_attempt) == (None, None)


async def test_an_alert_about_all_webhooks_has_no_figures_of_one(
    harness: DetectionHarness, details: AlertDetails
) -> None:
    harness.make_unavailable(*[await harness.add() for _ in range(6)])
    await harness.check_mass_failure()
    view = await details.alert(harness.alert(kind=AlertKind.MASS_FAILURE).id)
    assert (view.now, view.last_failed_attempt) == (None, None)


async def test_the_last_failed_attempt_lies_in_the_time_of_the_alert(
    harness: DetectionHarness, details: AlertDetails
) -> None:
    webhook_id = await harness.add()
    await attempted(harness, webhook_id, 500)
    harness.clock.advance(20 * MINUTE)
    harness.make_unavailable(webhook_id)
    await harness.evaluate_all()
    alert_id = harness.alert(webhook_id).id
    assert (await details.alert(alert_id)).last_failed_attempt is None
    harness.clock.advance(MINUTE)
    failed = await attempted(harness, webhook_id, 503)
    harness.clock.advance(MINUTE)
    await attempted(harness, webhook_id, 200)
    await harness.commands.resolve(alert_id, AlertNote(), samples.ACTOR)
    harness.clock.advance(MINUTE)
    await attempted(harness, webhook_id, 502)
    found = (await details.alert(alert_id)).last_failed_attempt
    assert found
    assert (found.id, found.webhook_id, found.status_code, found.error) == (failed, webhook_id, 503, "status")


async def test_the_destinations_are_the_webhooks_that_subscribe_to_alerts(
    harness: DetectionHarness, details: AlertDetails
) -> None:
    await harness.add(event_types=("*",))
    chat = await harness.add(
        name="Chat", event_types=("monitor.*",), labels={"severity": "info"}, body_format=BodyFormat.SLACK
    )
    pager = await harness.add(event_types=("monitor.alert.raised",))
    old = await attempted(harness, pager, 200, event_type="monitor.alert.raised")
    harness.clock.advance(MINUTE)
    last = await attempted(harness, pager, 503, event_type="monitor.alert.resolved")
    await attempted(harness, pager, 200, event_type="monitor.alert.raised", kind="test")
    await attempted(harness, pager, 200, event_type="order.paid")
    first, second = await details.destinations(after=None, limit=10)
    assert (first.webhook_id, second.webhook_id, second.name) == (pager, chat, "Chat")
    assert (first.critical, second.critical, second.body_format) == (True, False, BodyFormat.SLACK)
    assert first.last_told
    assert (first.last_told.attempt_id, first.last_told.status_code) == (last, 503)
    assert (second.last_told, old < last) == (None, True)
    assert [one.webhook_id for one in await details.destinations(after=pager, limit=10)] == [chat]


async def test_an_alert_that_is_not_there_is_not_found(harness: DetectionHarness, details: AlertDetails) -> None:
    with pytest.raises(NotFound):
        await details.alert(harness.clock.new_id())
