"""What every ``AlertQueries`` must do about the order of open alerts, and about who is told."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from uuid import UUID

from monitor.domain.alerts.alert import Action, AlertKind, AlertState, HistoryEntry, Identity, apply_entry
from monitor.domain.alerts.notification import NotificationRef
from monitor.domain.delivery.fan_out import NewDelivery, NewEvent
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.ids import derived
from monitor.domain.ports.queries.alerts import AlertFilter, WorstFirst
from monitor.domain.ports.queue import Finish
from monitor.domain.ports.repositories.attempts import AttemptRecord
from monitor.domain.views.alerts import LastTold, ToldView
from monitor.domain.vocab import REPLACED, DeliveryState, ErrorKind, Severity
from tests.integration.contract.alerts_made import POLICY, make
from tests.integration.contract.world import World

INFO, WARNING, CRITICAL = Severity
OPEN = AlertFilter((AlertState.PENDING, AlertState.ACKNOWLEDGED))


async def test_open_alerts_come_worst_first_page_by_page(world: World) -> None:
    now = world.clock.now()
    first, second = (await world.add_webhook()).id, (await world.add_webhook()).id
    kinds = [AlertKind.FAILING, AlertKind.LATENCY, AlertKind.VOLUME]
    severities = [WARNING, CRITICAL, INFO, CRITICAL, INFO, WARNING]
    made = [
        await make(world, webhook_id=webhook_id, at=now, kind=kind, severity=severities.pop())
        for webhook_id in (first, second)
        for kind in kinds
    ]
    await make(world, webhook_id=first, at=now, kind=AlertKind.EXPIRED, severity=CRITICAL, resolved_s=1)
    expected = sorted(made, key=lambda alert: (tuple(Severity).index(alert.severity), alert.id), reverse=True)
    found = await world.alert_queries.worst_alerts(OPEN, after=None, limit=10)
    assert [view.id for view in found] == [alert.id for alert in expected]
    for before, following in pairwise(found):
        [view] = await world.alert_queries.worst_alerts(OPEN, after=WorstFirst(before.severity, before.id), limit=1)
        assert view.id == following.id
    last = WorstFirst(found[-1].severity, found[-1].id)
    assert await world.alert_queries.worst_alerts(OPEN, after=last, limit=10) == []
    of_one = AlertFilter(OPEN.states, severity=CRITICAL, webhook_id=first)
    views = await world.alert_queries.worst_alerts(of_one, after=None, limit=10)
    assert [(view.severity, view.webhook_id) for view in views] == [(CRITICAL, first)]


async def test_a_view_has_the_newest_lines_of_a_long_history(world: World) -> None:
    alert = await make(world, webhook_id=(await world.add_webhook()).id, at=world.clock.now())
    entries = [HistoryEntry(at=alert.raised_at, action=Action.COMMENTED, note=str(n)) for n in range(250)]
    after = alert
    for entry in entries:
        after = apply_entry(after, entry, Identity(alert.id, alert.webhook_id, alert.kind), POLICY)
    async with world.unit_of_work() as uow:
        assert await uow.alerts.save(alert, after, entries)
        await uow.commit()
    history = (await world.alert_queries.alert(alert.id)).history
    assert history
    assert [line.note for line in history] == [str(n) for n in range(50, 250)]


async def test_a_line_of_the_history_names_its_event(world: World) -> None:
    alert = await make(world, webhook_id=(await world.add_webhook()).id, at=world.clock.now(), resolved_s=1)
    event_id = world.clock.new_id()
    async with world.unit_of_work() as uow:
        await uow.alerts.link_events(
            [NotificationRef(alert.id, 2, event_id), NotificationRef(world.clock.new_id(), 1, event_id)]
        )
        await uow.commit()
    history = (await world.alert_queries.alert(alert.id)).history
    assert history
    assert [line.event_id for line in history] == [None, event_id]


async def _notification(world: World, *webhook_ids: UUID) -> UUID:
    event_id = world.clock.new_id()
    event = NewEvent(id=event_id, type="monitor.alert.raised", labels={}, payload=b"{}", occurred_at=world.clock.now())
    deliveries = [NewDelivery(derived(event_id, n), event_id, id_) for n, id_ in enumerate(webhook_ids, 1)]
    async with world.unit_of_work() as uow:
        await uow.events.add([event], deliveries)
        await uow.commit()
    return event_id


async def test_an_event_says_how_many_destinations_it_has(world: World) -> None:
    one, two = (await world.add_webhook()).id, (await world.add_webhook()).id
    both, nobody, gone = await _notification(world, one, two), await _notification(world), world.clock.new_id()
    assert await world.alert_queries.told([both, nobody, gone]) == {both: ToldView(2, 0, 0), nobody: ToldView(0, 0, 0)}
    for webhook_id, state, failed in ((one, DeliveryState.FAILED, 1), (two, DeliveryState.DELIVERED, 1)):
        [delivery] = await world.take(webhook_id)
        async with world.unit_of_work() as uow:
            await uow.queue.finish([Finish(delivery.id, state, 200, None, 1)])
            await uow.commit()
        delivered = int(state is DeliveryState.DELIVERED)
        assert (await world.alert_queries.told([both]))[both] == ToldView(2, delivered, failed)
    assert await world.alert_queries.told([]) == {}


async def test_a_replaced_notification_is_no_failure(world: World) -> None:
    one, two, three = [(await world.add_webhook()).id for _ in range(3)]
    event_id = await _notification(world, one, two, three)
    for webhook_id, error in ((one, REPLACED), (two, None)):
        [delivery] = await world.take(webhook_id)
        async with world.unit_of_work() as uow:
            await uow.queue.finish([Finish(delivery.id, DeliveryState.CANCELLED, error=error)])
            await uow.commit()
    assert await world.alert_queries.told([event_id]) == {event_id: ToldView(3, 0, 1, 1)}


async def test_an_event_whose_deliveries_are_still_made_is_left_out(world: World) -> None:
    event = NewEvent(
        id=world.clock.new_id(),
        type="monitor.alert.raised",
        labels={},
        payload=b"{}",
        occurred_at=world.clock.now(),
    )
    async with world.unit_of_work() as uow:
        await uow.events.add([event], [])
        await uow.fan_outs.add([event])
        await uow.commit()
    assert await world.alert_queries.told([event.id]) == {}


async def test_the_last_notification_is_found_among_a_hundred_attempts(world: World) -> None:
    pager, quiet, busy = [(await world.add_webhook()).id for _ in range(3)]

    def attempt(webhook_id: UUID, event_type: str, kind: str = "delivery", status_code: int = 200) -> AttemptRecord:
        error = None if status_code == 200 else ErrorKind.STATUS
        outcome = Outcome(20.0, status_code, error)
        return AttemptRecord(
            id=world.clock.new_id(), webhook_id=webhook_id, outcome=outcome, kind=kind, event_type=event_type
        )

    earlier = attempt(pager, "monitor.alert.raised")
    told = attempt(pager, "monitor.alert.resolved", status_code=503)
    records = [
        earlier,
        told,
        attempt(pager, "monitor.alert.raised", "test"),
        attempt(pager, "order.paid"),
        attempt(quiet, "order.paid"),
        attempt(busy, "monitor.alert.raised"),
        *(attempt(busy, "order.paid") for _ in range(100)),
    ]
    async with world.unit_of_work() as uow:
        await uow.attempts.add(records)
        await uow.commit()
    found = await world.alert_queries.last_told([pager, quiet, busy])
    assert found.keys() == {pager}
    assert found[pager] == LastTold(told.id, found[pager].at, 503, "status")
    assert abs(found[pager].at - world.clock.now()) < timedelta(minutes=1)


async def test_critical_alerts_are_told_while_an_enabled_webhook_gets_them(world: World) -> None:
    await world.add_webhook(event_types=("*", "order.*", "monitor.alert.resolved"))
    await world.add_webhook(event_types=("monitor.*",), enabled=False)
    await world.add_webhook(event_types=("monitor.alert.*",), labels={"severity": "warning"})
    assert not await world.alert_queries.critical_is_told()
    await world.add_webhook(event_types=("monitor.alert.raised",), labels={"severity": "critical", "team": "blue"})
    assert await world.alert_queries.critical_is_told()
