"""What destinations are told when a silence ends: whatever changed under it, whenever that was."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from monitor.domain.alerts import AlertKind
from monitor.domain.services import detection
from tests import samples
from tests.unit.domain.services.detection_harness import MINUTE, DetectionHarness

DAY = 86_400.0


@pytest.fixture
def harness() -> DetectionHarness:
    return DetectionHarness()


@pytest.fixture
async def webhook_id(harness: DetectionHarness) -> UUID:
    return await harness.add(name="Orders")


def stop_evaluations(harness: DetectionHarness, webhook_id: UUID) -> None:
    """As if the webhook was idle, or deleted."""
    harness.set_lane(webhook_id, evaluate_at=None)


async def raised_and_told(harness: DetectionHarness, webhook_id: UUID) -> None:
    harness.make_unavailable(webhook_id)
    await harness.evaluate_all()
    assert harness.take_notifications() == ["raised"]


@pytest.mark.parametrize("days", [0.1, 3, 300])
async def test_the_end_of_an_alert_under_a_silence_is_told_at_its_end(
    harness: DetectionHarness, webhook_id: UUID, days: float
) -> None:
    await raised_and_told(harness, webhook_id)
    await harness.silence(days * DAY, webhook_id=webhook_id)
    harness.make_healthy(webhook_id)
    await harness.evaluate_all(after_s=MINUTE)
    stop_evaluations(harness, webhook_id)
    harness.clock.advance(days * DAY - 2 * MINUTE)
    await harness.detector.tell()
    assert harness.take_notifications() == []
    harness.clock.advance(2 * MINUTE)
    await harness.detector.tell()
    assert harness.take_notifications() == ["resolved"]
    await harness.detector.tell()
    assert harness.take_notifications() == []
    harness.check_replay()


async def test_an_alert_that_was_raised_under_a_silence_and_holds_is_told_when_a_user_ends_it(
    harness: DetectionHarness, webhook_id: UUID
) -> None:
    await harness.silence(300 * DAY, kind=AlertKind.FAILING)
    harness.make_unavailable(webhook_id)
    await harness.evaluate_all()
    stop_evaluations(harness, webhook_id)
    harness.clock.advance(5 * DAY)
    [silence] = harness.database.tables.silences
    await harness.silencer.end(silence, samples.ACTOR)
    await harness.detector.tell()
    assert harness.take_notifications() == ["raised"]


async def test_what_began_and_ended_under_a_silence_is_not_told(harness: DetectionHarness, webhook_id: UUID) -> None:
    await harness.silence(5 * DAY, webhook_id=webhook_id)
    for _ in range(3):
        harness.make_unavailable(webhook_id)
        await harness.evaluate_all(after_s=DAY)
        harness.make_healthy(webhook_id)
        await harness.evaluate_all(after_s=MINUTE)
    stop_evaluations(harness, webhook_id)
    harness.clock.advance(3 * DAY)
    await harness.detector.tell()
    assert harness.take_notifications() == []


async def test_what_ended_and_failed_again_days_later_under_a_silence_is_one_alert(
    harness: DetectionHarness, webhook_id: UUID
) -> None:
    """Told apart, the end of the first one would be told while the second one is open."""
    await raised_and_told(harness, webhook_id)
    await harness.silence(9 * DAY, webhook_id=webhook_id)
    harness.make_healthy(webhook_id)
    await harness.evaluate_all(after_s=MINUTE)
    harness.clock.advance(4 * DAY)
    harness.make_unavailable(webhook_id)
    await harness.evaluate_all()
    harness.clock.advance(5 * DAY)
    await harness.detector.tell()
    assert (len(harness.alerts), harness.take_notifications()) == (1, ["raised"])


async def test_each_run_looks_at_a_bounded_number_and_the_next_one_at_the_others(
    harness: DetectionHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detection, "TELL_BATCH", 2)
    monkeypatch.setattr(detection, "TELL_PAGES", 2)
    ids = [await harness.add(name=f"w{n}") for n in range(7)]
    for id_ in ids:
        await harness.silence(DAY, webhook_id=id_)
    harness.make_unavailable(*ids)
    await harness.evaluate_all()
    last = ids[-1]
    [silence] = [s.id for s in harness.database.tables.silences.values() if s.webhook_id == last]
    await harness.silencer.end(silence, samples.ACTOR)
    await harness.detector.tell()
    assert harness.take_notifications() == []
    await harness.detector.tell()
    assert harness.take_notifications() == ["raised"]
    harness.clock.advance(timedelta(days=1).total_seconds())
    for _ in range(2):
        await harness.detector.tell()
    assert harness.take_notifications() == ["raised"] * 6
