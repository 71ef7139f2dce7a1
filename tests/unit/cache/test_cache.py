"""What callers see of the cache."""

from __future__ import annotations

import asyncio
import gzip

import pytest
from dogpile.cache.api import NO_VALUE
from sqlalchemy.util import greenlet_spawn

from monitor.cache import POLICIES, Cache, Entry, Key, Policy, View
from monitor.cache.load import Load
from monitor.domain.errors import Unavailable
from tests.unit.cache.world import ONE, TWO, VIEW, World, composer


def test_a_fresh_value_is_found_without_waiting(world: World) -> None:
    cache = world.cache()
    assert cache.peek(ONE.text) is None

    entry = world.ask(cache).result()

    assert cache.peek(ONE.text) is entry


def test_alone_a_process_needs_no_server(world: World) -> None:
    cache = world.cache(alone=True)

    assert world.read(cache) == b"1"
    assert world.write(cache).result() is True
    assert world.read(cache) == b"2"
    assert cache.stats().trusted


def test_a_caller_does_not_wait_until_other_processes_can_have_the_value_too(world: World) -> None:
    cache, other = world.cache(), world.cache()
    world.server(cache).before["store"] = stored = world.gate()

    assert world.read(cache) == b"1"
    asked = world.ask(other)
    assert not asked.done
    world.open(stored)

    assert asked.result().body == b"1"
    assert len(world.source.calls) == 1


def test_a_recomputation_begins_after_the_call(world: World) -> None:
    cache = world.cache()
    world.source.gate = gate = world.gate()
    before = world.ask(cache)
    world.source.change()
    recomputed = [world.start(cache.recompute(ONE, world.source.creator(ONE))) for _ in range(3)]
    world.open(gate)

    assert before.result().body == b"1"
    assert {job.result().body for job in recomputed} == {b"2"}
    assert len(world.source.calls) == 2


def test_a_thousand_callers_are_one_creation(world: World) -> None:
    cache = world.cache()
    world.source.gate = gate = world.gate()

    asked = [world.ask(cache) for _ in range(1000)]
    world.open(gate)

    assert {task.result().body for task in asked} == {b"1"}
    assert len(world.source.calls) == 1


def test_a_cancelled_caller_does_not_disturb_the_others(world: World) -> None:
    cache = world.cache()
    world.source.gate = gate = world.gate()

    first, second = world.ask(cache), world.ask(cache)
    first.cancel()
    world.open(gate)

    assert second.result().body == b"1"
    assert len(world.source.calls) == 1


def test_when_all_callers_are_cancelled_the_value_is_created_all_the_same(world: World) -> None:
    cache = world.cache()
    world.source.gate = gate = world.gate()

    world.ask(cache).cancel()
    world.open(gate)

    assert cache.peek(ONE.text) is not None


def test_a_failure_without_a_last_good_value_reaches_every_caller_and_is_not_cached(world: World) -> None:
    cache = world.cache()
    world.source.gate = gate = world.gate()
    world.source.error = Unavailable("the database is away")

    asked = [world.ask(cache) for _ in range(3)]
    world.open(gate)

    assert [type(task.error) for task in asked] == [Unavailable] * 3
    assert len(world.source.calls) == 1
    world.source.error = None
    assert world.read(cache) == b"1"


def test_a_cancelled_writer_has_invalidated_all_the_same(world: World) -> None:
    writer, reader = world.cache(), world.cache()
    world.read(reader)
    world.server(writer).before["invalidate"] = sent = world.gate()

    world.cancel(world.write(writer))
    world.open(sent)
    world.pass_time(0.6)

    assert world.read(reader) == b"2"


def test_other_tags_keep_their_values(world: World) -> None:
    cache = world.cache()
    world.read(cache, TWO)

    world.get(cache.invalidate(["thing:1"], acknowledged=True))
    assert cache.peek(TWO.text) is not None
    world.get(cache.invalidate(["all"], acknowledged=True))

    assert cache.peek(TWO.text) is None


def test_the_invalidation_of_nothing_is_acknowledged_at_once(world: World) -> None:
    assert world.get(world.cache().invalidate([], acknowledged=True)) is True


def test_equal_bodies_have_equal_tags_and_one_compressed_form(world: World) -> None:
    first, second = (world.ask(world.cache()).result() for _ in range(2))
    assert first.digest == second.digest
    assert gzip.decompress(first.gzipped()) == b"1"
    assert first.gzipped() is first.aged(3, stale=True).gzipped()


def test_a_refresh_computes_a_new_value_although_the_old_one_is_fresh(world: World) -> None:
    cache, other = world.cache(), world.cache()
    world.read(cache)
    world.source.change()
    world.clock.advance(0.1)

    assert world.get(cache.refresh(ONE, world.source.creator(ONE))).body == b"2"
    assert world.read(other) == b"2"


def test_a_refresh_joins_a_load_in_flight(world: World) -> None:
    cache = world.cache()
    world.source.gate = gate = world.gate()

    asked = world.ask(cache)
    refreshing = world.start(cache.refresh(ONE, world.source.creator(ONE)))
    world.open(gate)

    assert refreshing.result() is asked.result()
    assert len(world.source.calls) == 1


def test_a_dependency_is_within_its_fresh_time_although_callers_may_get_an_older_value(world: World) -> None:
    cache, other = world.cache(), world.cache()
    world.read(cache)
    world.source.change()
    assert world.compose(cache) == b"1,1"

    world.clock.advance(1.2 * ONE.view.policy.fresh_s)

    assert world.compose(cache) == b"2,1"
    assert world.compose(other) == b"2,1"
    assert world.source.calls == [ONE.text, TWO.text, ONE.text, TWO.text]


def test_a_view_without_a_stale_time_is_computed_anew_once_it_is_not_fresh(world: World) -> None:
    cache = world.cache()
    exact = View("exact", POLICIES["webhook"], VIEW.tags, VIEW.scope).key(id=1)
    world.source.versions[exact.text] = 1

    def read() -> Entry:
        return world.get(cache.get(exact, world.source.creator(exact)))

    assert read().body == b"1"
    world.source.change(exact)
    world.clock.advance(1.2 * exact.view.policy.fresh_s)
    assert read().body == b"2"
    world.source.error = Unavailable("away")
    world.clock.advance(1.2 * exact.view.policy.fresh_s)
    assert (read().body, read().stale) == (b"2", True)


def test_a_dependency_with_a_tag_that_its_parent_lacks_is_refused(world: World) -> None:
    cache, view = world.cache(), View("narrow", VIEW.policy, ("all", "thing:1"))

    with pytest.raises(ValueError, match=r"narrow\? must have all the tags of view\?id=2: all, thing:2"):
        world.get(cache.get(view.key(), composer(cache, world.source.creator)))


def test_the_counters_show_where_values_came_from(world: World) -> None:
    first, second = world.cache(), world.cache()

    world.read(first)
    world.read(first)
    world.read(second)
    world.write(first)

    (one,), (two,) = first.stats().views, second.stats().views
    assert (one.misses, one.l1_hits, one.creations, one.invalidations) == (1, 1, 1, 1)
    assert (two.l2_hits, two.creations, two.reads) == (1, 0, 1)
    assert (first.stats().hit_ratio, second.stats().hit_ratio) == (0.5, 1.0)


def test_the_hit_ratio_is_none_before_the_first_read(world: World) -> None:
    assert world.cache().stats().hit_ratio is None


def test_memory_stays_within_its_bytes_and_drops_the_tags_of_evicted_values(world: World) -> None:
    cache = world.cache(alone=True)
    view = View("many", Policy(5, 30, 600), ("many:{id}",), ("id",))

    async def create() -> bytes:
        return b"x" * 1_000_000

    for number in range(60):
        world.get(cache.get(view.key(id=number), create))

    stats = cache.stats()
    assert 0 < stats.entries < 30
    assert stats.bytes <= cache.config.l1_bytes
    assert len(cache._state.memory._by_tag) == stats.entries


def test_a_value_larger_than_memory_is_served_and_not_kept(world: World) -> None:
    cache = world.cache(alone=True)

    async def create() -> bytes:
        return b"x" * 30_000_000

    assert len(world.get(cache.get(ONE, create)).body) == 30_000_000
    assert cache.stats().entries == 0


def test_a_stopped_cache_leaves_no_task_and_no_caller_waiting(world: World) -> None:
    cache = world.cache()
    world.source.gate = world.gate()
    asked = world.ask(cache)

    world.start(cache.stop())

    assert asked.cancelled
    assert world.redis.names("l") == set()
    assert (cache._state.in_flight._all, cache._state.in_flight._by_key) == (set(), {})


def test_the_region_is_stock(world: World) -> None:
    cache, other = world.cache(), world.cache()

    def load(key: Key = ONE) -> Load:
        return Load(key, world.source.creator(key), expires_s=5)

    async def play() -> list[object]:
        seen: list[object] = []

        async def look(each: Cache) -> None:
            seen.append(await greenlet_spawn(each.region.get, load()) or None)

        async def set_both(each: Cache) -> None:
            loads = [load(ONE), load(TWO)]
            assert await greenlet_spawn(each.region.get_multi, loads) == [NO_VALUE, NO_VALUE]
            await greenlet_spawn(each.region.set_multi, dict(zip(loads, (b"again", b"two"), strict=True)))

        first = load()
        assert await greenlet_spawn(cache.region.get, first) is NO_VALUE
        await greenlet_spawn(cache.region.set, first, b"value")
        await look(cache)
        await look(other)
        await greenlet_spawn(other.region.delete, load())
        await asyncio.sleep(0.05)
        await look(cache)
        await set_both(cache)
        seen.append(await greenlet_spawn(other.region.get_multi, [load(ONE), load(TWO)]))
        await greenlet_spawn(cache.region.delete_multi, [load(TWO)])
        await greenlet_spawn(cache.region.invalidate)
        await look(cache)
        await look(other)
        return seen

    playing = world.start(play())
    world.pass_time(1)

    assert playing.result() == [b"value", b"value", None, [b"again", b"two"], None, None]
    assert type(cache.region).__module__ == "dogpile.cache.region"


def test_the_region_refuses_a_plain_string_as_a_key(world: World) -> None:
    cache = world.cache()

    with pytest.raises(TypeError, match="the keys of this region are loads, not str"):
        world.get(greenlet_spawn(cache.region.get, "plain"))
