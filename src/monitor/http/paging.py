"""Keyset pages: how many rows, and from where on."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated
from uuid import UUID

from litestar.params import QueryParameter

from monitor.domain.errors import FieldError, Malformed

DEFAULT_LIMIT = 50
MAX_LIMIT = 200

NO_NUL = r"^[^\x00]*$"
"""The ``pattern`` of a text parameter: PostgreSQL has no NUL in text."""

Limit = Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="Rows in a page.")]
"""``limit: Limit = DEFAULT_LIMIT`` in a handler."""

Cursor = Annotated[str | None, QueryParameter(max_length=64, description="`next_cursor` of the page before.")]
"""``cursor: Cursor = None`` in a handler; read it with :func:`decode_cursor`."""


def encode_cursor(last_id: UUID) -> str:
    """Return the cursor of the page that follows the row *last_id*: opaque to clients."""
    return base64.urlsafe_b64encode(last_id.bytes).rstrip(b"=").decode()


def decode_cursor(cursor: str | None) -> UUID | None:
    """
    Return the id after which the page begins; ``None`` for the first page.

    Raises:
        Malformed: not a cursor that :func:`encode_cursor` made.
    """
    if cursor is None:
        return None
    try:
        last_id = UUID(bytes=base64.urlsafe_b64decode(cursor + "=="))
    except (binascii.Error, ValueError):
        last_id = None
    # Written back to compare: the decoder skips foreign characters and ignores spare bits.
    if last_id is None or encode_cursor(last_id) != cursor:
        detail = "Pass next_cursor as it was answered, or leave it out."
        raise Malformed("The cursor cannot be read.", errors=(FieldError("/query/cursor", detail),))
    return last_id
