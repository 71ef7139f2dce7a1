"""Query parameters: pages, times, and the check of those that are ambiguous or empty."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import parse_qsl

import msgspec
from litestar import Request
from litestar.params import QueryParameter

from monitor.domain.delivery.event_types import FILTER_TYPE
from monitor.domain.delivery.selection import ATTEMPT_ERROR, LAST_ERROR, STATUS_CODES, filter_errors
from monitor.domain.errors import FieldError, Invalid, Malformed
from monitor.domain.paging import MAX_LIMIT
from monitor.domain.services.publish import EARLIEST, LATEST

NO_NUL = r"^[^\x00]*$"
"""The ``pattern`` of a text parameter: PostgreSQL has no NUL in text."""

Limit = Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="Rows in a page.")]
"""``limit: Limit = DEFAULT_LIMIT`` in a handler."""

Cursor = Annotated[
    str | None,
    QueryParameter(
        min_length=1, max_length=128, pattern="^[A-Za-z0-9_-]+$", description="`next_cursor` of the page before."
    ),
]
"""``cursor: Cursor = None`` in a handler; read it with :func:`monitor.domain.paging.decode_cursor`."""

From = Annotated[
    str | None,
    QueryParameter(name="from", format="date-time", max_length=64, description="Start, included (RFC 3339)."),
]
To = Annotated[
    str | None, QueryParameter(name="to", format="date-time", max_length=64, description="End, excluded (RFC 3339).")
]

LastError = Annotated[
    str | None,
    QueryParameter(
        max_length=32,
        schema_extra=LAST_ERROR,
        description="Only whose last attempt failed so: an error kind (`timeout`) or a status code (`503`); or"
        " `expired`.",
    ),
]
AttemptError = Annotated[
    str | None,
    QueryParameter(
        max_length=32,
        schema_extra=ATTEMPT_ERROR,
        description="Only those that failed so: an error kind (`timeout`) or a status code (`503`).",
    ),
]
StatusCode = Annotated[
    int | None,
    QueryParameter(ge=STATUS_CODES[0], le=STATUS_CODES[1], description="Only whose last attempt was answered so."),
]
EventType = Annotated[
    str | None,
    QueryParameter(
        min_length=1,
        max_length=128,
        schema_extra=FILTER_TYPE,
        description="Only of this type, or of types with this prefix: `order.*`.",
    ),
]
"""Conditions of lists; check these with :func:`check_conditions`."""

TEXT = frozenset({"q", "label", "event_type", "type", "order_key"})
"""Parameters that hold any text, ``null`` too."""


def parse_time(text: str | None, name: str) -> datetime | None:
    """
    Read a time of the query string.

    Raises:
        Malformed: not a time of RFC 3339. A bare number is none either.
        Invalid: without an offset, since a guessed one would select other hours.
    """
    if text is None:
        return None
    pointer = f"/query/{name}"
    try:
        # A plus sign that was not escaped arrives as a space.
        at = msgspec.convert(text.replace(" ", "+"), datetime)
    except (msgspec.ValidationError, ValueError):
        detail = "Write it like 2026-01-31T23:59:00Z."
        raise Malformed("A time cannot be read.", errors=(FieldError(pointer, detail),)) from None
    if at.tzinfo is None:
        raise Invalid("A time lacks its offset from UTC.", errors=(FieldError(pointer, "End it with Z or +02:00."),))
    # Nothing is kept from the ends of the calendar, where a time with an offset may have none in UTC.
    return min(max(at, EARLIEST), LATEST)


def time_range(from_at: str | None, to_at: str | None) -> tuple[datetime | None, datetime | None]:
    """Read both ends with :func:`parse_time`."""
    return parse_time(from_at, "from"), parse_time(to_at, "to")


def check_conditions(
    *,
    error: str | None = None,
    attempt_error: str | None = None,
    event_type: tuple[str, str | None] = ("event_type", None),
) -> None:
    """
    Check conditions of a list.

    Args:
        error: of deliveries, *attempt_error* of attempts.
        event_type: the name of the parameter, and its value.

    Raises:
        Invalid: one has a value that nothing has.
    """
    if errors := filter_errors("/query", error=error, attempt_error=attempt_error, event_type=event_type):
        raise Invalid("A condition has a value that nothing has; see errors.", errors=tuple(errors))


async def check_query(request: Request[Any, Any, Any]) -> None:
    """
    The ``before_request`` of routes with filters: Litestar drops an ambiguous filter, and everything would be listed.

    Raises:
        Malformed: a parameter is given twice, or as ``null``.
    """
    if not request.scope["query_string"]:
        return
    # Not request.query_params, where null and true are no longer texts.
    pairs = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
    errors = [
        FieldError(f"/query/{name}", "Give it once.")
        for name, count in Counter(name for name, _ in pairs).items()
        if count > 1
    ]
    errors += [
        FieldError(f"/query/{name}", "Leave it out to mean nothing.")
        for name, value in pairs
        if value == "null" and name not in TEXT
    ]
    if errors:
        raise Malformed("A parameter cannot be read.", errors=tuple(errors[:20]))
