"""Marks that an older version left behind."""

from __future__ import annotations

from monitor.bootstrap.container import Container
from monitor.bootstrap.worker import build_scheduler
from tests import samples
from tests.integration.support import execute


async def test_a_head_that_an_older_worker_left_marked_goes_on(parts: Container) -> None:
    made = await samples.add_webhook(parts.unit_of_work, parts.clock, ordered="key")
    ids = [
        id_ for _ in range(3) for id_ in await samples.add_deliveries(parts.unit_of_work, parts.clock, made.id, key="a")
    ]
    [head] = await samples.take(parts.unit_of_work, made.id, ordered="key")
    await execute(parts, "DELETE FROM deliveries WHERE id = $1", head.id)
    assert await samples.take(parts.unit_of_work, made.id, ordered="key") == []
    _, advance = build_scheduler(parts).jobs["advance_lines"]
    await advance()
    [second] = await samples.take(parts.unit_of_work, made.id, ordered="key")
    assert second.id == ids[1]
    await advance()
    assert await samples.take(parts.unit_of_work, made.id, ordered="key") == []
