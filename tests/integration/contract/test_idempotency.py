"""What every ``IdempotencyStore`` and ``AuditLog`` must do."""

from __future__ import annotations

import asyncio

import pytest

from monitor.domain.errors import IdempotencyMismatch
from monitor.domain.ports.queries.resources import AuditFilter
from monitor.domain.vocab import Actor
from tests import samples
from tests.integration.contract.world import World


async def begin(world: World, key: str, body: bytes, *, scope: str = "ada events", commit: bool = True) -> bytes | None:
    async with world.unit_of_work() as uow:
        found = await uow.idempotency.begin(scope, key, body)
        if found is None:
            await uow.idempotency.finish(scope, key, b"answer to " + body)
        if commit:
            await uow.commit()
    return found


async def test_a_repeated_call_gets_the_first_answer(world: World) -> None:
    assert await begin(world, "k1", b"one") is None
    assert await begin(world, "k1", b"one") == b"answer to one"
    assert await begin(world, "k2", b"one") is None


async def test_a_key_used_with_another_body_is_refused(world: World) -> None:
    await begin(world, "k1", b"one")
    with pytest.raises(IdempotencyMismatch):
        await begin(world, "k1", b"two")


async def test_two_people_may_use_the_same_key(world: World) -> None:
    await begin(world, "k1", b"one")
    assert await begin(world, "k1", b"two", scope="bob events") is None


async def test_a_call_that_failed_leaves_its_key_free(world: World) -> None:
    await begin(world, "k1", b"one", commit=False)
    assert await begin(world, "k1", b"two") is None


async def test_of_two_calls_at_once_with_the_same_key_one_does_the_work(world: World) -> None:
    found = await asyncio.gather(begin(world, "k1", b"one"), begin(world, "k1", b"one"))
    assert set(found) == {None, b"answer to one"}


async def test_an_audit_row_tells_who_did_what(world: World) -> None:
    async with world.unit_of_work() as uow:
        await uow.audit.add(samples.ACTOR, "webhook.update", "webhook:1", before={"n": 1}, after={"n": [2, None]})
        await uow.audit.add(Actor("system"), "webhook.disable", "webhook:1", before=None, after=None)
        now = uow.now
        await uow.commit()
    newest, oldest = (await world.queries.audit_log(AuditFilter(), after=None, limit=10)).rows
    assert (oldest.subject, oldest.role, oldest.request_id, oldest.at) == ("ada", "admin", "request-1", now)
    assert (oldest.action, oldest.target) == ("webhook.update", "webhook:1")
    assert (oldest.before, oldest.after) == ({"n": 1}, {"n": [2, None]})
    assert (oldest.client, newest.client) == ("192.0.2.7", None)
    assert (newest.subject, newest.role, newest.before, newest.after) == ("system", None, None, None)
    assert (await world.queries.audit_log(AuditFilter(), after=newest.id, limit=10)).rows == [oldest]
