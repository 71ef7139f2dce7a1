"""Times in a query string."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from litestar.params import QueryParameter

from monitor.domain.errors import FieldError, Invalid, Malformed
from monitor.domain.services.publish import EARLIEST, LATEST

From = Annotated[
    str | None,
    QueryParameter(name="from", format="date-time", max_length=64, description="Start, included (RFC 3339)."),
]
To = Annotated[
    str | None, QueryParameter(name="to", format="date-time", max_length=64, description="End, excluded (RFC 3339).")
]


def checked(text: str | None, name: str) -> datetime | None:
    """
    Read a time of the query string.

    Raises:
        Malformed: not a time of RFC 3339. A bare number is none either.
        Invalid: without an offset, since guessing one would answer for other hours than were meant.
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
