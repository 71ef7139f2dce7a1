"""When most webhooks fail together: one alert instead of many."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from monitor.domain.alerts import AlertKind, AlertState
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.services.alerts import AlertNote
from monitor.domain.services.detection import NOTE_MASS_FAILURE
from tests import samples
from tests.fakes.clock import START
from tests.unit.domain.services.detection_harness import MINUTE, POLICY, DetectionHarness

PENDING, ACKNOWLEDGED, RESOLVED = AlertState


@pytest.fixture
def harness() -> DetectionHarness:
    return DetectionHarness()


async def many(harness: DetectionHarness, count: int = 10) -> list[UUID]:
    ids = [await harness.add(name=f"w{number}") for number in range(count)]
    harness.make_healthy(*ids)
    return ids


async def test_webhooks_that_fail_together_get_one_alert_that_replaces_theirs(harness: DetectionHarness) -> None:
    ids = await many(harness)
    harness.clock.advance(MINUTE)
    harness.make_unavailable(*ids[:6])
    await harness.evaluate_all()
    assert len(harness.alerts) == 6
    assert harness.take_notifications() == ["raised"] * 6
    await harness.check_mass_failure()
    mass_failure = harness.alert(kind=AlertKind.MASS_FAILURE)
    assert mass_failure.title == "6 of 10 webhooks began to fail together; check what they have in common."
    assert harness.take_notifications() == ["raised"]
    await harness.evaluate_all(after_s=15)
    assert {(a.state, a.note) for a in harness.alerts if a.kind is AlertKind.FAILING} == {(RESOLVED, NOTE_MASS_FAILURE)}
    assert harness.take_notifications() == ["resolved"] * 6
    harness.make_healthy(*ids)
    await harness.check_mass_failure(after_s=15)
    assert harness.alert(kind=AlertKind.MASS_FAILURE).state is RESOLVED
    await harness.evaluate_all(after_s=15)
    assert (len(harness.alerts), harness.take_notifications()) == (7, ["resolved"])
    harness.check_replay()


async def test_a_webhook_that_still_fails_after_the_others_gets_its_own_alert(harness: DetectionHarness) -> None:
    ids = await many(harness)
    harness.make_unavailable(*ids[:6])
    await harness.check_mass_failure()
    await harness.evaluate_all()
    assert [alert.kind for alert in harness.alerts] == [AlertKind.MASS_FAILURE]
    harness.make_healthy(*ids[1:])
    await harness.check_mass_failure(after_s=15)
    await harness.evaluate_all()
    assert [(a.webhook_id, a.state) for a in harness.alerts] == [(SYSTEM_ID, RESOLVED), (ids[0], PENDING)]


async def test_a_webhook_that_failed_long_before_the_others_keeps_its_own_alert(harness: DetectionHarness) -> None:
    ids = await many(harness)
    harness.make_unavailable(ids[0])
    await harness.evaluate_all()
    harness.clock.advance(POLICY.alert.mass_failure_s + 1)
    harness.make_healthy(*ids[1:])
    harness.make_unavailable(*ids[1:8])
    await harness.check_mass_failure()
    await harness.evaluate_all()
    assert {(a.webhook_id, a.state) for a in harness.alerts} == {(SYSTEM_ID, PENDING), (ids[0], PENDING)}


@pytest.mark.parametrize(("count", "failing"), [(10, 5), (6, 3), (5, 4), (4, 4)])
async def test_few_or_half_are_no_mass_failure(harness: DetectionHarness, count: int, failing: int) -> None:
    ids = await many(harness, count)
    harness.make_unavailable(*ids[:failing])
    await harness.check_mass_failure()
    assert bool(harness.alerts) is (failing >= POLICY.alert.mass_failure_min and failing * 2 > count)


@pytest.mark.parametrize("changes", [{"enabled": False}, {"paused_at": START}, {"deleted": True}])
async def test_webhooks_without_deliveries_do_not_count(harness: DetectionHarness, changes: dict[str, Any]) -> None:
    ids = await many(harness)
    harness.make_unavailable(*ids[:6])
    for id_ in ids[:3]:
        if "deleted" in changes:
            harness.delete(id_)
        else:
            harness.configure(id_, **changes)
    await harness.check_mass_failure()
    assert harness.alerts == []


async def test_a_silence_of_the_kind_suppresses_its_notifications(harness: DetectionHarness) -> None:
    ids = await many(harness)
    await harness.silence(MINUTE, kind=AlertKind.MASS_FAILURE)
    harness.make_unavailable(*ids)
    await harness.check_mass_failure()
    assert (harness.alert(kind=AlertKind.MASS_FAILURE).state, harness.take_notifications()) == (PENDING, [])
    await harness.check_mass_failure(after_s=MINUTE)
    assert harness.take_notifications() == ["raised"]


async def test_a_mass_failure_resolved_by_a_user_is_raised_when_it_comes_back(harness: DetectionHarness) -> None:
    ids = await many(harness)
    harness.make_unavailable(*ids)
    await harness.check_mass_failure()
    first = harness.alert(kind=AlertKind.MASS_FAILURE)
    await harness.commands.resolve(first.id, AlertNote("We know."), samples.ACTOR)
    await harness.check_mass_failure(after_s=MINUTE)
    assert harness.alert(kind=AlertKind.MASS_FAILURE).state is RESOLVED
    harness.make_healthy(*ids)
    await harness.check_mass_failure(after_s=MINUTE)
    harness.clock.advance(POLICY.alert.reopen_s)
    harness.make_unavailable(*ids)
    await harness.check_mass_failure()
    assert [alert.state for alert in harness.alerts] == [RESOLVED, PENDING]


async def test_flapping_of_a_mass_failure_ends_by_itself(harness: DetectionHarness) -> None:
    ids = await many(harness)
    for _ in range(3):
        harness.make_unavailable(*ids)
        await harness.check_mass_failure(after_s=MINUTE)
        harness.make_healthy(*ids)
        await harness.check_mass_failure(after_s=MINUTE)
    assert harness.alert(kind=AlertKind.MASS_FAILURE).flapping
    assert harness.take_notifications().count("flapping") == 1
    await harness.check_mass_failure(after_s=POLICY.alert.flap_s)
    assert not harness.alert(kind=AlertKind.MASS_FAILURE).flapping
    assert harness.take_notifications() == ["resolved"]
