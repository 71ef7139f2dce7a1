"""
Rules 7 to 9: when memory is trusted, how long a writer waits for the other processes, and what is served without trust.
Each test plays the situation that goes wrong without its rule; ``test_mutants`` proves that.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from monitor.cache import CacheConfig
from monitor.domain.errors import Unavailable
from tests.unit.cache.world import ONE, World

LEASE_S = CacheConfig().lease_s


def test_a_value_from_the_future_is_a_miss(world: World) -> None:
    ahead, other = world.cache(), world.cache()
    world.clock.set_to(world.clock.now() + timedelta(minutes=10))
    world.read(ahead)
    world.clock.set_to(world.clock.now() - timedelta(minutes=10))
    world.source.change()

    assert world.read(other) == b"2"
    assert len(world.source.calls) == 2


def test_the_clocks_of_processes_may_differ_a_little(world: World) -> None:
    ahead, other = world.cache(), world.cache()
    world.clock.set_to(world.clock.now() + timedelta(seconds=0.5))
    world.read(ahead)
    world.clock.set_to(world.clock.now() - timedelta(seconds=0.5))

    assert world.read(other) == b"1"
    assert len(world.source.calls) == 1


def test_a_last_good_value_from_the_future_is_none(world: World) -> None:
    ahead, other = world.cache(), world.cache()
    world.clock.set_to(world.clock.now() + timedelta(minutes=10))
    world.read(ahead)
    world.clock.set_to(world.clock.now() - timedelta(minutes=10))
    world.source.error = Unavailable("The database is away.")

    with pytest.raises(Unavailable):
        world.read(other)


# 7: the lease -----------------------------------------------------------------------------------------------------


def test_a_process_that_receives_nothing_stops_serving_from_memory(world: World) -> None:
    isolated, writer = world.cache(), world.cache()
    world.read(isolated)
    world.server(isolated).hold_bus(held=True)

    invalidating = world.write(writer)
    world.pass_time(LEASE_S + 0.05)

    assert invalidating.result() is True
    assert isolated.peek(ONE.text) is None
    assert world.read(isolated) == b"2"


def test_a_late_pong_proves_only_the_time_of_its_ping(world: World) -> None:
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


# 8: acknowledgements ----------------------------------------------------------------------------------------------


def test_an_acknowledged_invalidation_waits_for_every_live_process(world: World) -> None:
    slow, writer = world.cache(), world.cache()
    world.read(slow)
    world.server(slow).hold_bus(held=True)

    invalidating = world.write(writer)
    assert not invalidating.done
    assert slow.peek(ONE.text) is not None
    world.server(slow).hold_bus(held=False)
    world.pass_time(0.0)

    assert invalidating.result() is True
    assert slow.peek(ONE.text) is None


def test_a_flushed_server_does_not_let_an_acknowledged_invalidation_return_early(world: World) -> None:
    slow, writer = world.cache(), world.cache()
    world.read(slow)
    world.server(slow).hold_bus(held=True)

    world.redis.flush()
    invalidating = world.write(writer)
    assert not invalidating.done
    world.pass_time(LEASE_S + 0.05)

    assert invalidating.result() is True
    assert slow.peek(ONE.text) is None


def test_a_promoted_replica_does_not_let_an_acknowledged_invalidation_return_early(world: World) -> None:
    reader, writer = world.cache(), world.cache()
    world.redis.replicate()
    world.pass_time(LEASE_S + 0.1)
    world.read(reader)

    world.server(reader).cut = True
    world.redis.fail_over()
    world.pass_time(0.2)
    invalidating = world.write(writer)
    while not invalidating.done:
        world.pass_time(0.05)

    assert invalidating.result() is True
    assert world.read(reader) == b"2"


def test_an_invalidation_without_acknowledgement_waits_for_no_process(world: World) -> None:
    slow, writer = world.cache(), world.cache()

    world.server(slow).hold_bus(held=True)

    assert world.write(writer, acknowledged=False).result() is True


def test_a_killed_process_delays_an_acknowledged_invalidation_by_its_lease_at_most(world: World) -> None:
    killed, writer = world.cache(), world.cache()
    world.server(killed).cut = True
    world.server(killed).hold_bus(held=True)

    invalidating = world.write(writer)
    assert not invalidating.done
    world.pass_time(LEASE_S)

    assert invalidating.result() is True


def test_a_lease_that_a_clock_set_back_has_lengthened_delays_an_invalidation_no_longer(world: World) -> None:
    writer = world.cache()

    world.redis.renew("killed", 3600)
    invalidating = world.write(writer)
    world.pass_time(LEASE_S)

    assert invalidating.result() is True


def test_a_process_that_has_left_delays_no_invalidation(world: World) -> None:
    leaving, writer = world.cache(), world.cache()

    world.get(leaving.stop())

    assert world.write(writer).result() is True


# 9: without trust -------------------------------------------------------------------------------------------------


def test_without_trust_memory_is_not_served(world: World) -> None:
    isolated, writer = world.cache(), world.cache()
    world.read(isolated)
    world.server(isolated).hold_bus(held=True)

    world.pass_time(LEASE_S + 0.3)
    world.write(writer)

    assert world.read(isolated) == b"2"


def test_without_trust_no_caller_joins_a_load_that_may_have_read_already(world: World) -> None:
    isolated, writer = world.cache(), world.cache()
    world.server(isolated).before["subscribe"] = world.gate()
    world.server(isolated).cut_bus()
    world.pass_time(1.0)

    world.source.gate = gate = world.gate()
    early = world.ask(isolated)
    assert world.write(writer).result() is True
    late = world.ask(isolated)
    world.source.gate = None
    world.open(gate)

    assert (early.result().body, late.result().body) == (b"1", b"2")


def test_a_process_without_a_subscription_shares_by_the_tokens_and_delays_no_writer(world: World) -> None:
    isolated, writer = world.cache(), world.cache()
    world.server(isolated).before["subscribe"] = world.gate()
    world.server(isolated).cut_bus()
    world.pass_time(1.0)

    world.read(writer)

    assert [world.read(isolated), world.read(isolated)] == [b"1", b"1"]
    assert len(world.source.calls) == 1
    assert world.write(writer).result() is True
    assert world.read(isolated) == b"2"


def test_in_an_outage_memory_serves_what_was_true_less_than_a_lease_ago(world: World) -> None:
    cache = world.cache()
    world.read(cache)

    world.redis.stop()
    world.pass_time(LEASE_S / 2)
    world.read(cache)

    assert len(world.source.calls) == 1


def test_in_an_outage_nothing_older_than_the_lease_is_served(world: World) -> None:
    cache = world.cache()
    world.read(cache)

    world.redis.stop()
    world.source.change()
    world.pass_time(LEASE_S + 0.1)

    assert world.read(cache) == b"2"


def test_a_write_in_an_outage_returns_when_no_process_in_it_serves_what_it_read_before(world: World) -> None:
    reader, writer = world.cache(), world.cache()
    world.read(reader)

    world.redis.stop()
    invalidating = world.write(writer)
    while not invalidating.done:
        world.pass_time(0.05)

    assert invalidating.result() is False
    assert world.read(reader) == b"2"


def test_messages_published_without_a_subscription_are_made_up_for(world: World) -> None:
    cache, writer = world.cache(), world.cache()
    world.read(cache)

    world.server(cache).cut_bus()
    world.write(writer, acknowledged=False)
    world.pass_time(0.5)

    assert cache.stats().trusted
    assert world.read(cache) == b"2"
