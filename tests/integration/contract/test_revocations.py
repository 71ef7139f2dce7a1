"""What every ``RevocationStore`` must do, and the list of revocations."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from monitor.domain.views.tokens import Revocation
from tests.integration.contract.world import World

HOUR = timedelta(hours=1)


async def revoke(world: World, jti: str, *, commit: bool = True) -> tuple[Revocation, bool]:
    """Return what is stored then, and whether this call stored it."""
    async with world.unit_of_work() as uow:
        wanted = Revocation(jti, uow.now, uow.now + HOUR)
        stored = await uow.revocations.add(wanted)
        if commit:
            await uow.commit()
    return stored, stored == wanted


async def listed(world: World) -> list[str]:
    return [one.jti for one in await world.queries.revocations(after=None, limit=10)]


async def test_a_revocation_is_stored_once(world: World) -> None:
    _, is_new = await revoke(world, "a")
    await world.pass_time(1.0)
    first, is_new_again = await revoke(world, "a")
    assert (is_new, is_new_again) == (True, False)
    assert await world.queries.revocations(after=None, limit=10) == [first]


async def test_one_that_was_rolled_back_is_none(world: World) -> None:
    await revoke(world, "a", commit=False)
    assert await listed(world) == []
    assert (await revoke(world, "a"))[1]


async def test_one_that_ran_out_is_not_listed_and_can_be_made_again(world: World) -> None:
    await revoke(world, "a")
    await world.pass_time(3_601.0)
    assert await listed(world) == []
    assert (await revoke(world, "a"))[1]
    assert await listed(world) == ["a"]


async def test_of_two_at_once_one_is_stored(world: World) -> None:
    (one, by_one), (other, by_other) = await asyncio.gather(revoke(world, "a"), revoke(world, "a"))
    assert one == other
    # In a world whose clock stands still both revocations are the same.
    assert by_one or by_other


async def test_pages_are_newest_first_and_also_divide_those_of_one_moment(world: World) -> None:
    async with world.unit_of_work() as uow:
        for jti in ("é", "x" * 255, "b"):
            await uow.revocations.add(Revocation(jti, uow.now, uow.now + HOUR))
        await uow.commit()
    await world.pass_time(1.0)
    await revoke(world, "newest")
    found: list[Revocation] = []
    while page := await world.queries.revocations(after=found[-1].position if found else None, limit=1):
        found += page
    assert [one.jti for one in found[:1]] == ["newest"]
    assert sorted(one.jti for one in found[1:]) == sorted(["é", "x" * 255, "b"])
