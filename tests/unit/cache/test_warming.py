"""One process refreshes for all, tick by tick."""

from __future__ import annotations

from monitor.cache import Cache, Warmer
from monitor.domain.errors import Unavailable
from tests.unit.cache.world import ONE, TWO, World

TICK_S = 10.0


def warmer(world: World, cache: Cache) -> Warmer:
    return Warmer(cache, [(ONE, world.source.creator(ONE))], tick_s=TICK_S)


def test_each_tick_belongs_to_one_process(world: World) -> None:
    warmers = [warmer(world, world.cache()) for _ in range(3)]

    for _ in range(3):
        assert sorted(world.get(each.tick()) or 0 for each in warmers) == [0, 0, 1]
        world.pass_time(TICK_S)

    assert len(world.source.calls) == 3


def test_a_pinned_key_is_never_missed_in_any_process(world: World) -> None:
    leader, other = world.cache(), world.cache()
    warming = warmer(world, leader)

    for _ in range(4):
        world.get(warming.tick())
        world.pass_time(TICK_S)
        for cache in (leader, other):
            assert world.read(cache) == b"1"

    assert other.stats().views[0].misses == leader.stats().views[0].misses == 0


def test_a_tick_that_died_with_its_process_is_the_only_one_missed(world: World) -> None:
    killed, other = world.cache(), world.cache()
    world.source.gate = world.gate()
    ticking = world.start(warmer(world, killed).tick())
    assert not ticking.done

    world.kill(killed)
    world.source.gate = None

    assert world.get(warmer(world, other).tick()) is None
    world.pass_time(TICK_S)
    assert world.get(warmer(world, other).tick()) == 1


def test_the_hottest_keys_are_warmed_too(world: World) -> None:
    cache = world.cache()
    world.read(cache, TWO)
    warming = warmer(world, cache)

    assert world.get(warming.tick()) == 1
    world.pass_time(TICK_S)
    world.read(cache, TWO)
    assert world.get(warming.tick()) == 2


def test_the_work_of_a_tick_is_spread(world: World) -> None:
    cache = world.cache()
    pinned = [(key, world.source.creator(key)) for key in (ONE, TWO)]

    ticking = world.start(Warmer(cache, pinned, tick_s=TICK_S, spread_s=4).tick())
    assert len(world.source.calls) == 1
    world.pass_time(2.1)
    assert len(world.source.calls) == 2
    assert not ticking.done
    world.pass_time(2.1)
    assert ticking.result() == 2


def test_a_process_is_warm_from_the_server_before_it_is_ready(world: World) -> None:
    first, second = world.cache(), world.cache()
    world.read(first)

    assert world.get(warmer(world, second).warm()) == 0
    assert second.peek(ONE.text) is not None
    assert len(world.source.calls) == 1


def test_a_key_that_cannot_be_warmed_is_counted_and_keeps_no_other_cold(world: World) -> None:
    cache = world.cache()
    world.source.error = Unavailable("the database is away")

    assert world.get(warmer(world, cache).warm()) == 1
    assert world.get(warmer(world, cache).tick()) == 0


def test_a_process_without_a_server_has_every_tick_and_one_cut_off_from_it_none(world: World) -> None:
    alone, cut = world.cache(alone=True), world.cache()
    world.server(cut).cut = True

    assert world.get(warmer(world, alone).tick()) == 1
    assert world.get(warmer(world, cut).tick()) is None
