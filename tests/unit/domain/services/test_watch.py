"""The watch: what it finds, raises and resolves, and that it comes to rest at the same state however often it looks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Self
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from monitor.domain.alerts import Alert, AlertKind, AlertState, Entry
from monitor.domain.anomaly.tally import Tally
from monitor.domain.circuit import Breaker, BreakerState
from monitor.domain.errors import Raced, Unavailable
from monitor.domain.services.triage import Acknowledgement, Decision
from monitor.domain.services.watch import BATCH, ENABLED, GONE, NONE_SET_ASIDE, NOT_WATCHED, REPLACED, TRIES, Watcher
from monitor.domain.vocab import SYSTEM_ID, DeliveryState, Severity
from tests import samples
from tests.fakes.clock import START
from tests.fakes.postgres.alerts import FakeAlertRepository
from tests.fakes.postgres.database import FinishedDelivery
from tests.fakes.postgres.uow import FakeUnitOfWork
from tests.unit.domain.services.watch_house import CALM, MINUTE, OUTAGE, POLICY, House

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
    assert (house.alerts, house.heard(), house.facts()) == ([], [], [])
    assert house.database.tables.lanes[webhook_id].unseen == Tally()


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
    assert (house.heard(), house.facts()) == (["raised"], ["AlertRaised"])
    await house.look(after_s=15)
    assert house.alert(webhook_id) == alert
    house.works(webhook_id)
    await house.look(after_s=15)
    assert (house.alert(webhook_id).state, house.alert(webhook_id).resolved_by) == (RESOLVED, "system")
    assert house.alert(webhook_id).note == "Back to normal: All of the last 20 attempts succeeded."
    assert (house.heard(), house.facts()) == (["resolved"], ["AlertResolved"])
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
    assert house.database.tables.lanes[webhook_id].look_at is None
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
    assert house.database.tables.lanes[webhook_id].look_at is None


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
    assert house.facts() == ["AnomalyOpened", "AlertRaised"]
    assert house.alert(webhook_id).causes == ("failures",)
    for _ in range(60):
        house.makes(webhook_id, CALM)
        await house.look(after_s=MINUTE)
    [anomaly] = house.database.tables.anomalies.values()
    assert anomaly.closed_at is not None
    assert house.alert(webhook_id).state is RESOLVED
    assert house.facts() == ["AnomalyClosed", "AlertResolved"]
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
    del house.database.tables.looks[webhook_id]
    await house.look(after_s=MINUTE)
    assert [a.closed_at for a in house.database.tables.anomalies.values()] == [house.clock.now()]


async def test_one_webhook_that_cannot_be_judged_does_not_keep_the_others_from_it(
    house: House, webhook_id: UUID
) -> None:
    other = await house.add(name="Refunds")
    house.fails(webhook_id, other)
    house.made(webhook_id, Tally(attempts=1, failures=2))
    with pytest.raises(ExceptionGroup) as failed:
        await house.watcher.look()
    assert len(failed.value.exceptions) == 1
    assert {house.alert(id_).state for id_ in (webhook_id, other)} == {PENDING}
    await house.watcher.tick()
    assert house.database.tables.lanes[webhook_id].unseen == Tally()


# ---------------------------------------------------------------------------------------------------------- convergence

ACTS = ["fails", "works", "disable", "enable", "delete", "outage", "calm", "silence", "ack", "resolve"]

acts = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(
            ["fails", "works", "disable", "enable", "delete", "outage", "calm", "silence", "ack", "resolve"]
        ),
        st.sampled_from([1.0, 20.0, 70.0, 1000.0]),
    ),
    max_size=12,
)


async def happen(house: House, webhook_id: UUID, act: str) -> None:
    match act:
        case "fails":
            house.fails(webhook_id)
        case "works":
            house.works(webhook_id)
        case "disable" | "enable":
            reason = "The receiver answered 410 Gone." if act == "disable" else None
            house.configure(webhook_id, enabled=act == "enable", disabled_reason=reason)
        case "delete":
            row = house.database.tables.webhooks[webhook_id]
            house.database.tables.webhooks[webhook_id] = replace(row, deleted_at=house.clock.now())
        case "outage" | "calm":
            house.makes(webhook_id, OUTAGE if act == "outage" else CALM)
        case "silence":
            await house.silence(50.0, webhook_id=webhook_id)
        case _:
            for alert in house.alerts:
                if alert.webhook_id == webhook_id and alert.is_open:
                    if act == "ack":
                        await house.triage.acknowledge(alert.id, Acknowledgement(), samples.ACTOR)
                    else:
                        await house.triage.resolve(alert.id, Decision(), samples.ACTOR)


@given(acts)
async def test_a_repeated_look_changes_nothing(story: list[tuple[int, str, float]]) -> None:
    """Whatever happens, a second look at the same moment finds nothing to do, and every history replays."""
    house = House()
    ids = [await house.add(name=name) for name in ("a", "b", "c")]
    for which, act, after_s in story:
        await happen(house, ids[which], act)
        await house.look(after_s)
        await house.survey()
        seen = house.state()
        await house.look()
        await house.survey()
        assert house.state() == seen
        house.check_replay()
        open_ones = [(alert.webhook_id, alert.kind) for alert in house.alerts if alert.is_open]
        assert len(open_ones) == len(set(open_ones))


@given(acts.map(lambda story: [act for act in story if act[1] in {"fails", "works", "disable", "enable", "delete"}]))
async def test_lost_looks_come_to_rest_at_the_same_state(story: list[tuple[int, str, float]]) -> None:
    """Who looks after each change and who looks only after the last one find the same things open."""
    open_ones = []
    for always in (True, False):
        house = House()
        ids = [await house.add(name=name) for name in ("a", "b", "c")]
        for which, act, after_s in story:
            await happen(house, ids[which], act)
            house.clock.advance(after_s)
            if always:
                await house.look()
        await house.look(after_s=MINUTE)
        open_ones.append({(ids.index(a.webhook_id), a.kind) for a in house.alerts if a.is_open})
    assert open_ones[0] == open_ones[1]


async def test_64_looks_at_once_raise_one_alert(house: House, webhook_id: UUID) -> None:
    house.fails(webhook_id)
    watchers = [Watcher(house.unit_of_work, house.clock, POLICY) for _ in range(64)]
    await asyncio.gather(*(watcher.tick() for watcher in watchers))
    assert (len(house.alerts), house.alert(webhook_id).count, house.heard()) == (1, 1, ["raised"])


async def test_a_tick_looks_at_every_webhook_that_is_due(house: House) -> None:
    ids = [await house.add() for _ in range(2 * BATCH + 1)]
    await house.watcher.tick()
    assert set(house.database.tables.looks) == set(ids)
    assert await house.watcher.look() == 0


async def test_nothing_is_raised_that_was_not_committed(house: House, webhook_id: UUID) -> None:
    house.fails(webhook_id)
    house.database.commits_fail = True
    with pytest.raises(Unavailable):
        await house.look()
    assert (house.alerts, house.facts()) == ([], [])
    house.database.commits_fail = False
    await house.look()
    assert house.alert(webhook_id).count == 1


class RacingAlerts(FakeAlertRepository):
    """Loses the first *losses* races of all."""

    losses = 0

    async def save(self, before: Alert | None, after: Alert, entries: Sequence[Entry]) -> bool:
        if RacingAlerts.losses > 0:
            RacingAlerts.losses -= 1
            return False
        return await super().save(before, after, entries)


class RacingUnitOfWork(FakeUnitOfWork):
    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.alerts = RacingAlerts(self._tables, self.now)
        return self


@pytest.mark.parametrize("job", ["look", "survey"])
async def test_a_lost_race_is_run_again(house: House, job: str) -> None:
    house.fails(*[await house.add() for _ in range(6)])
    watcher = Watcher(lambda: RacingUnitOfWork(house.database), house.clock, POLICY)
    RacingAlerts.losses = TRIES - 1
    await getattr(watcher, job)()
    assert {alert.count for alert in house.alerts} == {1}
    house.works(*house.database.tables.lanes)
    RacingAlerts.losses = TRIES
    with pytest.raises(Raced):
        await getattr(watcher, job)()
    assert {alert.state for alert in house.alerts} == {PENDING}


# ------------------------------------------------------------------------------------------------------------- together


async def many(house: House, count: int = 10) -> list[UUID]:
    ids = [await house.add(name=f"w{number}") for number in range(count)]
    house.works(*ids)
    return ids


async def test_webhooks_that_fail_together_are_one_alert_that_replaces_the_many(house: House) -> None:
    ids = await many(house)
    house.clock.advance(MINUTE)
    house.fails(*ids[:6])
    await house.look()
    assert len(house.alerts) == 6
    assert house.heard() == ["raised"] * 6
    await house.survey()
    widespread = house.alert(kind=AlertKind.WIDESPREAD)
    assert widespread.title == "6 of 10 webhooks began to fail together; look at what they share."
    assert house.heard() == ["raised"]
    await house.look(after_s=15)
    assert {(a.state, a.note) for a in house.alerts if a.kind is AlertKind.FAILING} == {(RESOLVED, REPLACED)}
    assert house.heard() == ["resolved"] * 6
    house.works(*ids)
    await house.survey(after_s=15)
    assert house.alert(kind=AlertKind.WIDESPREAD).state is RESOLVED
    await house.look(after_s=15)
    assert (len(house.alerts), house.heard()) == (7, ["resolved"])
    house.check_replay()


async def test_who_fails_on_after_the_others_is_told_of_by_itself(house: House) -> None:
    ids = await many(house)
    house.fails(*ids[:6])
    await house.survey()
    await house.look()
    assert [alert.kind for alert in house.alerts] == [AlertKind.WIDESPREAD]
    house.works(*ids[1:])
    await house.survey(after_s=15)
    await house.look()
    assert [(a.webhook_id, a.state) for a in house.alerts] == [(SYSTEM_ID, RESOLVED), (ids[0], PENDING)]


async def test_who_failed_long_before_the_others_keeps_its_own_alert(house: House) -> None:
    ids = await many(house)
    house.fails(ids[0])
    await house.look()
    house.clock.advance(POLICY.alert.widespread_s + 1)
    house.works(*ids[1:])
    house.fails(*ids[1:8])
    await house.survey()
    await house.look()
    assert {(a.webhook_id, a.state) for a in house.alerts} == {(SYSTEM_ID, PENDING), (ids[0], PENDING)}


@pytest.mark.parametrize(("count", "failing"), [(10, 5), (6, 3), (5, 4), (4, 4)])
async def test_few_or_half_are_not_widespread(house: House, count: int, failing: int) -> None:
    ids = await many(house, count)
    house.fails(*ids[:failing])
    await house.survey()
    assert bool(house.alerts) is (failing >= POLICY.alert.widespread_min and failing * 2 > count)


@pytest.mark.parametrize("changes", [{"enabled": False}, {"paused_at": START}, {"deleted": True}])
async def test_who_gets_nothing_does_not_count(house: House, changes: dict[str, Any]) -> None:
    ids = await many(house)
    house.fails(*ids[:6])
    for id_ in ids[:3]:
        if "deleted" in changes:
            await happen(house, id_, "delete")
        else:
            house.configure(id_, **changes)
    await house.survey()
    assert house.alerts == []


async def test_a_silence_of_the_kind_keeps_the_alert_about_all_quiet(house: House) -> None:
    ids = await many(house)
    await house.silence(MINUTE, kind=AlertKind.WIDESPREAD)
    house.fails(*ids)
    await house.survey()
    assert (house.alert(kind=AlertKind.WIDESPREAD).state, house.heard()) == (PENDING, [])
    await house.survey(after_s=MINUTE)
    assert house.heard() == ["raised"]


async def test_a_trouble_of_all_that_a_person_called_over_is_raised_when_it_comes_back(house: House) -> None:
    ids = await many(house)
    house.fails(*ids)
    await house.survey()
    first = house.alert(kind=AlertKind.WIDESPREAD)
    await house.triage.resolve(first.id, Decision("We know."), samples.ACTOR)
    await house.survey(after_s=MINUTE)
    assert house.alert(kind=AlertKind.WIDESPREAD).state is RESOLVED
    house.works(*ids)
    await house.survey(after_s=MINUTE)
    house.clock.advance(POLICY.alert.reopen_s)
    house.fails(*ids)
    await house.survey()
    assert [alert.state for alert in house.alerts] == [RESOLVED, PENDING]


async def test_flapping_of_all_steadies_by_itself(house: House) -> None:
    ids = await many(house)
    for _ in range(3):
        house.fails(*ids)
        await house.survey(after_s=MINUTE)
        house.works(*ids)
        await house.survey(after_s=MINUTE)
    assert house.alert(kind=AlertKind.WIDESPREAD).flapping
    assert house.heard().count("flapping") == 1
    await house.survey(after_s=POLICY.alert.flap_s)
    assert not house.alert(kind=AlertKind.WIDESPREAD).flapping
    assert house.heard() == ["resolved"]


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
