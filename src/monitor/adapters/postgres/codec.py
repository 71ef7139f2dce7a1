"""Values between PostgreSQL and the domain's structs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import asyncpg
import msgspec

from monitor.domain.vocab import HealthStatus

T = TypeVar("T")

_decode = msgspec.json.Decoder().decode


def jsonb(value: Any) -> str:
    """Encode for a parameter of type jsonb or json."""
    return msgspec.json.encode(value).decode()


def from_jsonb(value: Any, type_: type[T]) -> T:
    """Read a column of type jsonb or json: text from asyncpg, plain objects from SQLAlchemy."""
    return msgspec.convert(_plain(value), type_, strict=False)


def from_row(row: asyncpg.Record, type_: type[T], *jsonb_columns: str, **members: Any) -> T:
    """
    Read a row into the struct that names its members like the columns.

    Args:
        jsonb_columns: columns to decode.
        members: take precedence over columns; ``UNSET`` leaves a member at its default.
    """
    values = dict(row.items()) | {name: _plain(row[name]) for name in jsonb_columns}
    values |= {name: value for name, value in members.items() if value is not msgspec.UNSET}
    return msgspec.convert(values, type_)


def health_of(row: asyncpg.Record, type_: Callable[[HealthStatus, str, float, datetime | None], T]) -> T:
    """Read the health columns of a lane as a ``Health`` or ``HealthView``."""
    status = HealthStatus(row["health_status"])
    return type_(status, row["health_reason"], row["failure_probability"], row["health_changed_at"])


def _plain(value: Any) -> Any:
    return _decode(value) if isinstance(value, str) else value
