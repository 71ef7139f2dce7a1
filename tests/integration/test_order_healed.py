"""Marks that an older version left behind."""

from __future__ import annotations

from monitor.adapters.postgres.claims import advance_all_lines
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


async def test_marks_of_any_number_of_lines_are_removed_some_at_a_time(parts: Container) -> None:
    keys = "abcde"
    made = await samples.add_webhook(parts.unit_of_work, parts.clock, ordered="key")
    for key in keys * 2:
        await samples.add_deliveries(parts.unit_of_work, parts.clock, made.id, key=key)
    heads = await samples.take(parts.unit_of_work, made.id, len(keys), ordered="key")
    await execute(parts, "DELETE FROM deliveries WHERE id = ANY($1)", [head.id for head in heads])
    assert await samples.take(parts.unit_of_work, made.id, ordered="key") == []
    await advance_all_lines(parts.database, 2)
    assert len(await samples.take(parts.unit_of_work, made.id, len(keys), ordered="key")) == len(keys)
