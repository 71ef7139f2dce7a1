"""Values on their way between PostgreSQL and the domain."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_decode = msgspec.json.Decoder().decode


def jsonb(value: Any) -> str:
    """Encode for a jsonb parameter."""
    return msgspec.json.encode(value).decode()


def from_jsonb(value: Any, type_: type[T]) -> T:
    """Read a jsonb column: text from asyncpg, plain objects from SQLAlchemy."""
    builtins = _decode(value) if isinstance(value, str) else value
    return msgspec.convert(builtins, type_, strict=False)
