"""
The rules that keep the cache coherent, each in the situation that goes wrong without it. ``test_mutants`` proves that.
"""

from __future__ import annotations

import pytest

from monitor.cache import CacheConfig, Entry
from monitor.cache.load import Load
from monitor.cache.memory import Slot
from monitor.cache.proxy import MemoryTier
from monitor.cache.state import CacheState
from monitor.domain.errors import NotFound, Unavailable
from tests.fakes.clock import FakeClock
from tests.unit.cache.world import BOTH, ONE, TWO, VIEW, World

LEASE_S = CacheConfig().lease_s


# 1 and 2: tokens --------------------------------------------------------------------------------------------------


def test_a_value_computed_before_a_drop_is_valid_for_nobody_after_it(world: World) -> None:
    deaf, writer, reader = world.cache(), world.cache(), world.cache()
    world.source.gate = gate = world.gate()
    world.ask(deaf)
    world.server(deaf).hold_bus(held=True)
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


def test_a_part_in_memory_that_has_been_dropped_elsewhere_is_not_composed(world: World) -> None:
    deaf, writer, reader = world.cache(), world.cache(), world.cache()
    world.read(deaf)
    world.server(deaf).hold_bus(held=True)
    world.write(writer, acknowledged=False)
    world.read(deaf, BOTH)
    assert world.read(reader, BOTH) == b"2,1"


def test_a_part_whose_load_began_before_a_drop_is_not_composed(world: World) -> None:
    deaf, writer, reader = world.cache(), world.cache(), world.cache()
    world.source.gate = gate = world.gate()
    world.ask(deaf)
    world.server(deaf).hold_bus(held=True)
    world.write(writer, acknowledged=False)
    world.source.gate = None
    composed = world.ask(deaf, BOTH)
    world.open(gate)
    assert composed.result().body == b"2,1"
    assert world.read(reader, BOTH) == b"2,1"


def test_what_is_recalled_from_memory_is_held_against_its_own_tokens() -> None:
    """A look-up may have read newer ones before it found the value that another one had just put there."""
    process = CacheState(FakeClock(), None, CacheConfig())
    slot = Slot(ONE, Entry(b"1"), process.counters.of("view"))
    slot.tokens = [b"old root", b"old all.", b"old one."]
    load = Load(ONE, None, expires_s=5)
    load.tokens = [b"old root", b"old all.", b"new one."]
    whole = Load(BOTH, None, expires_s=5)
    whole.tokens = [*load.tokens, b"old two."]
    MemoryTier(process)._serve(load, slot)
    assert not whole.accepts(load.tokens, ONE.tags)


def test_a_part_that_nothing_has_dropped_is_taken_from_memory(world: World) -> None:
    cache = world.cache()
    world.read(cache, ONE)
    world.read(cache, BOTH)
    assert world.source.calls == [ONE.text, TWO.text]


# 3: order ---------------------------------------------------------------------------------------------------------


def test_a_load_between_the_two_steps_of_a_drop_leaves_nothing_old_behind(world: World) -> None:
    cache, other = world.cache(), world.cache()
    world.read(other)
    world.server(cache).before["invalidate"] = sent = world.gate()
    dropping = world.write(cache)
    world.read(cache)
    world.open(sent)
    assert dropping.result() is True
    assert world.read(cache) == b"2"


# 4 and 5: messages ------------------------------------------------------------------------------------------------


def test_a_dropped_value_is_still_the_last_good_one(world: World) -> None:
    reader, writer = world.cache(), world.cache()
    world.read(reader)
    world.write(writer)
    world.redis.flush()
    world.source.error = Unavailable("the database is away")
    entry = world.get(reader.get(ONE, world.source.creator(ONE)))
    assert (entry.body, entry.stale) == (b"1", True)


def test_an_answer_that_was_on_its_way_when_the_drop_came_is_not_kept(world: World) -> None:
    reader, writer = world.cache(), world.cache()
    world.read(writer)
    world.server(reader).after["fetch"] = answered = world.gate()
    early = world.ask(reader)
    world.write(writer)
    world.open(answered)
    assert early.result().body == b"1"
    assert world.read(reader) == b"2"


def test_who_asks_after_a_drop_does_not_join_a_load_from_before_it(world: World) -> None:
    reader, writer = world.cache(), world.cache()
    world.source.gate = gate = world.gate()
    early = world.ask(reader)
    world.write(writer)
    late = world.ask(reader)
    world.source.gate = None
    world.open(gate)
    assert (early.result().body, late.result().body) == (b"1", b"2")


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


def test_a_drop_that_could_not_be_sent_goes_out_later(world: World) -> None:
    writer, reader = world.cache(), world.cache()
    world.read(reader)
    world.server(writer).before["invalidate"] = world.gate()
    dropping = world.write(writer)
    world.pass_time(0.5)
    assert dropping.result() is False
    del world.server(writer).before["invalidate"]
    world.pass_time(0.6)
    assert world.read(reader) == b"2"
    assert writer.stats().pending_invalidations == 0


def test_while_a_drop_is_owed_the_tokens_prove_nothing(world: World) -> None:
    writer, reader = world.cache(), world.cache()
    world.read(reader)
    world.server(writer).before["invalidate"] = world.gate()
    world.cancel(world.write(writer))
    assert world.read(writer) == b"2"


def test_there_is_no_trust_while_a_drop_is_owed(world: World) -> None:
    writer = world.cache()
    world.server(writer).before["invalidate"] = world.gate()
    world.cancel(world.write(writer))
    assert not writer.stats().trusted
    world.pass_time(3.0)
    assert not writer.stats().trusted
    del world.server(writer).before["invalidate"]
    world.pass_time(0.6)
    assert writer.stats().trusted


def test_a_drop_is_tried_again_at_once_when_a_connection_breaks(world: World) -> None:
    writer, reader = world.cache(), world.cache()
    world.read(reader)
    world.server(writer).cut = True
    dropping = world.write(writer)
    world.server(writer).cut = False
    world.pass_time(0.1)
    assert dropping.result() is True


# 7, 8 and 9: trust ------------------------------------------------------------------------------------------------


def test_a_deaf_process_stops_serving_from_memory(world: World) -> None:
    deaf, writer = world.cache(), world.cache()
    world.read(deaf)
    world.server(deaf).hold_bus(held=True)
    dropping = world.write(writer)
    world.pass_time(LEASE_S + 0.05)
    assert dropping.result() is True
    assert deaf.peek(ONE.text) is None
    assert world.read(deaf) == b"2"


def test_a_late_answer_to_a_ping_proves_only_what_it_was_asked(world: World) -> None:
    slow = world.cache()
    world.read(slow)
    world.server(slow).hold_bus(held=True)
    world.pass_time(0.9 * LEASE_S)
    subscription = world.server(slow).subscription
    assert subscription is not None
    subscription.deliver()
    world.pass_time(0.2 * LEASE_S)
    assert slow.peek(ONE.text) is not None
    world.pass_time(0.2 * LEASE_S)
    assert slow.peek(ONE.text) is None


def test_an_acknowledged_drop_waits_until_every_live_process_has_acknowledged_it(world: World) -> None:
    slow, writer = world.cache(), world.cache()
    world.read(slow)
    world.server(slow).hold_bus(held=True)
    dropping = world.write(writer)
    assert not dropping.done
    assert slow.peek(ONE.text) is not None
    world.server(slow).hold_bus(held=False)
    world.pass_time(0.0)
    assert dropping.result() is True
    assert slow.peek(ONE.text) is None


def test_a_flushed_server_does_not_let_an_acknowledged_drop_return_early(world: World) -> None:
    slow, writer = world.cache(), world.cache()
    world.read(slow)
    world.server(slow).hold_bus(held=True)
    world.redis.flush()
    dropping = world.write(writer)
    assert not dropping.done
    world.pass_time(LEASE_S + 0.05)
    assert dropping.result() is True
    assert slow.peek(ONE.text) is None


def test_a_drop_that_need_not_settle_waits_for_nobody(world: World) -> None:
    slow, writer = world.cache(), world.cache()
    world.server(slow).hold_bus(held=True)
    assert world.write(writer, acknowledged=False).result() is True


def test_a_killed_process_delays_an_acknowledged_drop_by_its_lease_at_most(world: World) -> None:
    killed, writer = world.cache(), world.cache()
    world.server(killed).cut = True
    world.server(killed).hold_bus(held=True)
    dropping = world.write(writer)
    assert not dropping.done
    world.pass_time(LEASE_S)
    assert dropping.result() is True


def test_a_process_that_has_left_delays_nobody(world: World) -> None:
    leaving, writer = world.cache(), world.cache()
    world.get(leaving.stop())
    assert world.write(writer).result() is True


def test_without_trust_memory_is_not_asked(world: World) -> None:
    deaf, writer = world.cache(), world.cache()
    world.read(deaf)
    world.server(deaf).hold_bus(held=True)
    world.pass_time(LEASE_S + 0.3)
    world.write(writer)
    assert world.read(deaf) == b"2"


def test_without_trust_nobody_joins_a_load_that_may_have_read_already(world: World) -> None:
    deaf, writer = world.cache(), world.cache()
    world.server(deaf).before["subscribe"] = world.gate()
    world.server(deaf).cut_bus()
    world.pass_time(1.0)
    world.source.gate = gate = world.gate()
    early = world.ask(deaf)
    assert world.write(writer).result() is True
    late = world.ask(deaf)
    world.source.gate = None
    world.open(gate)
    assert (early.result().body, late.result().body) == (b"1", b"2")


def test_a_deaf_process_still_shares_by_the_tokens_and_delays_nobody(world: World) -> None:
    deaf, writer = world.cache(), world.cache()
    world.server(deaf).before["subscribe"] = world.gate()
    world.server(deaf).cut_bus()
    world.pass_time(1.0)
    world.read(writer)
    assert [world.read(deaf), world.read(deaf)] == [b"1", b"1"]
    assert len(world.source.calls) == 1
    assert world.write(writer).result() is True
    assert world.read(deaf) == b"2"


def test_alone_in_an_outage_memory_answers_with_what_was_true_a_moment_ago(world: World) -> None:
    cache = world.cache()
    world.read(cache)
    world.redis.stop()
    world.pass_time(LEASE_S / 2)
    world.read(cache)
    assert len(world.source.calls) == 1


def test_alone_in_an_outage_nothing_older_than_the_lease_is_answered(world: World) -> None:
    cache = world.cache()
    world.read(cache)
    world.redis.stop()
    world.source.change()
    world.pass_time(LEASE_S + 0.1)
    assert world.read(cache) == b"2"


def test_what_was_said_while_nobody_listened_is_made_up_for(world: World) -> None:
    cache, writer = world.cache(), world.cache()
    world.read(cache)
    world.server(cache).cut_bus()
    world.write(writer, acknowledged=False)
    world.pass_time(0.5)
    assert cache.stats().trusted
    assert world.read(cache) == b"2"


# 10: the lock -----------------------------------------------------------------------------------------------------


def test_who_has_waited_long_enough_for_another_creates_anyway(world: World) -> None:
    killed, waiting = world.cache(), world.cache()
    world.source.gate = world.gate()
    world.ask(killed)
    world.kill(killed)
    world.source.gate = None
    late = world.ask(waiting)
    world.pass_time(1.9)
    assert not late.done
    world.pass_time(0.3)
    assert late.result().body == b"1"


def test_a_lock_ends_with_the_longest_time_a_creator_may_take(world: World) -> None:
    killed = world.cache()
    world.source.gate = world.gate()
    world.ask(killed)
    assert world.redis.names("l") == {ONE.text}
    world.kill(killed)
    world.pass_time(CacheConfig().creator_timeout_s)
    assert world.redis.names("l") == set()


def test_a_creator_that_takes_too_long_is_stopped(world: World) -> None:
    cache = world.cache()
    world.source.gate = world.gate()
    asked = world.ask(cache)
    world.pass_time(CacheConfig().creator_timeout_s + 0.1)
    assert isinstance(asked.error, TimeoutError)
    assert world.redis.names("l") == set()


def test_a_lock_whose_server_is_gone_costs_a_query_and_no_error(world: World) -> None:
    cache = world.cache()
    world.source.gate = gate = world.gate()
    asked = world.ask(cache)
    world.redis.stop()
    world.source.gate = None
    world.open(gate)
    assert (asked.result().body, asked.result().stale) == (b"1", False)
    assert world.failures() == []


def test_two_processes_create_one_value_once(world: World) -> None:
    first, second = world.cache(), world.cache()
    world.source.gate = gate = world.gate()
    asked = [world.ask(first), world.ask(second), world.ask(second)]
    world.source.gate = None
    world.open(gate)
    assert [task.result().body for task in asked] == [b"1"] * 3
    assert len(world.source.calls) == 1


# 11: stale while revalidate, fail-safe ----------------------------------------------------------------------------


@pytest.mark.parametrize("alone", [True, False])
def test_an_expired_value_is_answered_at_once_while_a_new_one_is_made(world: World, *, alone: bool) -> None:
    cache = world.cache(alone=alone)
    world.read(cache)
    world.pass_time(6)
    world.source.change()
    world.source.gate = gate = world.gate()
    entry = world.ask(cache).result()
    assert (entry.body, entry.stale, round(entry.age_s)) == (b"1", False, 6)
    assert len(world.source.calls) == 2
    world.open(gate)
    assert world.read(cache) == b"2"


def test_an_expired_value_of_the_server_is_answered_at_once_too(world: World) -> None:
    first, second = world.cache(), world.cache()
    world.read(first)
    world.pass_time(6)
    world.source.gate = gate = world.gate()
    assert world.ask(second).result().body == b"1"
    assert world.ask(first).result().body == b"1"
    world.open(gate)
    assert len(world.source.calls) == 2


def test_a_dropped_value_is_never_answered_while_a_new_one_is_made(world: World) -> None:
    reader, writer = world.cache(), world.cache()
    world.read(reader)
    world.pass_time(6)
    world.source.gate = world.gate()
    world.write(writer)
    assert not world.ask(reader).done


def test_after_a_failure_the_last_good_value_says_so_and_the_creator_rests(world: World) -> None:
    cache = world.cache()
    world.read(cache)
    world.pass_time(100)
    world.source.error = Unavailable("the database is away")
    entries = [world.ask(cache).result() for _ in range(3)]
    assert [(entry.body, entry.stale, round(entry.age_s)) for entry in entries] == [(b"1", True, 100)] * 3
    assert len(world.source.calls) == 2
    world.pass_time(2.1)
    assert world.ask(cache).result().stale
    assert len(world.source.calls) == 3


def test_a_process_that_has_just_started_finds_the_last_good_value_at_the_server(world: World) -> None:
    first = world.cache()
    world.read(first)
    world.pass_time(100)
    world.source.error = Unavailable("the database is away")
    late = world.cache()
    assert world.ask(late).result().stale
    assert world.ask(late).result().stale
    assert len(world.source.calls) == 2


def test_a_failed_refresh_leaves_the_old_value_and_rests(world: World) -> None:
    cache = world.cache()
    world.read(cache)
    world.pass_time(6)
    world.source.error = RuntimeError("a bug")
    assert [world.ask(cache).result().body for _ in range(3)] == [b"1"] * 3
    assert len(world.source.calls) == 2


@pytest.mark.parametrize("alone", [False, True])
def test_what_cannot_be_refreshed_says_so_from_the_first_failure_until_it_can(world: World, alone: bool) -> None:
    cache = world.cache(alone=alone)
    world.read(cache)
    world.pass_time(6)
    world.source.error = Unavailable("the database is away")
    assert not world.ask(cache).result().stale
    for age_s in range(6, 40):
        entry = world.ask(cache).result()
        assert (entry.body, entry.stale, round(entry.age_s)) == (b"1", True, age_s)
        world.pass_time(1)
    world.source.error = None
    world.pass_time(2.1)
    world.ask(cache).result()
    assert not world.ask(cache).result().stale


def test_past_its_grace_nothing_is_good_enough(world: World) -> None:
    cache = world.cache()
    world.read(cache)
    world.pass_time(601)
    world.source.error = Unavailable("the database is away")
    assert isinstance(world.ask(cache).error, Unavailable)


def test_an_answer_that_there_is_no_such_thing_is_not_hidden_behind_the_last_good_value(world: World) -> None:
    cache = world.cache()
    world.read(cache)
    world.write(cache)
    world.source.error = NotFound("no such thing")
    assert isinstance(world.ask(cache).error, NotFound)


# 12 and 13 --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", [{}, {"id": 1, "role": "admin"}, {"role": "admin"}])
def test_a_key_without_exactly_its_scope_is_refused(scope: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="view depends on"):
        VIEW.key(**scope)


def test_a_server_that_came_back_with_the_past_is_not_believed(world: World) -> None:
    cache = world.cache()
    world.read(cache)
    world.redis.stop()
    world.source.change()
    world.redis.start(restored=True)
    world.pass_time(0.5)
    assert world.read(cache) == b"2"


def test_a_process_that_never_saw_the_old_server_does_not_believe_its_past(world: World) -> None:
    first = world.cache()
    world.read(first)
    world.redis.stop()
    world.kill(first)
    world.source.change()
    world.redis.start(restored=True)
    assert world.read(world.cache()) == b"2"
