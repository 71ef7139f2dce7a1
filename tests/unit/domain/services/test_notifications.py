"""Alert notifications become events for subscribers, except for the webhook of the alert."""

from __future__ import annotations

import asyncio
from uuid import UUID

import msgspec
import pytest

from monitor.domain.alerts.notification import AlertNotification
from monitor.domain.delivery.order import alert_key
from monitor.domain.errors import Unavailable
from monitor.domain.services.notifications import BATCH, AlertNotifier
from tests.unit.domain.services.detection_harness import DetectionHarness


@pytest.fixture
def harness() -> DetectionHarness:
    return DetectionHarness()


def reached(harness: DetectionHarness) -> list[tuple[UUID, str]]:
    """Return the events of each webhook, by the last segment of their types."""
    events = harness.database.tables.events
    found = [
        (d.webhook_id, events[d.event_id].event.type.rpartition(".")[2])
        for _, d in sorted(harness.database.tables.deliveries.items())
    ]
    return sorted(found, key=lambda pair: pair[0])


async def test_subscribers_get_alerts_but_not_the_webhook_that_fails(harness: DetectionHarness) -> None:
    failing = await harness.add(name="Orders", event_types=("monitor.*", "*"))
    everything = await harness.add(event_types=("*",))
    alerts = await harness.add(event_types=("monitor.alert.*",))
    raised = await harness.add(event_types=("monitor.alert.raised",))
    harness.make_unavailable(failing)
    await harness.evaluate_all()
    harness.make_healthy(failing)
    await harness.evaluate_all()
    assert await harness.notifier.publish() == 2
    # The newest replaces what waits for the same destination.
    assert reached(harness) == sorted([(alerts, "resolved"), (raised, "raised")], key=lambda pair: pair[0])
    assert everything not in dict(reached(harness))
    assert await harness.notifier.publish() == 0


async def test_the_event_holds_the_alert_and_its_webhook(harness: DetectionHarness) -> None:
    failing = await harness.add(name="Orders", labels={"team": "blue"})
    harness.make_unavailable(failing)
    await harness.evaluate_all()
    await harness.notifier.publish()
    [stored] = harness.database.tables.events.values()
    assert stored.event.labels == {"team": "blue", "severity": "critical", "kind": "failing"}
    payload = msgspec.json.decode(stored.event.payload)
    assert payload["type"] == stored.event.type == "monitor.alert.raised"
    assert payload["data"]["webhook"] == {"id": str(failing), "name": "Orders"}
    assert payload["data"]["alert"]["id"] == str(harness.alert(failing).id)
    assert stored.event.order_key == alert_key(harness.alert(failing).id)


async def test_one_that_an_older_version_queued_without_its_alert_has_no_order(harness: DetectionHarness) -> None:
    webhook_id = await harness.add()
    async with harness.unit_of_work() as uow:
        await uow.notifications.add([AlertNotification("monitor.alert.raised", b"{}", {}, webhook_id)])
        await uow.commit()
    assert await harness.notifier.publish() == 1
    [stored] = harness.database.tables.events.values()
    assert stored.event.order_key is None


async def test_the_last_word_is_that_of_the_history_whatever_clock_queued_it(harness: DetectionHarness) -> None:
    failing, listener = await harness.add(), await harness.add(event_types=("monitor.alert.*",))
    told = {4: "resolved", 1: "raised", 3: "acknowledged"}
    alert_id = harness.clock.new_id()
    other = AlertNotification("monitor.alert.flapping", b"{}", {}, failing, harness.clock.new_id(), 2)
    queued = [AlertNotification(f"monitor.alert.{type_}", b"{}", {}, failing, alert_id, n) for n, type_ in told.items()]
    async with harness.unit_of_work() as uow:
        await uow.notifications.add([queued[0], other, *queued[1:]])
        await uow.commit()
    assert await harness.notifier.publish() == 4
    assert reached(harness) == [(listener, "flapping"), (listener, "resolved")]
    events = [stored.event.type for _, stored in sorted(harness.database.tables.events.items())]
    assert [type_.rpartition(".")[2] for type_ in events] == ["raised", "flapping", "acknowledged", "resolved"]


async def test_subscribers_filter_alerts_by_labels(harness: DetectionHarness) -> None:
    blue, red = await harness.add(labels={"team": "blue"}), await harness.add(labels={"team": "red"})
    listener = await harness.add(event_types=("monitor.alert.*",), labels={"team": "blue", "severity": "critical"})
    info = await harness.add(event_types=("monitor.alert.*",), labels={"severity": "info"})
    harness.make_unavailable(blue, red)
    await harness.evaluate_all()
    await harness.notifier.publish()
    assert reached(harness) == [(listener, "raised")]
    assert info not in dict(reached(harness))


async def test_the_alert_about_all_reaches_also_those_that_fail(harness: DetectionHarness) -> None:
    ids = [await harness.add(event_types=("monitor.alert.*",)) for _ in range(6)]
    harness.make_unavailable(*ids)
    await harness.check_mass_failure()
    await harness.notifier.publish()
    assert reached(harness) == sorted((id_, "raised") for id_ in ids)


async def test_each_notification_is_published_once_and_in_order_by_concurrent_processes(
    harness: DetectionHarness,
) -> None:
    await harness.add(event_types=("monitor.*",))
    told = [AlertNotification("monitor.alert.raised", b"%d" % n, {}, harness.clock.new_id()) for n in range(BATCH + 20)]
    async with harness.unit_of_work() as uow:
        await uow.notifications.add(told)
        await uow.commit()
    notifiers = [AlertNotifier(harness.unit_of_work, harness.clock) for _ in range(5)]
    assert sum(await asyncio.gather(*(notifier.publish() for notifier in notifiers))) == len(told)
    events = sorted(harness.database.tables.events.items())
    assert [stored.event.payload for _, stored in events] == [announced.payload for announced in told]


async def test_a_notification_stays_queued_if_publishing_fails(harness: DetectionHarness) -> None:
    harness.make_unavailable(await harness.add())
    await harness.evaluate_all()
    harness.database.commits_fail = True
    with pytest.raises(Unavailable):
        await harness.notifier.publish()
    harness.database.commits_fail = False
    assert await harness.notifier.publish() == 1
    assert len(harness.database.tables.events) == 1


async def test_one_run_publishes_several_batches(harness: DetectionHarness) -> None:
    told = [AlertNotification("monitor.alert.raised", b"%d" % n, {}, harness.clock.new_id()) for n in range(2 * BATCH)]
    async with harness.unit_of_work() as uow:
        await uow.notifications.add(told)
        await uow.commit()
    await harness.notifier.run()
    assert len(harness.database.tables.events) == len(told)


async def test_events_link_to_the_page_where_its_url_is_known(harness: DetectionHarness) -> None:
    failing = await harness.add()
    harness.make_unavailable(failing)
    await harness.evaluate_all()
    await AlertNotifier(harness.unit_of_work, harness.clock, "https://example.com/monitor/").run()
    [stored] = harness.database.tables.events.values()
    links = msgspec.json.decode(stored.event.payload)["links"]
    assert links["alert"] == f"https://example.com/monitor/#/alerts/{harness.alert(failing).id}"
