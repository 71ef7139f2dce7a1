"""Filters of deliveries, and what may be done with those that match."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from monitor.domain.delivery.bulk import (
    STATES,
    BulkAction,
    BulkSpec,
    bulk_action,
    bulk_parameters,
    check_bulk,
    states_of,
)
from monitor.domain.delivery.job import JobParameters, new_job
from monitor.domain.delivery.selection import DeliveryFilter, DeliveryRow, check_filter, filter_errors, matches
from monitor.domain.errors import Invalid
from monitor.domain.vocab import DeliveryState, ErrorKind
from tests.fakes.clock import START, FakeClock

CLOCK = FakeClock()
SECOND = timedelta(seconds=1)
ROW = DeliveryRow(
    id=CLOCK.new_id(),
    event_id=CLOCK.new_id(),
    webhook_id=CLOCK.new_id(),
    state=DeliveryState.FAILED,
    status_code=503,
    error="status",
    event_type="order.paid.eu",
    labels={"team": "shipping"},
)
OF_ROW = {
    "id": ROW.id,
    "event_id": ROW.event_id,
    "webhook_id": ROW.webhook_id,
    "state": "failed",
    "status_code": 503,
    "error": "503",
    "event_type": "order.*",
    "label": "team=shipping",
    "from_at": START - SECOND,
    "to_at": START + SECOND,
}
OTHER = {
    "id": CLOCK.new_id(),
    "event_id": CLOCK.new_id(),
    "webhook_id": CLOCK.new_id(),
    "state": "pending",
    "status_code": 500,
    "error": "timeout",
    "event_type": "order.paid",
    "label": "team=billing",
    "from_at": START + SECOND,
    "to_at": START - SECOND,
    "ids": (CLOCK.new_id(), CLOCK.new_id()),
}


def test_every_condition_must_hold() -> None:
    whole = DeliveryFilter(**OF_ROW)  # type: ignore[arg-type]
    assert matches(whole, ROW)
    for name, value in OTHER.items():
        assert not matches(msgspec.structs.replace(whole, **{name: value}), ROW), name


def test_an_event_past_its_retention_has_no_type() -> None:
    assert not matches(DeliveryFilter(event_type="order.*"), msgspec.structs.replace(ROW, event_type=None))


@pytest.mark.parametrize(
    ("chosen", "kind"),
    [
        (DeliveryFilter(), None),
        (DeliveryFilter(error="dns"), "dns"),
        (DeliveryFilter(error="503"), "status"),
        (DeliveryFilter(status_code=503), "status"),
        (DeliveryFilter(status_code=204), None),
        (DeliveryFilter(status_code=503, error="dns"), "dns"),
    ],
)
def test_an_answer_outside_2xx_is_an_error(chosen: DeliveryFilter, kind: str | None) -> None:
    assert chosen.error_kind == kind


@pytest.mark.parametrize(
    ("wrong", "pointer", "allowed"),
    [
        (DeliveryFilter(error="nonsense"), "/filter/error", "timeout"),
        (DeliveryFilter(error="nonsense"), "/filter/error", "expired"),
        (DeliveryFilter(error="999"), "/filter/error", "status code"),
        (DeliveryFilter(error="²"), "/filter/error", "status code"),
        (DeliveryFilter(event_type="*"), "/filter/event_type", "leave it out"),
        (DeliveryFilter(event_type="order.*.paid"), "/filter/event_type", "order.*"),
        (DeliveryFilter(from_at=START, to_at=START), "/filter/from", "before"),
    ],
)
def test_a_wrong_condition_is_refused_with_what_is_allowed(wrong: DeliveryFilter, pointer: str, allowed: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_filter(wrong, "/filter")
    [error] = refused.value.errors
    assert error.pointer == pointer
    assert allowed in error.detail


def test_attempts_are_chosen_by_an_error_that_they_may_have() -> None:
    """Receivers may answer with any three digits; an expired delivery has no attempt."""
    for error in (*ErrorKind, "100", "999"):
        assert filter_errors("", attempt_error=error) == []
    for error in ("expired", "hunger", "", "099", "1000", "50", "timeout\n"):
        [refused] = filter_errors("/query", attempt_error=error)
        assert refused.pointer == "/query/error"
        assert refused.detail == f"Give one of {', '.join(ErrorKind)}, or a status code."


def test_nothing_is_chosen_by_an_empty_filter_without_saying_so() -> None:
    for action in BulkAction:
        with pytest.raises(Invalid):
            check_bulk(BulkSpec(action=action, filter=DeliveryFilter()))
        check_bulk(BulkSpec(action=action, filter=DeliveryFilter(), all=True))
        with pytest.raises(Invalid):
            check_bulk(BulkSpec(action=action, filter=DeliveryFilter(label="a"), all=True))


@pytest.mark.parametrize("action", BulkAction)
@pytest.mark.parametrize("state", DeliveryState)
def test_only_states_that_an_action_changes_are_chosen(action: BulkAction, state: DeliveryState) -> None:
    spec = BulkSpec(action=action, filter=DeliveryFilter(state=state))
    if state in STATES[action]:
        check_bulk(spec)
        assert states_of(action, spec.filter) == (state,)
    else:
        with pytest.raises(Invalid) as refused:
            check_bulk(spec)
        assert STATES[action][0] in refused.value.errors[0].detail


@pytest.mark.parametrize("action", BulkAction)
def test_parameters_are_read_as_they_were_stored(action: BulkAction) -> None:
    """Law: decode(encode(p)) == p, whichever action."""
    parameters = bulk_parameters(BulkSpec(action=action, filter=DeliveryFilter(label="a=b", from_at=START)), START)
    stored = msgspec.to_builtins(parameters)
    assert msgspec.convert(stored, JobParameters) == parameters
    assert stored["kind"] == new_job(CLOCK.new_id(), parameters, created_by="ada", now=START).kind
    assert set(stored["filter"]) == {"label", "from", "to"}
    assert bulk_action(parameters) is action


def test_what_is_accepted_later_is_not_chosen() -> None:
    for to_at, expected in ((None, START), (START + SECOND, START), (START - SECOND, START - SECOND)):
        spec = BulkSpec(action=BulkAction.RETRY, filter=DeliveryFilter(label="a", to_at=to_at))
        end = bulk_parameters(spec, START).chosen.to_at
        assert end is not None
        assert timedelta() <= end - expected <= timedelta(milliseconds=1)
