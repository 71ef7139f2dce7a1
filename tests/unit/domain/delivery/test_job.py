"""Jobs: their progress and their end."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import msgspec
import pytest
from msgspec.structs import replace

from monitor.domain.delivery.job import (
    REPEATED_AFTER_S,
    SHOWN_IDS,
    BulkRetryParameters,
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
    postpone,
    shown_job,
)
from monitor.domain.delivery.selection import DeliveryFilter
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


def failed(at: datetime = START) -> Job:
    return fail(replace(job(), errors=len(REPEATED_AFTER_S)), "a bug", at)


def test_a_chunk_is_made_again_a_few_times_before_its_job_fails() -> None:
    one = job()
    for errors, wait_s in enumerate(REPEATED_AFTER_S, 1):
        one = fail(one, "a bug", START)
        assert (one.state, one.errors, one.error) == (JobState.RUNNING, errors, "a bug")
        assert one.stepped_at == START + timedelta(seconds=wait_s)
    over = fail(one, "a bug", START + SECOND)
    assert (over.state, over.error, over.finished_at) == (JobState.FAILED, "a bug", START + SECOND)
    went_on = advance(one, Chunk(1, None, more=True), START + SECOND)
    assert (went_on.state, went_on.errors, went_on.error) == (JobState.RUNNING, 0, None)


def test_outages_in_its_chunks_make_a_job_wait_longer_and_fail_it_never() -> None:
    one = job()
    for wait_s in (0, 0, 5, 30, 30, 30):
        one = postpone(one, "It is away.", START)
        assert (one.state, one.error) == (JobState.RUNNING, "It is away." if wait_s else None)
        assert one.stepped_at == START + timedelta(seconds=wait_s)
    # An error of its own is tried again all the same.
    assert fail(one, "a bug", START).state is JobState.RUNNING
    assert advance(one, Chunk(1, None, more=True), START).errors == 0


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


@pytest.mark.parametrize("over", [advance(job(), Chunk(0, None, more=False), START), failed(), job(CANCELLATION)])
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
    over = shown_job(replace(failed(START + 5 * SECOND), done=10), START + 9 * SECOND)
    assert (over.per_s, over.error, over.state) == (2.0, "a bug", JobState.FAILED)


def test_a_view_repeats_few_of_the_deliveries_that_a_filter_names() -> None:
    named = tuple(UUID(int=n) for n in range(1_000))
    for ids in (named, named[:SHOWN_IDS]):
        view = shown_job(job(BulkRetryParameters(chosen=DeliveryFilter(ids=ids))), START)
        assert view.parameters == {"filter": {"ids": tuple(str(id_) for id_ in named[:SHOWN_IDS])}}
    labelled = shown_job(job(BulkRetryParameters(chosen=DeliveryFilter(label="a"))), START)
    assert labelled.parameters == {"filter": {"label": "a"}}


@pytest.mark.parametrize("parameters", [REPLAY, CANCELLATION])
def test_parameters_are_read_as_they_were_stored(parameters: JobParameters) -> None:
    """Law: decode(encode(p)) == p, whichever kind."""
    stored = msgspec.to_builtins(parameters)
    assert msgspec.convert(stored, JobParameters) == parameters
    assert stored["kind"] == job(parameters).kind
