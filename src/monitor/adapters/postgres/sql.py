"""A WHERE clause that grows condition by condition; values only ever travel as parameters."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self
from uuid import UUID

from monitor.domain.ids import id_floor


class Where:
    """Renders as ``WHERE a AND b``, or as nothing. ``args`` are its parameters in order."""

    def __init__(self, *conditions: str) -> None:
        self._conditions = list(conditions)
        self.args: list[Any] = []

    def __str__(self) -> str:
        return f"WHERE {' AND '.join(self._conditions)}" if self._conditions else ""

    def add(self, condition: str, *values: Any) -> Self:
        """Require *condition*, its ``{}`` standing for *values*; skipped when a value is ``None``."""
        if not any(value is None for value in values):
            first = len(self.args) + 1
            self.args.extend(values)
            self._conditions.append(condition.format(*(f"${first + i}" for i in range(len(values)))))
        return self

    def add_range(self, id_column: str, after: UUID | None, from_at: datetime | None, to_at: datetime | None) -> Self:
        """Require an id below *after* whose time lies in ``[from_at, to_at)``; each may be ``None``."""
        self.add(f"{id_column} < {{}}", after)
        self.add(f"{id_column} >= {{}}", id_floor(from_at) if from_at else None)
        return self.add(f"{id_column} < {{}}", id_floor(to_at) if to_at else None)

    def require(self, condition: str) -> Self:
        """Require *condition*, which takes no values."""
        self._conditions.append(condition)
        return self

    def never(self) -> Self:
        """Match nothing."""
        return self.require("false")

    def beside(self) -> Where:
        """Return another clause of the same statement: without conditions, with the same parameters."""
        twin = Where()
        twin.args = self.args
        return twin

    def also(self, other: Where) -> Self:
        """Require what *other* requires, a clause with the same parameters."""
        self._conditions += other._conditions
        return self

    @property
    def is_empty(self) -> bool:
        return not self._conditions

    def copy(self) -> Where:
        twin = Where(*self._conditions)
        twin.args = list(self.args)
        return twin
