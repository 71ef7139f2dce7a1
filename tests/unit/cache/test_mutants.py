"""Each rule is needed: without it, its scenario fails."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import pytest
from dogpile.cache.api import NO_VALUE

from monitor.cache.backend import RedisTier
from monitor.cache.cache import Cache
from monitor.cache.invalidation_bus import InvalidationBus, _AckCollector
from monitor.cache.lease import LeaseMutex
from monitor.cache.load import Creator, InFlight, Load, SharedLoad
from monitor.cache.memory import Memory, Slot
from monitor.cache.policy import Key
from monitor.cache.proxy import MemoryTier
from monitor.cache.server import TOKEN_BYTES, Fetched, Invalidated, Member
from monitor.cache.state import CacheState
from monitor.domain.errors import Unavailable
from tests.fakes.cache.server import FakeCacheServer, FakeRedis
from tests.unit.cache import test_locks_and_fail_safe as locks
from tests.unit.cache import test_tokens_and_messages as tokens
from tests.unit.cache import test_trust as trust
from tests.unit.cache.world import World, world

Patch = Callable[[pytest.MonkeyPatch], None]
Scenario = Callable[[World], None]


def tokens_are_read_after_the_creator(patch: pytest.MonkeyPatch) -> None:
    write = RedisTier._write

    async def late(self: RedisTier, load: Load, envelope: bytes) -> None:
        await self._fetch(load)
        await write(self, load, envelope)

    patch.setattr(RedisTier, "_write", late)


def any_dependency_is_accepted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Load, "accepts", lambda self, tokens, tags: True)


def a_dependency_is_loaded_like_any_other_key(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Load, "parent", property(lambda self: None, lambda self, value: None), raising=False)


def a_missing_token_is_always_the_same(patch: pytest.MonkeyPatch) -> None:
    mint = FakeCacheServer.mint

    async def same(self: FakeCacheServer, tokens: dict[str, bytes]) -> list[bytes]:
        return await mint(self, dict.fromkeys(tokens, bytes(TOKEN_BYTES)))

    patch.setattr(FakeCacheServer, "mint", same)


def a_missing_token_means_unchanged(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("monitor.cache.backend.split", lambda stored, tokens: (True, stored[TOKEN_BYTES * len(tokens) :]))


def the_process_invalidates_its_own_memory_before_the_server(patch: pytest.MonkeyPatch) -> None:
    async def here_first(self: InvalidationBus, tags: frozenset[str], *, acknowledged: bool) -> bool:
        self._apply(tags, ())
        await self._publish(self.message(tags=tags))
        return True

    patch.setattr(InvalidationBus, "invalidate", here_first)


def invalidated_values_are_removed(patch: pytest.MonkeyPatch) -> None:
    def remove_all(self: Memory, tags: Iterable[str]) -> None:
        for text in list(self.slots):
            self.remove(text)

    patch.setattr(Memory, "invalidate", remove_all)


def loads_are_not_superseded(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Load, "superseded", property(lambda self: False, lambda self, value: None), raising=False)


def loads_are_not_detached(patch: pytest.MonkeyPatch) -> None:
    def supersede(self: InFlight, tags: Iterable[str], keys: Iterable[str] = ()) -> None:
        for load in self._all:
            load.superseded = True

    patch.setattr(InFlight, "supersede", supersede)


def loads_of_one_key_are_equal(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Load, "__eq__", str.__eq__)
    patch.setattr(Load, "__hash__", str.__hash__)


def a_failed_invalidation_is_given_up(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(InvalidationBus, "_add_pending", lambda self, message: None)


def the_tokens_are_believed_while_an_invalidation_is_pending(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(InvalidationBus, "has_pending", lambda self, tags: False)


def memory_is_trusted_while_an_invalidation_is_pending(patch: pytest.MonkeyPatch) -> None:
    def add_pending(self: InvalidationBus, message: Invalidated) -> None:
        self._pending.update(dict.fromkeys(message.tags, message.id))
        self.trusted_until = math.inf

    patch.setattr(InvalidationBus, "_add_pending", add_pending)


def an_invalidation_is_tried_once(patch: pytest.MonkeyPatch) -> None:
    async def once(self: InvalidationBus, message: Invalidated) -> list[Member]:
        return await self._server.invalidate(self._new_tokens(message.tags), message, self._config.lease_s)

    patch.setattr(InvalidationBus, "_publish", once)


def trust_never_ends(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        InvalidationBus, "trusted_until", property(lambda self: math.inf, lambda self, value: None), raising=False
    )


def trust_begins_when_the_pong_arrives(patch: pytest.MonkeyPatch) -> None:
    extend = InvalidationBus._extend_trust
    patch.setattr(InvalidationBus, "_extend_trust", lambda self, began_at: extend(self, self._clock.monotonic()))


def acknowledgements_are_not_awaited(patch: pytest.MonkeyPatch) -> None:
    async def at_once(self: _AckCollector, members: Iterable[Member]) -> None:
        list(members)

    patch.setattr(_AckCollector, "wait", at_once)


def leases_are_as_long_as_the_server_says(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_AckCollector, "_lease_s", property(lambda self: math.inf, lambda self, value: None), raising=False)


def processes_are_not_members(patch: pytest.MonkeyPatch) -> None:
    async def nothing(self: FakeCacheServer, member: str, lease_s: float) -> None:
        return

    patch.setattr(FakeCacheServer, "renew", nothing)


def a_flushed_server_has_no_members(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(FakeRedis, "count_unknown", lambda self, lease_s: None)


def memory_is_served_without_trust(patch: pytest.MonkeyPatch) -> None:
    peek = Cache.peek

    def trusting(self: Cache, text: str) -> Any:
        self._bus.trusted_until = math.inf
        return peek(self, text)

    patch.setattr(Cache, "peek", trusting)


def loads_are_joined_without_trust(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SharedLoad, "started", property(lambda self: False, lambda self, value: None), raising=False)


def memory_is_not_served_in_an_outage(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(MemoryTier, "_serve_within_lease", lambda self, load, slot: NO_VALUE)


def memory_of_any_age_is_served_in_an_outage(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(MemoryTier, "_serve_within_lease", MemoryTier._serve)


def lost_messages_are_not_made_up_for(patch: pytest.MonkeyPatch) -> None:
    apply = CacheState.apply_invalidation

    def but_root(self: CacheState, tags: Iterable[str], keys: Iterable[str]) -> None:
        apply(self, [tag for tag in tags if tag != "*"], keys)

    patch.setattr(CacheState, "apply_invalidation", but_root)


def waiting_has_no_end(patch: pytest.MonkeyPatch) -> None:
    acquire = LeaseMutex._acquire

    async def for_ever(self: LeaseMutex, *, wait: bool) -> bool:
        self._state.config = msgspec.structs.replace(self._state.config, lock_wait_s=math.inf)
        return await acquire(self, wait=wait)

    patch.setattr(LeaseMutex, "_acquire", for_ever)


def a_lock_has_no_end(patch: pytest.MonkeyPatch) -> None:
    lock = FakeCacheServer.lock

    async def for_ever(
        self: FakeCacheServer, key: str, holder: str, lease_s: float, tags: Sequence[str]
    ) -> Fetched | None:
        return await lock(self, key, holder, math.inf, tags)

    patch.setattr(FakeCacheServer, "lock", for_ever)


def a_failed_release_is_an_error(patch: pytest.MonkeyPatch) -> None:
    async def release(self: LeaseMutex) -> None:
        await self._server.unlock(str(self._load), self._holder)

    patch.setattr(LeaseMutex, "_release", release)


def invalidated_values_are_served_while_a_new_one_is_created(patch: pytest.MonkeyPatch) -> None:
    def softly(self: Slot) -> None:
        self.fresh_until = -math.inf

    patch.setattr(Slot, "invalidate", softly)


def a_failed_creator_does_not_pause(patch: pytest.MonkeyPatch) -> None:
    def no_pause(self: Cache, slot: Slot, key: Key, create: Creator) -> None:
        return None

    patch.setattr(Cache, "_serve_stale", no_pause)


def failure_hides_every_answer(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("monitor.cache.cache._is_definitive", lambda error: False)


def another_server_is_not_noticed(patch: pytest.MonkeyPatch) -> None:
    async def never(self: FakeCacheServer, root_token: bytes, message: Invalidated) -> bool:
        self.run_id = self.redis.run_id
        return False

    patch.setattr(FakeCacheServer, "reset_if_server_changed", never)


def a_failed_invalidation_returns_at_once(patch: pytest.MonkeyPatch) -> None:
    async def at_once(self: InvalidationBus) -> None:
        return None

    patch.setattr(InvalidationBus, "_outlast_leases", at_once)


def the_members_of_another_server_are_believed(patch: pytest.MonkeyPatch) -> None:
    def has_changed(self: FakeRedis) -> bool:
        changed, self._last_run_id = self._last_run_id != self.run_id, self.run_id
        return changed

    patch.setattr(FakeRedis, "has_changed", has_changed)


MUTANTS: list[tuple[int, Patch, Scenario]] = [
    (
        1,
        tokens_are_read_after_the_creator,
        tokens.test_a_value_computed_before_an_invalidation_is_valid_nowhere_after_it,
    ),
    (1, any_dependency_is_accepted, tokens.test_a_dependency_in_memory_that_was_invalidated_elsewhere_is_not_used),
    (1, any_dependency_is_accepted, tokens.test_a_dependency_whose_load_began_before_an_invalidation_is_not_used),
    (
        1,
        a_dependency_is_loaded_like_any_other_key,
        tokens.test_a_dependency_in_memory_that_was_invalidated_elsewhere_is_not_used,
    ),
    (2, a_missing_token_is_always_the_same, tokens.test_an_evicted_token_does_not_bring_an_old_value_back),
    (2, a_missing_token_means_unchanged, tokens.test_an_evicted_token_does_not_bring_a_flushed_value_back),
    (
        3,
        the_process_invalidates_its_own_memory_before_the_server,
        tokens.test_a_load_between_the_two_steps_of_an_invalidation_leaves_nothing_old_behind,
    ),
    (4, invalidated_values_are_removed, tokens.test_an_invalidated_value_is_still_the_last_good_one),
    (4, loads_are_not_superseded, tokens.test_an_answer_on_its_way_when_the_invalidation_arrives_is_not_stored),
    (4, loads_are_not_detached, tokens.test_a_caller_after_an_invalidation_does_not_join_a_load_from_before_it),
    (5, loads_of_one_key_are_equal, tokens.test_a_second_load_of_a_key_is_superseded_even_after_the_first_has_ended),
    (6, a_failed_invalidation_is_given_up, tokens.test_an_invalidation_that_could_not_be_sent_goes_out_later),
    (
        6,
        the_tokens_are_believed_while_an_invalidation_is_pending,
        tokens.test_while_an_invalidation_is_pending_the_tokens_prove_nothing,
    ),
    (
        6,
        memory_is_trusted_while_an_invalidation_is_pending,
        tokens.test_there_is_no_trust_while_an_invalidation_is_pending,
    ),
    (6, an_invalidation_is_tried_once, tokens.test_an_invalidation_is_retried_at_once_when_a_connection_breaks),
    (7, trust_never_ends, trust.test_a_process_that_receives_nothing_stops_serving_from_memory),
    (7, trust_begins_when_the_pong_arrives, trust.test_a_late_pong_proves_only_the_time_of_its_ping),
    (8, acknowledgements_are_not_awaited, trust.test_an_acknowledged_invalidation_waits_for_every_live_process),
    (8, processes_are_not_members, trust.test_an_acknowledged_invalidation_waits_for_every_live_process),
    (
        8,
        a_flushed_server_has_no_members,
        trust.test_a_flushed_server_does_not_let_an_acknowledged_invalidation_return_early,
    ),
    (
        8,
        leases_are_as_long_as_the_server_says,
        trust.test_a_lease_that_a_clock_set_back_has_lengthened_delays_an_invalidation_no_longer,
    ),
    (9, memory_is_served_without_trust, trust.test_without_trust_memory_is_not_served),
    (
        9,
        loads_are_joined_without_trust,
        trust.test_without_trust_no_caller_joins_a_load_that_may_have_read_already,
    ),
    (9, memory_is_not_served_in_an_outage, trust.test_in_an_outage_memory_serves_what_was_true_less_than_a_lease_ago),
    (9, memory_of_any_age_is_served_in_an_outage, trust.test_in_an_outage_nothing_older_than_the_lease_is_served),
    (9, lost_messages_are_not_made_up_for, trust.test_messages_published_without_a_subscription_are_made_up_for),
    (10, waiting_has_no_end, locks.test_a_load_that_has_waited_long_enough_for_another_creates_anyway),
    (10, a_lock_has_no_end, locks.test_a_lock_ends_with_the_longest_time_a_creator_may_run),
    (10, a_failed_release_is_an_error, locks.test_a_lock_whose_server_is_gone_costs_a_query_and_no_error),
    (
        11,
        invalidated_values_are_served_while_a_new_one_is_created,
        locks.test_an_invalidated_value_is_never_served_while_a_new_one_is_created,
    ),
    (
        11,
        a_failed_creator_does_not_pause,
        locks.test_after_a_failure_the_last_good_value_is_marked_and_the_creator_pauses,
    ),
    (11, failure_hides_every_answer, locks.test_a_not_found_is_not_hidden_behind_the_last_good_value),
    (
        9,
        a_failed_invalidation_returns_at_once,
        trust.test_a_write_in_an_outage_returns_when_no_process_in_it_serves_what_it_read_before,
    ),
    (
        13,
        the_members_of_another_server_are_believed,
        trust.test_a_promoted_replica_does_not_let_an_acknowledged_invalidation_return_early,
    ),
    (13, another_server_is_not_noticed, locks.test_the_values_of_a_promoted_replica_are_not_valid),
    (13, another_server_is_not_noticed, locks.test_the_values_of_a_server_restored_from_the_past_are_not_valid),
]


@pytest.mark.parametrize(
    ("mutate", "scenario"), [pytest.param(mutate, play, id=f"{n}-{mutate.__name__}") for n, mutate, play in MUTANTS]
)
def test_without_the_rule_its_scenario_fails(mutate: Patch, scenario: Scenario) -> None:
    with world() as unchanged:
        scenario(unchanged)
    with pytest.MonkeyPatch.context() as patch, world() as mutated:
        mutate(patch)
        with pytest.raises((AssertionError, Unavailable)):
            scenario(mutated)
