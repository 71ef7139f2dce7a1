"""Retry, cancellation and resending of all deliveries that match a filter."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from monitor.domain.delivery.job import (
    BulkCancellationParameters,
    BulkParameters,
    BulkResendParameters,
    BulkRetryParameters,
)
from monitor.domain.delivery.selection import FINISHED, DeliveryFilter, check_filter
from monitor.domain.errors import FieldError, Invalid
from monitor.domain.vocab import DeliveryState

COUNTED_MAX = 1_000_000
"""Deliveries that the count of a dry run looks at, at most."""


class BulkAction(StrEnum):
    """What becomes of the chosen deliveries."""

    RETRY = "retry"
    CANCEL = "cancel"
    RESEND = "resend"


STATES = {
    BulkAction.RETRY: tuple(state for state in DeliveryState if state is not DeliveryState.DELIVERED),
    BulkAction.CANCEL: (DeliveryState.PENDING,),
    BulkAction.RESEND: FINISHED,
}
"""States of the deliveries that each action changes."""

_PARAMETERS: dict[BulkAction, type[BulkParameters]] = {
    BulkAction.RETRY: BulkRetryParameters,
    BulkAction.CANCEL: BulkCancellationParameters,
    BulkAction.RESEND: BulkResendParameters,
}


class BulkSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    What to do with which deliveries. ``dry_run`` only counts.

    An empty filter would choose every delivery, so it is refused unless ``all`` is true.
    """

    action: BulkAction
    filter: DeliveryFilter
    all: Annotated[bool, Meta(description="The filter is empty on purpose: every delivery.")] = False
    dry_run: bool = False


class BulkCount(msgspec.Struct, frozen=True):
    """Deliveries that match; at least so many if ``complete`` is false, since only ``COUNTED_MAX`` were looked at."""

    count: int
    complete: bool


class BulkLook(msgspec.Struct, frozen=True):
    """Deliveries that matched, each with its webhook; the last row looked at, and whether there may be more."""

    found: tuple[tuple[UUID, UUID], ...]
    cursor: UUID | None
    more: bool


class BulkResult(msgspec.Struct, frozen=True):
    """
    Result of an action.

    ``changed`` are the webhooks of the changed deliveries, one for each; ``skipped`` the deliveries that another
    transaction had; ``paced`` the webhooks that had none left of those that were spread over time before.
    """

    changed: tuple[UUID, ...]
    skipped: tuple[UUID, ...] = ()
    paced: frozenset[UUID] = frozenset()


def check_bulk(spec: BulkSpec) -> None:
    """
    Apply the rules that a type cannot express.

    Raises:
        Invalid: the filter is empty without ``all``, or breaks a rule.
    """
    is_empty = spec.filter == DeliveryFilter()
    if is_empty and not spec.all:
        detail = 'Give a condition, such as "state": "failed"; or "all": true to mean every delivery.'
        raise Invalid("An empty filter would choose every delivery.", errors=(FieldError("/filter", detail),))
    if spec.all and not is_empty:
        raise Invalid("The filter has conditions, so all is not true.", errors=(FieldError("/all", "Leave it out."),))
    check_filter(spec.filter, "/filter")
    allowed = STATES[spec.action]
    if spec.filter.state is not None and spec.filter.state not in allowed:
        detail = f"To {spec.action}, give one of {', '.join(allowed)}."
        raise Invalid(
            f"A {spec.filter.state} delivery cannot be chosen here.", errors=(FieldError("/filter/state", detail),)
        )


def bulk_parameters(spec: BulkSpec, now: datetime) -> BulkParameters:
    """Return the parameters of the job that *spec* describes; what is accepted after *now* is not chosen."""
    # Ids carry whole milliseconds, and those of this one are chosen.
    end = now + timedelta(milliseconds=1)
    to_at = end if spec.filter.to_at is None else min(spec.filter.to_at, end)
    return _PARAMETERS[spec.action](chosen=msgspec.structs.replace(spec.filter, to_at=to_at))


def bulk_action(parameters: BulkParameters) -> BulkAction:
    """Return the action of a job."""
    return next(action for action, type_ in _PARAMETERS.items() if type(parameters) is type_)


def states_of(action: BulkAction, chosen: DeliveryFilter) -> tuple[DeliveryState, ...]:
    """Return the states of the deliveries that *action* changes among those that are *chosen*."""
    return STATES[action] if chosen.state is None else (chosen.state,)
