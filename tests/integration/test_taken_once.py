"""Jobs and fan-outs are taken by one worker each, and no worker waits for another."""

from __future__ import annotations

import asyncio
from uuid import UUID

from monitor.bootstrap.container import Container
from monitor.domain.delivery.job import CancellationParameters, new_job
from tests import samples

PATIENCE_S = 20.0
"""What waits for another transaction waits for ever."""


async def test_what_another_worker_has_is_skipped(parts: Container) -> None:
    jobs, fan_outs = set(), set()
    async with parts.unit_of_work() as uow:
        for _ in range(2):
            parameters = CancellationParameters(webhook_id=parts.clock.new_id())
            job = new_job(parts.clock.new_id(), parameters, created_by="ada", now=uow.now)
            await uow.jobs.add(job)
            event = samples.event(parts.clock)
            await uow.events.add([event], [])
            await uow.fan_outs.add([event])
            jobs.add(job.id)
            fan_outs.add(event.id)
        await uow.commit()
    taken: list[tuple[UUID | None, UUID | None]] = []
    async with (
        asyncio.timeout(PATIENCE_S),
        parts.unit_of_work() as first,
        parts.unit_of_work() as second,
        parts.unit_of_work() as third,
    ):
        for uow in (first, second, third):
            one, other = await uow.jobs.take(), await uow.fan_outs.take()
            taken.append((one.id if one else None, other))
    assert {job for job, _ in taken[:2]} == jobs
    assert {fan_out for _, fan_out in taken[:2]} == fan_outs
    assert taken[2] == (None, None)
