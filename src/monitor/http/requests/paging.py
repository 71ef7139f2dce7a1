"""The query parameters of keyset pages."""

from __future__ import annotations

from typing import Annotated

from litestar.params import QueryParameter

from monitor.domain.paging import MAX_LIMIT

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
