"""Replays: their rules and their progress."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from monitor.domain.delivery.replay import Replay, ReplaySpec, ReplayState, advance, check_replay, shown
from monitor.domain.errors import Invalid
from monitor.domain.vocab import DeliveryState
from tests.fakes.clock import START, FakeClock

HOUR = timedelta(hours=1)


def spec(**changes: object) -> ReplaySpec:
    return msgspec.structs.replace(ReplaySpec(from_at=START - HOUR, to_at=START), **changes)


def running() -> Replay:
    clock = FakeClock()
    return Replay(
        id=clock.new_id(),
        webhook_id=clock.new_id(),
        from_at=START - HOUR,
        to_at=START,
        states=(DeliveryState.FAILED,),
        created_by="ada",
        created_at=START,
        total=3,
    )


def test_undelivered_states_are_the_default() -> None:
    check_replay(spec())
    assert spec().states == [DeliveryState.FAILED, DeliveryState.CANCELLED, DeliveryState.QUARANTINED]


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"to_at": START - HOUR}, "/from"),
        ({"to_at": START - 2 * HOUR}, "/from"),
        ({"states": [DeliveryState.FAILED, DeliveryState.PENDING]}, "/states"),
    ],
)
def test_a_replay_that_makes_no_sense_is_refused(changes: dict[str, object], pointer: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_replay(spec(**changes))
    assert [error.pointer for error in refused.value.errors] == [pointer]


def test_it_runs_as_long_as_steps_are_full() -> None:
    replay = running()
    last = FakeClock().new_id()
    more = advance(replay, 2, last, full=True, now=START)
    assert (more.queued, more.cursor, more.finished_at) == (2, last, None)
    assert shown(more).state is ReplayState.RUNNING
    done = advance(more, 0, None, full=False, now=START + HOUR)
    assert (done.queued, done.cursor, done.finished_at) == (2, last, START + HOUR)
    assert shown(done).state is ReplayState.DONE


def test_the_request_names_its_range_from_and_to() -> None:
    body = b'{"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z", "dry_run": true}'
    read = msgspec.json.decode(body, type=ReplaySpec)
    assert read.dry_run
    assert read.to_at - read.from_at == timedelta(days=1)
