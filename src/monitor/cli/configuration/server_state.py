"""What a server has, read from its answers: webhooks, and silences that have not ended. Pure."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from monitor.domain.alerts.alert import AlertKind
from monitor.domain.alerts.recurrence import Recurrence
from monitor.domain.alerts.silences import MAX_SERIES, SilenceSpec
from monitor.domain.vocab import OWNER_LABEL
from monitor.domain.webhooks.registration import WebhookSpec

_MARK = re.compile(rf"\n\[{re.escape(OWNER_LABEL)}=(\S+) ([0-9a-f]{{12}})\]\Z")
_MEMBERS = WebhookSpec.__struct_fields__


class WebhookState(msgspec.Struct, frozen=True):
    """
    A webhook of the server.

    Attributes:
        spec: without the owner's label; headers are masked.
        auto_disabled: Monitor has disabled it.
    """

    id: str
    version: int
    spec: WebhookSpec
    owner: str | None = None
    auto_disabled: bool = False

    @property
    def name(self) -> str:
        return self.spec.name


class SilenceState(msgspec.Struct, frozen=True):
    """
    A silence of the server that has not ended.

    Attributes:
        spec: the request that would make it, without the mark in its reason.
        digest: of the silence in the file that it was made from.
    """

    id: str
    spec: SilenceSpec
    webhook_name: str | None = None
    owner: str | None = None
    digest: str | None = None

    @property
    def name(self) -> str:
        return self.spec.reason


class ServerState(msgspec.Struct, frozen=True):
    webhooks: list[WebhookState]
    silences: list[SilenceState]
    at: datetime
    """The server's time."""


class _SilenceRow(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    reason: str
    created_at: datetime
    starts_at: datetime
    ends_at: datetime
    duration_s: int | None = None
    recurrence: Recurrence | None = None
    hold_deliveries: bool = False
    webhook_id: UUID | None = None
    webhook_name: str | None = None
    label: str | None = None
    kind: AlertKind | None = None


def read_webhook(row: dict[str, Any]) -> WebhookState:
    """Read a webhook of an answer. Raises ``msgspec.ValidationError``: of a version that this one cannot read."""
    members = {name: row[name] for name in _MEMBERS if name in row}
    members["labels"] = labels = dict(members["labels"])
    owner = labels.pop(OWNER_LABEL, None)
    auto_disabled = row.get("disabled") is not None
    return WebhookState(row["id"], row["version"], msgspec.convert(members, WebhookSpec), owner, auto_disabled)


def read_silence(row: dict[str, Any]) -> SilenceState:
    """Read a silence of an answer. Raises as :func:`read_webhook`."""
    silence = msgspec.convert(row, _SilenceRow)
    mark = _MARK.search(silence.reason)
    has_no_end = silence.recurrence is not None and silence.ends_at - silence.created_at >= MAX_SERIES
    spec = SilenceSpec(
        reason=silence.reason[: mark.start()] if mark else silence.reason,
        starts_at=silence.starts_at,
        ends_at=None if has_no_end else silence.ends_at,
        duration_s=silence.duration_s,
        recurrence=silence.recurrence,
        hold_deliveries=silence.hold_deliveries,
        webhook_id=silence.webhook_id,
        label=silence.label,
        kind=silence.kind,
    )
    return SilenceState(silence.id, spec, silence.webhook_name, *(mark.groups() if mark else (None, None)))


def marked_reason(reason: str, owner: str, digest: str) -> str:
    """Return *reason* as it is stored of a silence of *owner*: silences have no labels."""
    return f"{reason}\n[{OWNER_LABEL}={owner} {digest}]"
