"""The audit log."""

from __future__ import annotations

from typing import Any, Protocol

from monitor.domain.vocab import Actor


class AuditLog(Protocol):
    """Append-only log of changes by users, and of what Monitor changes unasked."""

    async def add(
        self, actor: Actor, action: str, target: str, *, before: dict[str, Any] | None, after: dict[str, Any] | None
    ) -> None:
        """Append a row; *before* and *after* hold the changed members, never a secret."""
        ...
