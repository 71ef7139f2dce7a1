"""Read model of the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec


class AuditView(msgspec.Struct, frozen=True):
    """One changing call. ``before`` and ``after`` hold the changed members, never a secret."""

    id: UUID
    at: datetime
    subject: str
    role: str | None
    request_id: str | None
    action: str
    target: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
