"""A job whose chunk always ends in an outage, beside others."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from monitor.domain.delivery.job import Chunk, JobState, ReplayParameters
from monitor.domain.errors import Unavailable
from monitor.domain.ports.unit_of_work import UnitOfWorkFactory
from monitor.domain.services.jobs import JobCommands
from monitor.domain.services.replays import ReplayCommands
from tests import samples
from tests.fakes.clock import FakeClock
from tests.fakes.postgres.queue import FakeDeliveryQueue
from tests.fakes.postgres.repositories.jobs import FakeJobRepository
from tests.fakes.trouble import Trouble
from tests.unit.domain.services.test_replays import failed, started


async def test_a_job_whose_chunk_always_ends_in_an_outage_lets_the_others_go_on(
    unit_of_work: UnitOfWorkFactory, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs, replays = JobCommands(unit_of_work), ReplayCommands(unit_of_work, clock)
    poison, good = [await started(replays, (await failed(unit_of_work, clock, 9))[0]) for _ in range(2)]
    real = FakeDeliveryQueue.requeue_finished
    poisoned = (await jobs.show(poison)).parameters["webhook_id"]

    async def requeue(queue: FakeDeliveryQueue, chosen: ReplayParameters, **options: Any) -> Chunk:
        if str(chosen.webhook_id) == poisoned:
            raise Unavailable("The transaction met another one.")
        return await real(queue, chosen, **options)

    monkeypatch.setattr(FakeDeliveryQueue, "requeue_finished", requeue)
    for _ in range(3):
        clock.advance(1)
        with suppress(Unavailable):
            await jobs.run()
    assert (await jobs.show(good)).state is JobState.DONE
    view = await jobs.show(poison)
    assert (view.state, view.done, view.error) == (JobState.RUNNING, 0, "The transaction met another one.")
    assert (await jobs.cancel(poison, samples.ACTOR)).state is JobState.CANCELLED


async def test_an_outage_before_a_job_is_taken_postpones_none(
    unit_of_work: UnitOfWorkFactory, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs, replays = JobCommands(unit_of_work), ReplayCommands(unit_of_work, clock)
    id_ = await started(replays, (await failed(unit_of_work, clock, 1))[0])
    Trouble(monkeypatch, FakeJobRepository, "take", Unavailable("It is away."), "before", times=3)
    for _ in range(3):
        with pytest.raises(Unavailable):
            await jobs.run()
    await jobs.run()
    assert (await jobs.show(id_)).state is JobState.DONE
