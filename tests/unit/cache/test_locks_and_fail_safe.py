"""
Rules 10 to 13: the lock on a creation, stale values and last good ones, scopes, and a server with the past in it. Each
test plays the situation that goes wrong without its rule; ``test_mutants`` proves that.
"""

from __future__ import annotations

import pytest

from monitor.cache import CacheConfig
from monitor.domain.errors import NotFound, Unavailable
from tests.unit.cache.world import ONE, VIEW, World

# 10: the lock -----------------------------------------------------------------------------------------------------


def test_a_load_that_has_waited_long_enough_for_another_creates_anyway(world: World) -> None:
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


def test_a_waiter_finds_a_value_whose_message_was_lost(world: World) -> None:
    first, second = world.cache(), world.cache()
    world.source.gate = gate = world.gate()
    world.ask(first)
    waiting = world.ask(second)
    world.server(second).hold_bus(held=True)
    world.open(gate)
    assert not waiting.done
    world.pass_time(0.2)
    assert waiting.result().body == b"1"


def test_a_lock_ends_with_the_longest_time_a_creator_may_run(world: World) -> None:
    killed = world.cache()
    world.source.gate = world.gate()
    world.ask(killed)
    assert world.redis.names("l") == {ONE.text}

    world.kill(killed)
    world.pass_time(CacheConfig().creator_timeout_s)

    assert world.redis.names("l") == set()


def test_a_creator_that_runs_too_long_is_stopped(world: World) -> None:
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
def test_an_expired_value_is_served_at_once_while_a_new_one_is_created(world: World, *, alone: bool) -> None:
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


def test_an_expired_value_of_the_server_is_served_at_once_too(world: World) -> None:
    first, second = world.cache(), world.cache()
    world.read(first)
    world.pass_time(6)

    world.source.gate = gate = world.gate()

    assert world.ask(second).result().body == b"1"
    assert world.ask(first).result().body == b"1"
    world.open(gate)
    assert len(world.source.calls) == 2


def test_an_invalidated_value_is_never_served_while_a_new_one_is_created(world: World) -> None:
    reader, writer = world.cache(), world.cache()
    world.read(reader)
    world.pass_time(6)

    world.source.gate = world.gate()
    world.write(writer)

    assert not world.ask(reader).done


def test_after_a_failure_the_last_good_value_is_marked_and_the_creator_pauses(world: World) -> None:
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


def test_a_failed_refresh_leaves_the_old_value_and_pauses(world: World) -> None:
    cache = world.cache()
    world.read(cache)
    world.pass_time(6)

    world.source.error = RuntimeError("a bug")

    assert [world.ask(cache).result().body for _ in range(3)] == [b"1"] * 3
    assert len(world.source.calls) == 2


@pytest.mark.parametrize("alone", [False, True])
def test_a_value_that_cannot_be_refreshed_is_marked_from_the_first_failure_until_it_can(
    world: World, *, alone: bool
) -> None:
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


def test_past_its_grace_no_value_is_good_enough(world: World) -> None:
    cache = world.cache()
    world.read(cache)
    world.pass_time(601)

    world.source.error = Unavailable("the database is away")

    assert isinstance(world.ask(cache).error, Unavailable)


def test_a_not_found_is_not_hidden_behind_the_last_good_value(world: World) -> None:
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


def test_the_values_of_a_server_restored_from_the_past_are_not_valid(world: World) -> None:
    cache = world.cache()
    world.read(cache)

    world.redis.stop()
    world.source.change()
    world.redis.start(restored=True)
    world.pass_time(0.5)

    assert world.read(cache) == b"2"


def test_the_values_of_a_promoted_replica_are_not_valid(world: World) -> None:
    """It lacks the invalidation, and the tokens that it holds are those of the older value."""
    writer, reader = world.cache(), world.cache()
    world.read(reader)
    world.redis.replicate()
    world.write(writer)
    world.read(reader)

    world.redis.fail_over()
    world.pass_time(0.5)

    assert world.read(reader) == b"2"


def test_nor_are_they_to_a_process_that_never_used_the_server_before(world: World) -> None:
    first = world.cache()
    world.read(first)

    world.redis.stop()
    world.kill(first)
    world.source.change()
    world.redis.start(restored=True)

    assert world.read(world.cache()) == b"2"
