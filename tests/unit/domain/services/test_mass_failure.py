"""When most webhooks fail together: one alert instead of many."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from monitor.domain.alerts import AlertKind, AlertState
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.services.alerts import Decision
from monitor.domain.services.detection import REPLACED
from tests import samples
from tests.fakes.clock import START
from tests.unit.domain.services.detection_fixture import MINUTE, POLICY, House

PENDING, ACKNOWLEDGED, RESOLVED = AlertState


@pytest.fixture
def house() -> House:
    return House()


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
    mass_failure = house.alert(kind=AlertKind.MASS_FAILURE)
    assert mass_failure.title == "6 of 10 webhooks began to fail together; look at what they share."
    assert house.heard() == ["raised"]
    await house.look(after_s=15)
    assert {(a.state, a.note) for a in house.alerts if a.kind is AlertKind.FAILING} == {(RESOLVED, REPLACED)}
    assert house.heard() == ["resolved"] * 6
    house.works(*ids)
    await house.survey(after_s=15)
    assert house.alert(kind=AlertKind.MASS_FAILURE).state is RESOLVED
    await house.look(after_s=15)
    assert (len(house.alerts), house.heard()) == (7, ["resolved"])
    house.check_replay()


async def test_who_fails_on_after_the_others_is_told_of_by_itself(house: House) -> None:
    ids = await many(house)
    house.fails(*ids[:6])
    await house.survey()
    await house.look()
    assert [alert.kind for alert in house.alerts] == [AlertKind.MASS_FAILURE]
    house.works(*ids[1:])
    await house.survey(after_s=15)
    await house.look()
    assert [(a.webhook_id, a.state) for a in house.alerts] == [(SYSTEM_ID, RESOLVED), (ids[0], PENDING)]


async def test_who_failed_long_before_the_others_keeps_its_own_alert(house: House) -> None:
    ids = await many(house)
    house.fails(ids[0])
    await house.look()
    house.clock.advance(POLICY.alert.mass_failure_s + 1)
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
    assert bool(house.alerts) is (failing >= POLICY.alert.mass_failure_min and failing * 2 > count)


@pytest.mark.parametrize("changes", [{"enabled": False}, {"paused_at": START}, {"deleted": True}])
async def test_who_gets_nothing_does_not_count(house: House, changes: dict[str, Any]) -> None:
    ids = await many(house)
    house.fails(*ids[:6])
    for id_ in ids[:3]:
        if "deleted" in changes:
            house.delete(id_)
        else:
            house.configure(id_, **changes)
    await house.survey()
    assert house.alerts == []


async def test_a_silence_of_the_kind_keeps_the_alert_about_all_quiet(house: House) -> None:
    ids = await many(house)
    await house.silence(MINUTE, kind=AlertKind.MASS_FAILURE)
    house.fails(*ids)
    await house.survey()
    assert (house.alert(kind=AlertKind.MASS_FAILURE).state, house.heard()) == (PENDING, [])
    await house.survey(after_s=MINUTE)
    assert house.heard() == ["raised"]


async def test_a_trouble_of_all_that_a_person_called_over_is_raised_when_it_comes_back(house: House) -> None:
    ids = await many(house)
    house.fails(*ids)
    await house.survey()
    first = house.alert(kind=AlertKind.MASS_FAILURE)
    await house.triage.resolve(first.id, Decision("We know."), samples.ACTOR)
    await house.survey(after_s=MINUTE)
    assert house.alert(kind=AlertKind.MASS_FAILURE).state is RESOLVED
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
    assert house.alert(kind=AlertKind.MASS_FAILURE).flapping
    assert house.heard().count("flapping") == 1
    await house.survey(after_s=POLICY.alert.flap_s)
    assert not house.alert(kind=AlertKind.MASS_FAILURE).flapping
    assert house.heard() == ["resolved"]
