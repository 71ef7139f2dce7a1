"""The watch: what it finds, raises and resolves, and that it comes to rest at the same state however often it looks."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from monitor.domain.alerts import AlertKind, AlertState
from monitor.domain.anomaly.tally import Tally
from monitor.domain.delivery.circuit_breaker import Breaker, BreakerState
from monitor.domain.services.detection import ENABLED, GONE, NONE_SET_ASIDE, NOT_WATCHED
from monitor.domain.vocab import DeliveryState, Severity
from tests.fakes.postgres.database import FinishedDelivery
from tests.unit.domain.services.detection_fixture import CALM, MINUTE, OUTAGE, POLICY, House

PENDING, ACKNOWLEDGED, RESOLVED = AlertState


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
async def webhook_id(house: House) -> UUID:
    return await house.add()


# ---------------------------------------------------------------------------------------------------------- one webhook


async def test_a_webhook_that_does_well_gives_no_trouble(house: House, webhook_id: UUID) -> None:
    house.works(webhook_id)
    house.makes(webhook_id, CALM)
    await house.look()
    assert (house.alerts, house.heard(), house.domain_events()) == ([], [], [])
    assert house.database.tables.lanes[webhook_id].unevaluated == Tally()


async def test_a_webhook_unavailable_for_a_minute_raises_one_critical_alert_and_resolves_by_itself(
    house: House, webhook_id: UUID
) -> None:
    house.fails(webhook_id, for_s=59)
    await house.look()
    assert house.alerts == []
    await house.look(after_s=1)
    alert = house.alert(webhook_id)
    assert (alert.state, alert.severity, alert.count) == (PENDING, Severity.CRITICAL, 1)
    assert alert.title == "Orders is unavailable: all of the last 5 attempts failed: 503."
    assert (house.heard(), house.domain_events()) == (["raised"], ["AlertRaised"])
    await house.look(after_s=15)
    assert house.alert(webhook_id) == alert
    house.works(webhook_id)
    await house.look(after_s=15)
    assert (house.alert(webhook_id).state, house.alert(webhook_id).resolved_by) == (RESOLVED, "system")
    assert house.alert(webhook_id).note == "Back to normal: All of the last 20 attempts succeeded."
    assert (house.heard(), house.domain_events()) == (["resolved"], ["AlertResolved"])
    house.check_replay()


async def test_trouble_that_comes_back_within_15_minutes_reopens_the_alert_and_later_raises_another(
    house: House, webhook_id: UUID
) -> None:
    for pause_s, count in ((0, 1), (14 * MINUTE, 1), (15 * MINUTE, 2)):
        house.clock.advance(pause_s)
        house.fails(webhook_id)
        await house.look()
        house.works(webhook_id)
        await house.look()
        assert len(house.alerts) == count
    assert [alert.count for alert in house.alerts] == [2, 1]


async def test_a_webhook_gone_is_an_alert_until_it_is_enabled_again(house: House, webhook_id: UUID) -> None:
    house.fails(webhook_id)
    await house.look()
    async with house.unit_of_work() as uow:
        await uow.webhooks.disable([webhook_id], "The receiver answered 410 Gone.")
        await uow.commit()
    await house.watcher.tick()
    disabled = house.alert(webhook_id, AlertKind.DISABLED)
    assert (disabled.severity, disabled.title) == (
        Severity.CRITICAL,
        "Orders was disabled: the receiver answered 410 Gone.",
    )
    assert house.alert(webhook_id).note == "The receiver answered 410 Gone."
    house.configure(webhook_id, enabled=True, disabled_reason=None)
    await house.look(after_s=1)
    assert house.alert(webhook_id, AlertKind.DISABLED).note == ENABLED


async def test_a_webhook_disabled_by_a_person_is_no_trouble(house: House, webhook_id: UUID) -> None:
    house.fails(webhook_id)
    await house.look()
    house.configure(webhook_id, enabled=False)
    await house.look()
    assert [(alert.state, alert.note) for alert in house.alerts] == [(RESOLVED, NOT_WATCHED)]


async def test_failing_for_three_days_warns_before_it_disables(house: House, webhook_id: UUID) -> None:
    house.set(webhook_id, failing_since=house.clock.now() - timedelta(days=3))
    await house.look()
    alert = house.alert(webhook_id, AlertKind.DISABLING)
    assert alert.severity is Severity.CRITICAL
    assert "will be disabled on 07 January, 12:00 UTC" in alert.title
    house.set(webhook_id, failing_since=None)
    await house.look()
    assert house.alert(webhook_id, AlertKind.DISABLING).state is RESOLVED


async def test_a_delivery_that_was_set_aside_is_an_alert_for_a_day(house: House, webhook_id: UUID) -> None:
    id_ = house.clock.new_id()
    house.database.tables.finished[id_] = FinishedDelivery(
        id_, id_, webhook_id, DeliveryState.QUARANTINED, 0, 3, None, None, house.clock.now()
    )
    await house.look()
    assert house.alert(webhook_id, AlertKind.QUARANTINED).state is PENDING
    await house.look(after_s=24 * 60 * MINUTE)
    assert house.alert(webhook_id, AlertKind.QUARANTINED).note == NONE_SET_ASIDE


async def test_a_deleted_webhook_leaves_nothing_open_and_is_not_looked_at_again(house: House, webhook_id: UUID) -> None:
    house.knows(webhook_id)
    house.makes(webhook_id, OUTAGE)
    await house.look()
    assert {a.closed_at for a in house.database.tables.anomalies.values()} == {None}
    async with house.unit_of_work() as uow:
        await uow.webhooks.remove(webhook_id)
        await uow.commit()
    await house.watcher.tick()
    assert [(alert.state, alert.note) for alert in house.alerts] == [(RESOLVED, GONE)]
    assert None not in {a.closed_at for a in house.database.tables.anomalies.values()}
    assert house.database.tables.lanes[webhook_id].evaluate_at is None
    assert house.heard() == ["raised", "resolved"]


async def test_of_a_deleted_webhook_is_told_when_its_silence_ends(house: House, webhook_id: UUID) -> None:
    house.fails(webhook_id)
    await house.look()
    assert house.heard() == ["raised"]
    await house.silence(100, webhook_id=webhook_id)
    async with house.unit_of_work() as uow:
        await uow.webhooks.remove(webhook_id)
        await uow.commit()
    await house.watcher.tick()
    assert house.heard() == []
    for _ in range(3):
        house.clock.advance(POLICY.idle_s)
        await house.watcher.tick()
    assert house.heard() == ["resolved"]
    assert house.database.tables.lanes[webhook_id].evaluate_at is None


async def test_a_silenced_alert_is_raised_but_told_only_when_the_silence_ends(house: House, webhook_id: UUID) -> None:
    await house.silence(10 * MINUTE, kind=AlertKind.FAILING)
    house.fails(webhook_id)
    await house.look()
    assert (house.alert(webhook_id).state, house.heard()) == (PENDING, [])
    await house.look(after_s=10 * MINUTE)
    assert house.heard() == ["raised"]


async def test_what_began_and_ended_in_silence_is_never_told(house: House, webhook_id: UUID) -> None:
    await house.silence(10 * MINUTE, webhook_id=webhook_id)
    house.fails(webhook_id)
    await house.look()
    house.works(webhook_id)
    await house.look()
    await house.look(after_s=20 * MINUTE)
    assert (house.alert(webhook_id).state, house.heard()) == (RESOLVED, [])


# ------------------------------------------------------------------------------------------------------------ anomalies


async def test_a_departure_from_normal_opens_an_anomaly_and_an_alert_and_closes_both(
    house: House, webhook_id: UUID
) -> None:
    house.knows(webhook_id)
    house.makes(webhook_id, OUTAGE)
    await house.look()
    [anomaly] = house.database.tables.anomalies.values()
    assert (anomaly.signal, anomaly.closed_at, anomaly.evidence.n) == ("failures", None, 50)
    assert anomaly.opened_at == house.clock.now()
    assert house.domain_events() == ["AnomalyOpened", "AlertRaised"]
    assert house.alert(webhook_id).causes == ("failures",)
    for _ in range(60):
        house.makes(webhook_id, CALM)
        await house.look(after_s=MINUTE)
    [anomaly] = house.database.tables.anomalies.values()
    assert anomaly.closed_at is not None
    assert house.alert(webhook_id).state is RESOLVED
    assert house.domain_events() == ["AnomalyClosed", "AlertResolved"]
    house.check_replay()


async def test_an_anomaly_that_gets_worse_is_told_anew_and_stays_the_same_one(house: House, webhook_id: UUID) -> None:
    house.knows(webhook_id)
    house.makes(webhook_id, OUTAGE)
    await house.look()
    [opened] = house.database.tables.anomalies.values()
    # As if it had been milder when it was stored.
    house.database.tables.anomalies[opened.id] = replace(opened, severity=Severity.INFO, sentence="Milder.")
    house.makes(webhook_id, OUTAGE)
    await house.look(after_s=MINUTE)
    [worse] = house.database.tables.anomalies.values()
    assert (worse.id, worse.severity, worse.closed_at) == (opened.id, opened.severity, None)
    assert worse.sentence != "Milder."
    assert worse.opened_at == opened.opened_at


async def test_an_anomaly_that_no_baseline_knows_is_closed(house: House, webhook_id: UUID) -> None:
    house.knows(webhook_id)
    house.makes(webhook_id, OUTAGE)
    await house.look()
    del house.database.tables.evaluations[webhook_id]
    await house.look(after_s=MINUTE)
    assert [a.closed_at for a in house.database.tables.anomalies.values()] == [house.clock.now()]


async def test_one_webhook_that_cannot_be_judged_does_not_keep_the_others_from_it(
    house: House, webhook_id: UUID
) -> None:
    other = await house.add(name="Refunds")
    house.fails(webhook_id, other)
    house.made(webhook_id, Tally(attempts=1, failures=2))
    with pytest.raises(ExceptionGroup) as failed:
        await house.watcher.evaluate_due()
    assert len(failed.value.exceptions) == 1
    assert {house.alert(id_).state for id_ in (webhook_id, other)} == {PENDING}
    await house.watcher.tick()
    assert house.database.tables.lanes[webhook_id].unevaluated == Tally()


# ----------------------------------------------------------------------------------------------------------------- held


@pytest.mark.parametrize("held", ["paused", "open breaker"])
async def test_what_monitor_holds_back_is_no_silence(house: House, webhook_id: UUID, held: str) -> None:
    house.knows(webhook_id)
    if held == "paused":
        house.configure(webhook_id, paused_at=house.clock.now())
    else:
        house.set(webhook_id, breaker=Breaker(BreakerState.OPEN, house.clock.now(), 1))
    for _ in range(10):
        await house.look(after_s=MINUTE)
    assert house.alerts == []
