"""Each rule is needed: with it taken out, the scenario that stands for it fails."""

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
from tests.unit.cache import test_rules as rules
from tests.unit.cache.world import World, world

Patch = Callable[[pytest.MonkeyPatch], None]
Scenario = Callable[[World], None]


def tokens_are_read_after_the_creator(patch: pytest.MonkeyPatch) -> None:
    write = RedisTier._write

    async def late(self: RedisTier, load: Load, envelope: bytes) -> None:
        load.direct = True
        await write(self, load, envelope)

    patch.setattr(RedisTier, "_write", late)


def any_part_will_do(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Load, "accepts", lambda self, tokens, tags: True)


def a_part_is_looked_up_like_any_other(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Load, "parent", property(lambda self: None, lambda self, value: None), raising=False)


def a_missing_token_is_always_the_same(patch: pytest.MonkeyPatch) -> None:
    mint = FakeCacheServer.mint

    async def same(self: FakeCacheServer, tokens: dict[str, bytes]) -> list[bytes]:
        return await mint(self, dict.fromkeys(tokens, bytes(TOKEN_BYTES)))

    patch.setattr(FakeCacheServer, "mint", same)


def a_missing_token_means_unchanged(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("monitor.cache.backend.split", lambda stored, tokens: (True, stored[TOKEN_BYTES * len(tokens) :]))


def the_process_drops_its_own_before_the_server(patch: pytest.MonkeyPatch) -> None:
    async def here_first(self: InvalidationBus, tags: frozenset[str], *, acknowledged: bool) -> bool:
        self._apply(tags, ())
        await self._publish(self.message(tags=tags))
        return True

    patch.setattr(InvalidationBus, "invalidate", here_first)


def dropped_values_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    def forget(self: Memory, tags: Iterable[str]) -> None:
        for text in list(self.slots):
            self.remove(text)

    patch.setattr(Memory, "invalidate", forget)


def loads_are_not_superseded(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Load, "superseded", property(lambda self: False, lambda self, value: None), raising=False)


def loads_are_not_detached(patch: pytest.MonkeyPatch) -> None:
    def doom(self: InFlight, tags: Iterable[str], keys: Iterable[str] = ()) -> None:
        for load in self._all:
            load.superseded = True

    patch.setattr(InFlight, "supersede", doom)


def loads_of_one_key_are_equal(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Load, "__eq__", str.__eq__)
    patch.setattr(Load, "__hash__", str.__hash__)


def what_could_not_be_sent_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(InvalidationBus, "_add_pending", lambda self, message: None)


def an_owed_drop_leaves_the_tokens_believed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(InvalidationBus, "has_pending", lambda self, tags: False)


def an_owed_drop_leaves_the_trust(patch: pytest.MonkeyPatch) -> None:
    def owe(self: InvalidationBus, message: Invalidated) -> None:
        self._pending.update(dict.fromkeys(message.tags, message.id))
        self.trusted_until = math.inf

    patch.setattr(InvalidationBus, "_add_pending", owe)


def a_drop_is_tried_once(patch: pytest.MonkeyPatch) -> None:
    async def once(self: InvalidationBus, message: Invalidated) -> list[Member]:
        return await self._server.invalidate(self._fresh_tokens(message.tags), message, self._config.lease_s)

    patch.setattr(InvalidationBus, "_publish", once)


def trust_never_ends(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        InvalidationBus, "trusted_until", property(lambda self: math.inf, lambda self, value: None), raising=False
    )


def trust_begins_when_the_answer_comes(patch: pytest.MonkeyPatch) -> None:
    trust = InvalidationBus._extend_trust
    patch.setattr(InvalidationBus, "_extend_trust", lambda self, began_at: trust(self, self._clock.monotonic()))


def nobody_waits_for_the_members(patch: pytest.MonkeyPatch) -> None:
    async def at_once(self: _AckCollector, members: Iterable[Member]) -> None:
        list(members)

    patch.setattr(_AckCollector, "wait", at_once)


def processes_are_not_members(patch: pytest.MonkeyPatch) -> None:
    async def nothing(self: FakeCacheServer, member: str, lease_s: float) -> None:
        return

    patch.setattr(FakeCacheServer, "renew", nothing)


def a_flushed_server_has_no_members(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(FakeRedis, "count_unknown", lambda self, lease_s: None)


def memory_is_asked_without_trust(patch: pytest.MonkeyPatch) -> None:
    peek = Cache.peek

    def trusting(self: Cache, text: str) -> Any:
        self._bus.trusted_until = math.inf
        return peek(self, text)

    patch.setattr(Cache, "peek", trusting)


def loads_are_joined_without_trust(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SharedLoad, "started", property(lambda self: False, lambda self, value: None), raising=False)


def memory_does_not_answer_in_an_outage(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(MemoryTier, "_serve_within_lease", lambda self, load, slot: NO_VALUE)


def memory_answers_with_anything_in_an_outage(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(MemoryTier, "_serve_within_lease", MemoryTier._serve)


def lost_messages_are_not_made_up_for(patch: pytest.MonkeyPatch) -> None:
    drop_here = CacheState.apply_invalidation

    def but_root(self: CacheState, tags: Iterable[str], keys: Iterable[str]) -> None:
        drop_here(self, [tag for tag in tags if tag != "*"], keys)

    patch.setattr(CacheState, "apply_invalidation", but_root)


def waiting_has_no_end(patch: pytest.MonkeyPatch) -> None:
    acquire = LeaseMutex._acquire

    async def for_ever(self: LeaseMutex, *, wait: bool) -> bool:
        self._state.config = msgspec.structs.replace(self._state.config, wait_s=math.inf)
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
        await self._server.unlock(self._key, self._holder)

    patch.setattr(LeaseMutex, "_release", release)


def dropped_values_are_answered_while_a_new_one_is_made(patch: pytest.MonkeyPatch) -> None:
    def softly(self: Slot) -> bool:
        self.fresh_until = -math.inf
        return True

    patch.setattr(Slot, "invalidate", softly)


def a_failed_creator_does_not_rest(patch: pytest.MonkeyPatch) -> None:
    def restless(self: Cache, slot: Slot, key: Key, create: Creator) -> None:
        return None

    patch.setattr(Cache, "_serve_stale", restless)


def failure_hides_every_answer(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("monitor.cache.cache._is_definitive", lambda error: False)


def another_server_is_believed(patch: pytest.MonkeyPatch) -> None:
    async def never(self: FakeCacheServer, root_token: bytes, message: Invalidated) -> bool:
        return False

    patch.setattr(FakeCacheServer, "reset_if_server_changed", never)


MUTANTS: list[tuple[int, Patch, Scenario]] = [
    (1, tokens_are_read_after_the_creator, rules.test_a_value_computed_before_a_drop_is_valid_for_nobody_after_it),
    (1, any_part_will_do, rules.test_a_part_in_memory_that_has_been_dropped_elsewhere_is_not_composed),
    (1, any_part_will_do, rules.test_a_part_whose_load_began_before_a_drop_is_not_composed),
    (
        1,
        a_part_is_looked_up_like_any_other,
        rules.test_a_part_in_memory_that_has_been_dropped_elsewhere_is_not_composed,
    ),
    (2, a_missing_token_is_always_the_same, rules.test_an_evicted_token_does_not_bring_an_old_value_back),
    (2, a_missing_token_means_unchanged, rules.test_an_evicted_token_does_not_bring_a_flushed_value_back),
    (
        3,
        the_process_drops_its_own_before_the_server,
        rules.test_a_load_between_the_two_steps_of_a_drop_leaves_nothing_old_behind,
    ),
    (4, dropped_values_are_forgotten, rules.test_a_dropped_value_is_still_the_last_good_one),
    (4, loads_are_not_superseded, rules.test_an_answer_that_was_on_its_way_when_the_drop_came_is_not_kept),
    (4, loads_are_not_detached, rules.test_who_asks_after_a_drop_does_not_join_a_load_from_before_it),
    (5, loads_of_one_key_are_equal, rules.test_a_second_load_of_a_key_is_superseded_even_after_the_first_has_ended),
    (6, what_could_not_be_sent_is_forgotten, rules.test_a_drop_that_could_not_be_sent_goes_out_later),
    (6, an_owed_drop_leaves_the_tokens_believed, rules.test_while_a_drop_is_owed_the_tokens_prove_nothing),
    (6, an_owed_drop_leaves_the_trust, rules.test_there_is_no_trust_while_a_drop_is_owed),
    (6, a_drop_is_tried_once, rules.test_a_drop_is_tried_again_at_once_when_a_connection_breaks),
    (7, trust_never_ends, rules.test_a_deaf_process_stops_serving_from_memory),
    (7, trust_begins_when_the_answer_comes, rules.test_a_late_answer_to_a_ping_proves_only_what_it_was_asked),
    (
        8,
        nobody_waits_for_the_members,
        rules.test_an_acknowledged_drop_waits_until_every_live_process_has_acknowledged_it,
    ),
    (8, processes_are_not_members, rules.test_an_acknowledged_drop_waits_until_every_live_process_has_acknowledged_it),
    (8, a_flushed_server_has_no_members, rules.test_a_flushed_server_does_not_let_an_acknowledged_drop_return_early),
    (9, memory_is_asked_without_trust, rules.test_without_trust_memory_is_not_asked),
    (
        9,
        loads_are_joined_without_trust,
        rules.test_without_trust_nobody_joins_a_load_that_may_have_read_already,
    ),
    (
        9,
        memory_does_not_answer_in_an_outage,
        rules.test_alone_in_an_outage_memory_answers_with_what_was_true_a_moment_ago,
    ),
    (
        9,
        memory_answers_with_anything_in_an_outage,
        rules.test_alone_in_an_outage_nothing_older_than_the_lease_is_answered,
    ),
    (9, lost_messages_are_not_made_up_for, rules.test_what_was_said_while_nobody_listened_is_made_up_for),
    (10, waiting_has_no_end, rules.test_who_has_waited_long_enough_for_another_creates_anyway),
    (10, a_lock_has_no_end, rules.test_a_lock_ends_with_the_longest_time_a_creator_may_take),
    (10, a_failed_release_is_an_error, rules.test_a_lock_whose_server_is_gone_costs_a_query_and_no_error),
    (
        11,
        dropped_values_are_answered_while_a_new_one_is_made,
        rules.test_a_dropped_value_is_never_answered_while_a_new_one_is_made,
    ),
    (
        11,
        a_failed_creator_does_not_rest,
        rules.test_after_a_failure_the_last_good_value_says_so_and_the_creator_rests,
    ),
    (
        11,
        failure_hides_every_answer,
        rules.test_an_answer_that_there_is_no_such_thing_is_not_hidden_behind_the_last_good_value,
    ),
    (13, another_server_is_believed, rules.test_a_server_that_came_back_with_the_past_is_not_believed),
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
