"""Filters of deliveries: of lists, and of work on all that match."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from monitor.domain.delivery.event_types import FILTER_TYPE, is_pattern, patterns_for
from monitor.domain.errors import FieldError, Invalid
from monitor.domain.ids import id_floor
from monitor.domain.vocab import DELIVERY_ERRORS, DeliveryState, ErrorKind

FINISHED = tuple(state for state in DeliveryState if state is not DeliveryState.PENDING)

STATUS_CODES = (100, 599)
"""The least and the greatest status code of HTTP (RFC 9110 section 15)."""

LAST_ERROR = {"pattern": f"^({'|'.join(DELIVERY_ERRORS)}|[1-5][0-9]{{2}})$"}
ATTEMPT_ERROR = {"pattern": f"^({'|'.join(ErrorKind)}|[1-9][0-9]{{2}})$"}
"""JSON Schemas of the ``error`` of deliveries and of attempts, which receivers may have answered with any three digits,
for the documentation only; :func:`filter_errors` decides by the same patterns."""

IDS_MAX = 1_000
"""Deliveries that a filter may name."""

_Time = Annotated[datetime, Meta(tz=True)]


class DeliveryFilter(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    rename={"from_at": "from", "to_at": "to"},
):
    """
    Conditions on deliveries, all of which must hold; null matches any.

    ``event_type`` is exact or a prefix (``order.*``); ``label`` is one of the webhook, as ``name`` or ``name=value``;
    ``error`` and ``status_code`` are those of the last attempt; an expired delivery has the error ``expired``.
    """

    webhook_id: Annotated[UUID | None, Meta(description="Only of this webhook.")] = None
    state: Annotated[DeliveryState | None, Meta(description="Only in this state.")] = None
    event_id: Annotated[UUID | None, Meta(description="Only of this event.")] = None
    error: Annotated[
        Annotated[str, Meta(max_length=32, extra_json_schema=LAST_ERROR)] | None,
        Meta(description="Only whose last attempt failed so: an error kind or a status code; or `expired`."),
    ] = None
    from_at: Annotated[_Time | None, Meta(description="Accepted at or after this time.")] = None
    to_at: Annotated[_Time | None, Meta(description="Accepted before this time.")] = None
    id: Annotated[UUID | None, Meta(description="Only this delivery.")] = None
    status_code: Annotated[
        Annotated[int, Meta(ge=STATUS_CODES[0], le=STATUS_CODES[1])] | None,
        Meta(description="Only whose last attempt was answered so."),
    ] = None
    event_type: Annotated[
        Annotated[str, Meta(max_length=128, extra_json_schema=FILTER_TYPE)] | None,
        Meta(description="Only of events of this type, or of types with this prefix: `order.*`."),
    ] = None
    label: Annotated[
        Annotated[str, Meta(min_length=1, max_length=257, pattern=r"^[^\x00]*$")] | None,
        Meta(description="Only of webhooks with this label: its name, or `name=value`."),
    ] = None
    ids: Annotated[
        Annotated[tuple[UUID, ...], Meta(min_length=1, max_length=IDS_MAX)] | None,
        Meta(description="Only these deliveries."),
    ] = None

    @property
    def errors(self) -> tuple[str | None, int | None]:
        """Error kind and status code that ``error`` stands for: ``503`` is both."""
        if self.error is not None and self.error.isdigit():
            return ErrorKind.STATUS, int(self.error)
        return self.error, None

    @property
    def error_kind(self) -> str | None:
        """The error kind that follows from ``error`` or ``status_code``; an answer outside 2xx is ``status``."""
        if self.status_code is not None and not 200 <= self.status_code < 300:
            return self.errors[0] or ErrorKind.STATUS
        return self.errors[0]


class DeliveryRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a filter looks at in a delivery. ``event_type`` is null past the event's retention."""

    id: UUID
    event_id: UUID
    webhook_id: UUID
    state: DeliveryState
    status_code: int | None
    error: str | None
    event_type: str | None
    labels: Mapping[str, str]


def matches(chosen: DeliveryFilter, row: DeliveryRow) -> bool:
    """Whether *row* meets every condition of *chosen*. Pure; SQL repeats it."""
    error, code = chosen.errors
    return (
        chosen.webhook_id in (None, row.webhook_id)
        and chosen.state in (None, row.state)
        and chosen.event_id in (None, row.event_id)
        and chosen.id in (None, row.id)
        and (chosen.ids is None or row.id in chosen.ids)
        and error in (None, row.error)
        and code in (None, row.status_code)
        and chosen.status_code in (None, row.status_code)
        and (chosen.from_at is None or row.id >= id_floor(chosen.from_at))
        and (chosen.to_at is None or row.id < id_floor(chosen.to_at))
        and is_of_type(row.event_type, chosen.event_type)
        and has_label(row.labels, chosen.label)
    )


def is_of_type(event_type: str | None, wanted: str | None) -> bool:
    """Whether *event_type* is *wanted*, or begins so if *wanted* ends with ``.*``; ``None`` wants any."""
    return wanted is None or (event_type is not None and wanted in patterns_for(event_type))


def has_label(labels: Mapping[str, str], wanted: str | None) -> bool:
    """Whether *labels* have *wanted*, ``name`` or ``name=value``; ``None`` wants any."""
    if wanted is None:
        return True
    name, separator, value = wanted.partition("=")
    return labels.get(name) == value if separator else name in labels


def filter_errors(
    at: str,
    *,
    error: str | None = None,
    attempt_error: str | None = None,
    event_type: tuple[str, str | None] = ("event_type", None),
    from_at: datetime | None = None,
    to_at: datetime | None = None,
) -> list[FieldError]:
    """
    Return what is wrong with the conditions of a filter, one error for each.

    Args:
        at: the JSON pointer of the filter.
        error: of deliveries, *attempt_error* of attempts.
        event_type: the name of the member, and its value.
    """
    errors = []
    for value, schema, kinds in ((error, LAST_ERROR, DELIVERY_ERRORS), (attempt_error, ATTEMPT_ERROR, ErrorKind)):
        # By the pattern: other digits than those of ASCII make no status code.
        if value is not None and not re.fullmatch(schema["pattern"], value):
            errors.append(FieldError(f"{at}/error", f"Give one of {', '.join(kinds)}, or a status code."))
    name, wanted = event_type
    if wanted is not None and (not is_pattern(wanted) or wanted == "*"):
        detail = "Give a type such as order.paid, or a prefix such as order.*; leave it out to mean any."
        errors.append(FieldError(f"{at}/{name}", detail))
    if from_at is not None and to_at is not None and not from_at < to_at:
        errors.append(FieldError(f"{at}/from", "Let from lie before to."))
    return errors


def check_filter(chosen: DeliveryFilter, at: str) -> None:
    """
    Apply the rules that a type cannot express.

    Raises:
        Invalid: with one error for each wrong member, below the JSON pointer *at*.
    """
    errors = filter_errors(
        at,
        error=chosen.error,
        event_type=("event_type", chosen.event_type),
        from_at=chosen.from_at,
        to_at=chosen.to_at,
    )
    if errors:
        raise Invalid("The filter breaks a rule; see errors.", errors=tuple(errors))
