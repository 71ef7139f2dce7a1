"""Evaluations that are repeated, lost, concurrent or raced end in the same state."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Self
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.alerts import Alert, AlertState, HistoryEntry
from monitor.domain.errors import Raced, Unavailable
from monitor.domain.services.alerts import Acknowledgement, AlertNote
from monitor.domain.services.detection import BATCH, MAX_TRIES, Detector
from tests import samples
from tests.fakes.postgres.repositories.alerts import FakeAlertRepository
from tests.fakes.postgres.unit_of_work import FakeUnitOfWork
from tests.unit.domain.services.detection_harness import CALM, MINUTE, OUTAGE, POLICY, DetectionHarness

PENDING, ACKNOWLEDGED, RESOLVED = AlertState


@pytest.fixture
def harness() -> DetectionHarness:
    return DetectionHarness()


@pytest.fixture
async def webhook_id(harness: DetectionHarness) -> UUID:
    return await harness.add()


ACTS = ["fails", "works", "disable", "enable", "delete", "outage", "calm", "silence", "ack", "resolve"]

acts = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(ACTS),
        st.sampled_from([1.0, 20.0, 70.0, 1000.0]),
    ),
    max_size=12,
)


async def happen(harness: DetectionHarness, webhook_id: UUID, act: str) -> None:
    match act:
        case "fails":
            harness.make_unavailable(webhook_id)
        case "works":
            harness.make_healthy(webhook_id)
        case "disable" | "enable":
            reason = "The receiver answered 410 Gone." if act == "disable" else None
            harness.configure(webhook_id, enabled=act == "enable", disabled_reason=reason)
        case "delete":
            harness.delete(webhook_id)
        case "outage" | "calm":
            harness.add_attempts(webhook_id, OUTAGE if act == "outage" else CALM)
        case "silence":
            await harness.silence(50.0, webhook_id=webhook_id)
        case _:
            for alert in harness.alerts:
                if alert.webhook_id == webhook_id and alert.is_open:
                    if act == "ack":
                        await harness.commands.acknowledge(alert.id, Acknowledgement(), samples.ACTOR)
                    else:
                        await harness.commands.resolve(alert.id, AlertNote(), samples.ACTOR)


@given(acts)
async def test_a_repeated_evaluation_changes_nothing(story: list[tuple[int, str, float]]) -> None:
    """After any events a second evaluation at the same time changes nothing, and every history replays."""
    harness = DetectionHarness()
    ids = [await harness.add(name=name) for name in ("a", "b", "c")]
    for which, act, after_s in story:
        await happen(harness, ids[which], act)
        await harness.evaluate_all(after_s)
        await harness.check_mass_failure()
        seen = harness.stored_state()
        await harness.evaluate_all()
        await harness.check_mass_failure()
        assert harness.stored_state() == seen
        harness.check_replay()
        open_ones = [(alert.webhook_id, alert.kind) for alert in harness.alerts if alert.is_open]
        assert len(open_ones) == len(set(open_ones))


@given(acts.map(lambda story: [act for act in story if act[1] in {"fails", "works", "disable", "enable", "delete"}]))
async def test_lost_evaluations_end_in_the_same_state(story: list[tuple[int, str, float]]) -> None:
    """Evaluating after each change and only after the last one leaves the same alerts open."""
    open_ones = []
    for always in (True, False):
        harness = DetectionHarness()
        ids = [await harness.add(name=name) for name in ("a", "b", "c")]
        for which, act, after_s in story:
            await happen(harness, ids[which], act)
            harness.clock.advance(after_s)
            if always:
                await harness.evaluate_all()
        await harness.evaluate_all(after_s=MINUTE)
        open_ones.append({(ids.index(a.webhook_id), a.kind) for a in harness.alerts if a.is_open})
    assert open_ones[0] == open_ones[1]


async def test_64_concurrent_evaluations_raise_one_alert(harness: DetectionHarness, webhook_id: UUID) -> None:
    harness.make_unavailable(webhook_id)
    detectors = [Detector(harness.unit_of_work, harness.clock, POLICY) for _ in range(64)]
    await asyncio.gather(*(detector.tick() for detector in detectors))
    assert (len(harness.alerts), harness.alert(webhook_id).count, harness.take_notifications()) == (1, 1, ["raised"])


async def test_a_tick_evaluates_every_webhook_that_is_due(harness: DetectionHarness) -> None:
    ids = [await harness.add() for _ in range(2 * BATCH + 1)]
    await harness.detector.tick()
    assert set(harness.database.tables.evaluations) == set(ids)
    assert await harness.detector.evaluate_due() == 0


async def test_without_commit_nothing_is_raised(harness: DetectionHarness, webhook_id: UUID) -> None:
    harness.make_unavailable(webhook_id)
    harness.database.commits_fail = True
    with pytest.raises(Unavailable):
        await harness.evaluate_all()
    assert (harness.alerts, harness.take_domain_events()) == ([], [])
    harness.database.commits_fail = False
    await harness.evaluate_all()
    assert harness.alert(webhook_id).count == 1


class RacingAlerts(FakeAlertRepository):
    """Loses the first *losses* races of all."""

    losses = 0

    async def save(self, before: Alert | None, after: Alert, entries: Sequence[HistoryEntry]) -> bool:
        if RacingAlerts.losses > 0:
            RacingAlerts.losses -= 1
            return False
        return await super().save(before, after, entries)


class RacingUnitOfWork(FakeUnitOfWork):
    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.alerts = RacingAlerts(self._tables, self.now)
        return self


@pytest.mark.parametrize("job", ["evaluate_due", "check_mass_failure"])
async def test_a_lost_race_is_repeated(harness: DetectionHarness, job: str) -> None:
    harness.make_unavailable(*[await harness.add() for _ in range(6)])
    detector = Detector(lambda: RacingUnitOfWork(harness.database), harness.clock, POLICY)
    RacingAlerts.losses = MAX_TRIES - 1
    await getattr(detector, job)()
    assert {alert.count for alert in harness.alerts} == {1}
    harness.make_healthy(*harness.database.tables.lanes)
    RacingAlerts.losses = MAX_TRIES
    with pytest.raises(Raced):
        await getattr(detector, job)()
    assert {alert.state for alert in harness.alerts} == {PENDING}
