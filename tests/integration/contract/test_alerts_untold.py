"""What every ``AlertRepository`` keeps of what destinations know, and of what holds now."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from msgspec.structs import replace

from monitor.domain.alerts.alert import Action, AlertKind, AlertState
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.vocab import Severity
from tests.integration.contract.alerts_made import latest, make, save, then
from tests.integration.contract.world import World

DAY = timedelta(days=1)
_, WARNING, CRITICAL = Severity


Untold = tuple[UUID, str | None, dict[str, str]]


async def untold(world: World, after: UUID = SYSTEM_ID, limit: int = 10) -> list[Untold]:
    async with world.unit_of_work() as uow:
        page = await uow.alerts.untold(after, limit)
    assert [one.alert.id for one in page.alerts] == page.ids
    return [(one.alert.id, one.webhook_name, dict(one.labels)) for one in page.alerts]


async def test_alerts_with_something_to_tell_come_page_by_page_whenever_they_were_resolved(world: World) -> None:
    webhook = await world.add_webhook(name="Orders", labels={"team": "payments"})
    long_ago = world.clock.now() - 300 * DAY
    raised = await make(world, webhook_id=webhook.id, at=long_ago)
    told, entry = then(raised, Action.NOTIFIED, long_ago)
    assert await save(world, raised, told, entry)
    assert await untold(world) == []
    over, entry = then(told, Action.RESOLVED, long_ago)
    assert await save(world, told, over, entry)
    about_all = await make(world, webhook_id=SYSTEM_ID, kind=AlertKind.MASS_FAILURE, at=long_ago)
    of_orders: Untold = (over.id, "Orders", {"team": "payments"})
    of_all: Untold = (about_all.id, None, {})
    assert await untold(world) == [of_orders, of_all]
    assert await untold(world, limit=1) == [of_orders]
    assert await untold(world, after=over.id) == [of_all]
    # Destinations know it as open, so it is still the latest.
    assert await latest(world, webhook.id) == {(webhook.id, AlertKind.FAILING): over}
    ended, entry = then(over, Action.NOTIFIED, world.clock.now())
    assert await save(world, over, ended, entry)
    assert await untold(world) == [of_all]
    assert await latest(world, webhook.id) == {}


async def test_a_lower_severity_is_noted_without_an_entry(world: World) -> None:
    webhook_id, at = (await world.add_webhook()).id, world.clock.now()
    alert = await make(world, webhook_id=webhook_id, at=at, severity=CRITICAL)
    lower = replace(alert, lower_since=at)
    assert await save(world, alert, lower)
    assert await latest(world, webhook_id) == {(webhook_id, AlertKind.FAILING): lower}
    eased, entry = then(lower, Action.EASED, at, severity=WARNING)
    assert await save(world, lower, eased, entry)
    view = await world.alert_queries.alert(alert.id)
    assert (view.severity, view.worst_severity, view.superseded) == (WARNING, CRITICAL, False)


async def test_what_another_alert_replaced_counts_in_no_statistics(world: World) -> None:
    webhook_id, at = (await world.add_webhook()).id, world.clock.now()
    alert = await make(world, webhook_id=webhook_id, at=at)
    replaced, entry = then(alert, Action.SUPERSEDED, at, causes=alert.causes)
    assert await save(world, alert, replaced, entry)
    stats = await world.alert_queries.stats(2)
    assert (stats.counts, stats.time_to_resolve.n, [day.resolved for day in stats.series]) == ([], 0, [0, 0])
    view = await world.alert_queries.alert(alert.id)
    assert (view.state, view.superseded) == (AlertState.RESOLVED, True)
