"""Jobs: their progress and their end."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from monitor.domain.delivery.job import (
    CancellationParameters,
    Chunk,
    Job,
    JobKind,
    JobParameters,
    JobState,
    ReplayParameters,
    advance,
    cancel,
    fail,
    new_job,
    shown_job,
)
from monitor.domain.errors import Conflict
from monitor.domain.vocab import DeliveryState
from tests.fakes.clock import START, FakeClock

SECOND = timedelta(seconds=1)
CLOCK = FakeClock()
CANCELLATION = CancellationParameters(webhook_id=CLOCK.new_id())
REPLAY = ReplayParameters(
    webhook_id=CLOCK.new_id(), from_at=START, to_at=START + SECOND, states=(DeliveryState.FAILED,)
)


def job(parameters: JobParameters = REPLAY) -> Job:
    return new_job(CLOCK.new_id(), parameters, created_by="ada", now=START, total=3)


def test_a_job_runs_until_a_chunk_leaves_nothing() -> None:
    last = CLOCK.new_id()
    more = advance(job(), Chunk(2, last, more=True), START + SECOND)
    assert (more.done, more.cursor, more.stepped_at) == (2, last, START + SECOND)
    assert (more.state, more.finished_at) == (JobState.RUNNING, None)
    done = advance(more, Chunk(1, last, more=False), START + 2 * SECOND)
    assert (done.done, done.state, done.finished_at) == (3, JobState.DONE, START + 2 * SECOND)


def test_a_first_chunk_may_be_made_with_the_job() -> None:
    first = new_job(CLOCK.new_id(), CANCELLATION, created_by="ada", now=START, first=Chunk(500, None, more=True))
    assert (first.done, first.total, first.state) == (500, None, JobState.RUNNING)


def test_what_a_cancelled_job_did_stays_done() -> None:
    running = advance(job(), Chunk(2, None, more=True), START)
    cancelled = cancel(running, START + SECOND)
    assert (cancelled.state, cancelled.done, cancelled.finished_at) == (JobState.CANCELLED, 2, START + SECOND)
    assert cancel(cancelled, START + 2 * SECOND) is cancelled


@pytest.mark.parametrize(
    "over", [advance(job(), Chunk(0, None, more=False), START), fail(job(), "a bug", START), job(CANCELLATION)]
)
def test_only_a_running_job_that_no_deletion_needs_can_be_cancelled(over: Job) -> None:
    with pytest.raises(Conflict):
        cancel(over, START)


def test_a_view_shows_the_average_rate() -> None:
    running = advance(job(), Chunk(10, None, more=True), START)
    assert shown_job(running, START).per_s is None
    view = shown_job(running, START + 4 * SECOND)
    assert (view.kind, view.per_s, view.total) == (JobKind.REPLAY, 2.5, 3)
    assert view.parameters["webhook_id"] == str(REPLAY.webhook_id)
    assert "kind" not in view.parameters
    failed = shown_job(fail(running, "a bug", START + 5 * SECOND), START + 9 * SECOND)
    assert (failed.per_s, failed.error, failed.state) == (2.0, "a bug", JobState.FAILED)


@pytest.mark.parametrize("parameters", [REPLAY, CANCELLATION])
def test_parameters_are_read_as_they_were_stored(parameters: JobParameters) -> None:
    """Law: decode(encode(p)) == p, whichever kind."""
    stored = msgspec.to_builtins(parameters)
    assert msgspec.convert(stored, JobParameters) == parameters
    assert stored["kind"] == job(parameters).kind
