"""
Whatever a port raises, before or after its effect: an operation of a service ends with that error or as it should, its
rows are those from before or those of success, and a repeat leads to the latter.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.fakes.postgres.unit_of_work import FakeUnitOfWork
from tests.fakes.trouble import Trouble, When
from tests.unit.world.services_under_trouble import CASES, TROUBLED, ServiceWorld


async def world_for(name: str) -> ServiceWorld:
    world = ServiceWorld()
    await world.prepare()
    await CASES[name][0](world)
    return world


async def methods_called(name: str, world: ServiceWorld) -> list[tuple[type, str]]:
    """Run operation *name*, and return the methods of ports that it calls."""
    called: list[tuple[type, str]] = []

    def spy(fake: type, method: str) -> Callable[..., Awaitable[Any]]:
        real = getattr(fake, method)

        async def spied(*args: Any, **options: Any) -> Any:
            called.append((fake, method))
            return await real(*args, **options)

        return spied

    with pytest.MonkeyPatch.context() as patch:
        for fake, method in TROUBLED:
            patch.setattr(fake, method, spy(fake, method))
        await CASES[name][1](world)
    return list(dict.fromkeys(called))


@pytest.mark.parametrize("name", CASES)
async def test_an_operation_that_fails_leaves_nothing_half_done_and_can_be_repeated(name: str) -> None:
    sound = await world_for(name)
    before = sound.dump()
    called = await methods_called(name, sound)
    assert (FakeUnitOfWork, "commit") in called
    done, done_twice = sound.dump(), sound.dump(repeated=True)
    assert before != done
    whens: tuple[When, ...] = ("before", "after")
    # A transaction that began and whose block did not would keep the one lock of the fake.
    for fake, method, when in [(*call, when) for call in called for when in whens if (*call, when) != NEVER_LEFT]:
        world = await world_for(name)
        error = RuntimeError(f"{fake.__name__}.{method}, {when} its effect")
        with pytest.MonkeyPatch.context() as patch:
            trouble = Trouble(patch, fake, method, error, when, times=1)
            with pytest.raises(RuntimeError) as raised:
                await CASES[name][1](world)
        assert raised.value is error
        assert trouble.left == 0
        assert world.dump() in (before, done), error
        await CASES[name][1](world)
        assert world.dump(repeated=True) == done_twice, error


NEVER_LEFT = (FakeUnitOfWork, "__aenter__", "after")
