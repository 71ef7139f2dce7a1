"""Looks that are repeated, lost, doubled or outrun come to rest at the same state."""

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
from monitor.domain.services.alerts import Acknowledgement, Decision
from monitor.domain.services.detection import BATCH, TRIES, Detector
from tests import samples
from tests.fakes.postgres.repositories.alerts import FakeAlertRepository
from tests.fakes.postgres.unit_of_work import FakeUnitOfWork
from tests.unit.domain.services.detection_fixture import CALM, MINUTE, OUTAGE, POLICY, House

PENDING, ACKNOWLEDGED, RESOLVED = AlertState


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
async def webhook_id(house: House) -> UUID:
    return await house.add()


ACTS = ["fails", "works", "disable", "enable", "delete", "outage", "calm", "silence", "ack", "resolve"]

acts = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(ACTS),
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
            house.delete(webhook_id)
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
    watchers = [Detector(house.unit_of_work, house.clock, POLICY) for _ in range(64)]
    await asyncio.gather(*(watcher.tick() for watcher in watchers))
    assert (len(house.alerts), house.alert(webhook_id).count, house.heard()) == (1, 1, ["raised"])


async def test_a_tick_looks_at_every_webhook_that_is_due(house: House) -> None:
    ids = [await house.add() for _ in range(2 * BATCH + 1)]
    await house.watcher.tick()
    assert set(house.database.tables.evaluations) == set(ids)
    assert await house.watcher.evaluate_due() == 0


async def test_nothing_is_raised_that_was_not_committed(house: House, webhook_id: UUID) -> None:
    house.fails(webhook_id)
    house.database.commits_fail = True
    with pytest.raises(Unavailable):
        await house.look()
    assert (house.alerts, house.domain_events()) == ([], [])
    house.database.commits_fail = False
    await house.look()
    assert house.alert(webhook_id).count == 1


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
async def test_a_lost_race_is_run_again(house: House, job: str) -> None:
    house.fails(*[await house.add() for _ in range(6)])
    watcher = Detector(lambda: RacingUnitOfWork(house.database), house.clock, POLICY)
    RacingAlerts.losses = TRIES - 1
    await getattr(watcher, job)()
    assert {alert.count for alert in house.alerts} == {1}
    house.works(*house.database.tables.lanes)
    RacingAlerts.losses = TRIES
    with pytest.raises(Raced):
        await getattr(watcher, job)()
    assert {alert.state for alert in house.alerts} == {PENDING}
