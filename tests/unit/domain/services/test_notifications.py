"""Alerts become events for whoever subscribed, but never through the webhook they are about."""

from __future__ import annotations

import asyncio
from uuid import UUID

import msgspec
import pytest

from monitor.domain.alerts.notification import AlertNotification
from monitor.domain.errors import Unavailable
from monitor.domain.services.notifications import BATCH, AlertNotifier
from tests.unit.domain.services.detection_fixture import House


@pytest.fixture
def house() -> House:
    return House()


def reached(house: House) -> list[tuple[UUID, str]]:
    """Return who gets which event, by its last word."""
    events = house.database.tables.events
    found = [
        (d.webhook_id, events[d.event_id].event.type.rpartition(".")[2])
        for _, d in sorted(house.database.tables.deliveries.items())
    ]
    return sorted(found, key=lambda pair: pair[0])


async def test_subscribers_get_alerts_but_not_the_webhook_that_fails(house: House) -> None:
    failing = await house.add(name="Orders", event_types=("monitor.*", "*"))
    everything = await house.add(event_types=("*",))
    alerts = await house.add(event_types=("monitor.alert.*",))
    raised = await house.add(event_types=("monitor.alert.raised",))
    house.fails(failing)
    await house.look()
    house.works(failing)
    await house.look()
    assert await house.relay.publish() == 2
    assert reached(house) == sorted(
        [(alerts, "raised"), (alerts, "resolved"), (raised, "raised")], key=lambda pair: pair[0]
    )
    assert everything not in dict(reached(house))
    assert await house.relay.publish() == 0


async def test_the_event_tells_the_alert_and_its_webhook(house: House) -> None:
    failing = await house.add(name="Orders", labels={"team": "blue"})
    house.fails(failing)
    await house.look()
    await house.relay.publish()
    [stored] = house.database.tables.events.values()
    assert stored.event.labels == {"team": "blue", "severity": "critical", "kind": "failing"}
    payload = msgspec.json.decode(stored.event.payload)
    assert payload["type"] == stored.event.type == "monitor.alert.raised"
    assert payload["data"]["webhook"] == {"id": str(failing), "name": "Orders"}
    assert payload["data"]["alert"]["id"] == str(house.alert(failing).id)


async def test_labels_choose_whose_alerts_one_hears_of(house: House) -> None:
    blue, red = await house.add(labels={"team": "blue"}), await house.add(labels={"team": "red"})
    listener = await house.add(event_types=("monitor.alert.*",), labels={"team": "blue", "severity": "critical"})
    info = await house.add(event_types=("monitor.alert.*",), labels={"severity": "info"})
    house.fails(blue, red)
    await house.look()
    await house.relay.publish()
    assert reached(house) == [(listener, "raised")]
    assert info not in dict(reached(house))


async def test_the_alert_about_all_reaches_also_those_that_fail(house: House) -> None:
    ids = [await house.add(event_types=("monitor.alert.*",)) for _ in range(6)]
    house.fails(*ids)
    await house.survey()
    await house.relay.publish()
    assert reached(house) == sorted((id_, "raised") for id_ in ids)


async def test_each_is_told_once_in_its_order_whoever_publishes(house: House) -> None:
    await house.add(event_types=("monitor.*",))
    told = [AlertNotification("monitor.alert.raised", b"%d" % n, {}, house.clock.new_id()) for n in range(BATCH + 20)]
    async with house.unit_of_work() as uow:
        await uow.notifications.add(told)
        await uow.commit()
    relays = [AlertNotifier(house.unit_of_work, house.clock) for _ in range(5)]
    assert sum(await asyncio.gather(*(relay.publish() for relay in relays))) == len(told)
    events = sorted(house.database.tables.events.items())
    assert [stored.event.payload for _, stored in events] == [announced.payload for announced in told]


async def test_what_could_not_be_published_waits(house: House) -> None:
    house.fails(await house.add())
    await house.look()
    house.database.commits_fail = True
    with pytest.raises(Unavailable):
        await house.relay.publish()
    house.database.commits_fail = False
    assert await house.relay.publish() == 1
    assert len(house.database.tables.events) == 1


async def test_a_storm_is_told_in_one_run(house: House) -> None:
    told = [AlertNotification("monitor.alert.raised", b"%d" % n, {}, house.clock.new_id()) for n in range(2 * BATCH)]
    async with house.unit_of_work() as uow:
        await uow.notifications.add(told)
        await uow.commit()
    await house.relay.run()
    assert len(house.database.tables.events) == len(told)
