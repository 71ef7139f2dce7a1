"""
Rules 1 to 6: tokens, the order of an invalidation, its messages, and those that could not be sent. Each test plays the
situation that goes wrong without its rule; ``test_mutants`` proves that.
"""

from __future__ import annotations

from sqlalchemy.util import greenlet_spawn

from monitor.cache import Cache, CacheConfig, Entry
from monitor.cache.cache import unsupervised
from monitor.cache.load import Load
from monitor.cache.memory import Slot
from monitor.cache.proxy import MemoryTier
from monitor.cache.state import CacheState
from monitor.domain.errors import Unavailable
from tests.fakes.clock import FakeClock
from tests.unit.cache.world import BOTH, ONE, TWO, World

# 1 and 2: tokens --------------------------------------------------------------------------------------------------


def test_a_value_computed_before_an_invalidation_is_valid_nowhere_after_it(world: World) -> None:
    isolated, writer, reader = world.cache(), world.cache(), world.cache()
    world.source.gate = gate = world.gate()
    world.ask(isolated)
    world.server(isolated).hold_bus(held=True)

    world.write(writer, acknowledged=False)
    world.source.gate = None
    world.open(gate)

    assert world.redis.names("v") == {ONE.text}
    assert world.read(reader) == b"2"


def test_an_evicted_token_does_not_bring_an_old_value_back(world: World) -> None:
    writer, reader = world.cache(), world.cache()
    world.read(writer)

    world.write(writer)
    world.redis.remove(f"t:{ONE.tags[1]}")

    assert world.read(reader) == b"2"


def test_an_evicted_token_does_not_bring_a_flushed_value_back(world: World) -> None:
    first, second = world.cache(), world.cache()
    world.read(first)
    stored = world.redis.get(f"v:{ONE.text}")
    assert stored is not None

    world.redis.flush()
    world.redis.put(f"v:{ONE.text}", stored, 600)
    world.source.change()

    assert world.read(second) == b"2"


# 1 again: a value that is made of others ----------------------------------------------------------------------------


def test_a_dependency_in_memory_that_was_invalidated_elsewhere_is_not_used(world: World) -> None:
    isolated, writer, reader = world.cache(), world.cache(), world.cache()
    world.read(isolated)
    world.server(isolated).hold_bus(held=True)

    world.write(writer, acknowledged=False)
    world.read(isolated, BOTH)

    assert world.read(reader, BOTH) == b"2,1"


def test_a_dependency_whose_load_began_before_an_invalidation_is_not_used(world: World) -> None:
    isolated, writer, reader = world.cache(), world.cache(), world.cache()
    world.source.gate = gate = world.gate()
    world.ask(isolated)
    world.server(isolated).hold_bus(held=True)

    world.write(writer, acknowledged=False)
    world.source.gate = None
    composed = world.ask(isolated, BOTH)
    world.open(gate)

    assert composed.result().body == b"2,1"
    assert world.read(reader, BOTH) == b"2,1"


def test_a_value_served_from_memory_is_compared_by_its_own_tokens(world: World) -> None:
    """Its load may have read newer ones before it found the value that another load had just put there."""
    state = CacheState(FakeClock(), None, CacheConfig(), unsupervised)
    slot = Slot(ONE, Entry(b"1"), state.counters.of("view"), world.source.creator(ONE))
    slot.tokens = [b"old root", b"old all.", b"old one."]
    load, parent = (Load(key, world.source.creator(key), expires_s=5) for key in (ONE, BOTH))
    load.tokens = [b"old root", b"old all.", b"new one."]
    parent.tokens = [*load.tokens, b"old two."]

    MemoryTier(state)._serve(load, slot)

    assert not parent.accepts(load.tokens, ONE.tags)


def test_a_dependency_that_nothing_has_invalidated_is_used_from_memory(world: World) -> None:
    cache = world.cache()
    world.read(cache, ONE)

    world.read(cache, BOTH)

    assert world.source.calls == [ONE.text, TWO.text]


# 3: order ---------------------------------------------------------------------------------------------------------


def test_a_load_between_the_two_steps_of_an_invalidation_leaves_nothing_old_behind(world: World) -> None:
    cache, other = world.cache(), world.cache()
    world.read(other)

    world.server(cache).before["invalidate"] = sent = world.gate()
    invalidating = world.write(cache)
    world.read(cache)
    world.open(sent)

    assert invalidating.result() is True
    assert world.read(cache) == b"2"


# 4 and 5: messages ------------------------------------------------------------------------------------------------


def test_an_invalidated_value_is_still_the_last_good_one(world: World) -> None:
    reader, writer = world.cache(), world.cache()
    world.read(reader)
    world.write(writer)
    world.redis.flush()

    world.source.error = Unavailable("the database is away")
    entry = world.get(reader.get(ONE, world.source.creator(ONE)))

    assert (entry.body, entry.stale) == (b"1", True)


def test_an_answer_on_its_way_when_the_invalidation_arrives_is_not_stored(world: World) -> None:
    reader, writer = world.cache(), world.cache()
    world.read(writer)
    world.server(reader).after["fetch"] = answered = world.gate()
    early = world.ask(reader)

    world.write(writer)
    world.open(answered)

    assert early.result().body == b"1"
    assert world.read(reader) == b"2"


def test_a_caller_after_an_invalidation_does_not_join_a_load_from_before_it(world: World) -> None:
    reader, writer = world.cache(), world.cache()
    world.source.gate = gate = world.gate()
    early = world.ask(reader)

    world.write(writer)
    late = world.ask(reader)
    world.source.gate = None
    world.open(gate)

    assert (early.result().body, late.result().body) == (b"1", b"2")


def test_an_answer_on_its_way_when_its_key_is_deleted_elsewhere_is_not_stored(world: World) -> None:
    reader, other = world.cache(), world.cache()
    world.source.gate = gate = world.gate()
    early = world.ask(reader)

    delete_changed(world, other)
    world.source.gate = None
    world.open(gate)

    assert early.result().body == b"1"
    assert world.read(reader) == b"2"


def test_a_caller_after_a_deletion_does_not_join_a_load_from_before_it(world: World) -> None:
    reader, other = world.cache(), world.cache()
    world.source.gate = gate = world.gate()
    early = world.ask(reader)

    delete_changed(world, other)
    late = world.ask(reader)
    world.source.gate = None
    world.open(gate)

    assert (early.result().body, late.result().body) == (b"1", b"2")


def delete_changed(world: World, cache: Cache) -> None:
    """Change the thing behind ONE, and delete its key; its tags stay valid."""
    world.source.change()
    load = Load(ONE, world.source.creator(ONE), expires_s=5)
    world.start(greenlet_spawn(cache.region.delete, load))


def test_a_second_load_of_a_key_is_superseded_even_after_the_first_has_ended(world: World) -> None:
    reader, writer = world.cache(), world.cache()
    world.source.gate = first_gate = world.gate()
    world.ask(reader)
    world.write(writer)
    world.source.gate = second_gate = world.gate()
    second = world.ask(reader)
    world.open(first_gate)
    assert len(world.source.calls) == 2

    world.write(writer)
    world.source.gate = None
    world.open(second_gate)

    assert second.result().body == b"2"
    assert world.read(reader) == b"3"


# 6: what could not be sent ----------------------------------------------------------------------------------------


def test_an_invalidation_that_could_not_be_sent_goes_out_later(world: World) -> None:
    writer, reader = world.cache(), world.cache()
    world.read(reader)

    world.server(writer).before["invalidate"] = world.gate()
    invalidating = world.write(writer)
    world.pass_time(2.0)
    assert invalidating.result() is False
    del world.server(writer).before["invalidate"]
    world.pass_time(0.6)

    assert world.read(reader) == b"2"
    assert writer.stats().pending_invalidations == 0


def test_while_an_invalidation_is_pending_the_tokens_prove_nothing(world: World) -> None:
    writer, reader = world.cache(), world.cache()
    world.read(reader)

    world.server(writer).before["invalidate"] = world.gate()
    world.cancel(world.write(writer))

    assert world.read(writer) == b"2"


def test_there_is_no_trust_while_an_invalidation_is_pending(world: World) -> None:
    writer = world.cache()

    world.server(writer).before["invalidate"] = world.gate()
    world.cancel(world.write(writer))
    assert not writer.stats().trusted
    world.pass_time(3.0)
    assert not writer.stats().trusted
    del world.server(writer).before["invalidate"]
    world.pass_time(0.6)

    assert writer.stats().trusted


def test_an_invalidation_is_retried_at_once_when_a_connection_breaks(world: World) -> None:
    writer, reader = world.cache(), world.cache()
    world.read(reader)

    world.server(writer).cut = True
    invalidating = world.write(writer)
    world.server(writer).cut = False
    world.pass_time(0.1)

    assert invalidating.result() is True
