"""Query strings that are ambiguous or empty: Litestar drops such a filter, and everything would be listed."""

from __future__ import annotations

from collections import Counter
from typing import Any
from urllib.parse import parse_qsl

from litestar import Request

from monitor.domain.errors import FieldError, Malformed

TEXT = frozenset({"q", "label", "event_type", "type"})
"""Parameters that hold any text, ``null`` too."""


async def check_query(request: Request[Any, Any, Any]) -> None:
    """
    Be the ``before_request`` of routes with filters.

    Raises:
        Malformed: a parameter is given twice, or as ``null``.
    """
    if not request.scope["query_string"]:
        return
    # Not request.query_params, where null and true are no texts any more.
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
