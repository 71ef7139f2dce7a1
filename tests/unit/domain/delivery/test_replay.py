"""Replays: their rules and their progress."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from monitor.domain.delivery.job import CancellationParameters, Chunk, JobState, advance, new_job
from monitor.domain.delivery.replay import ReplaySpec, check_replay, parameters_of, shown
from monitor.domain.errors import Invalid, NotFound
from monitor.domain.vocab import DeliveryState
from tests.fakes.clock import START, FakeClock

HOUR = timedelta(hours=1)


def spec(**changes: object) -> ReplaySpec:
    return msgspec.structs.replace(ReplaySpec(from_at=START - HOUR, to_at=START), **changes)


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


def test_a_replay_is_the_view_of_a_job() -> None:
    clock = FakeClock()
    chosen = parameters_of(clock.new_id(), spec(), START)
    job = new_job(clock.new_id(), chosen, created_by="ada", now=START, total=3)
    view = shown(advance(job, Chunk(2, clock.new_id(), more=True), START))
    assert (view.id, view.webhook_id, view.state) == (job.id, chosen.webhook_id, JobState.RUNNING)
    assert (view.total, view.queued) == (3, 2)


def test_a_job_of_another_kind_is_no_replay() -> None:
    clock = FakeClock()
    other = CancellationParameters(webhook_id=clock.new_id())
    with pytest.raises(NotFound):
        shown(new_job(clock.new_id(), other, created_by="ada", now=START))


def test_the_request_names_its_range_from_and_to() -> None:
    body = b'{"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z", "dry_run": true}'
    read = msgspec.json.decode(body, type=ReplaySpec)
    assert read.dry_run
    assert read.to_at - read.from_at == timedelta(days=1)
