"""Silences: which alerts cause no notifications, until when and why."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from monitor.domain.alerts.alert import AlertKind
from monitor.domain.errors import FieldError, Invalid
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.text import LINE, LINES, text_errors

MAX_DURATION = timedelta(days=365)


class SilenceSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    A silence to create. At least one of ``webhook_id``, ``label`` and ``kind`` is needed; all that are given must
    match. ``label`` is ``name=value`` of a webhook, or ``name`` for any value.
    """

    reason: Annotated[
        str,
        Meta(min_length=1, max_length=500, description="Why the alerts are silenced.", extra_json_schema=LINES),
    ]
    ends_at: Annotated[datetime, Meta(tz=True, description="End of the silence; at most a year from now.")]
    webhook_id: UUID | None = None
    label: Annotated[str, Meta(min_length=1, max_length=321, extra_json_schema=LINE)] | None = None
    kind: AlertKind | None = None


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """A silence, active from ``created_at`` until ``ends_at``."""

    id: UUID
    created_by: str
    created_at: datetime
    reason: str
    ends_at: datetime
    webhook_id: UUID | None = None
    label: str | None = None
    kind: AlertKind | None = None

    def matches(self, webhook_id: UUID, labels: Mapping[str, str], kind: AlertKind, now: datetime) -> bool:
        """Whether an alert of *kind* about a webhook with *labels* is silenced at *now*."""
        if not self.created_at <= now < self.ends_at:
            return False
        if self.webhook_id is not None and self.webhook_id != webhook_id:
            return False
        if self.kind is not None and self.kind is not kind:
            return False
        return self.label is None or has_label(labels, self.label)


def has_label(labels: Mapping[str, str], wanted: str) -> bool:
    """Whether *labels* holds *wanted*, ``name=value`` or a name alone."""
    name, separator, value = wanted.partition("=")
    return name in labels and (not separator or labels[name] == value)


def check_silence(spec: SilenceSpec, now: datetime) -> None:
    """
    Check the rules that the types do not express.

    Raises:
        Invalid: with one error for each wrong member.
    """
    errors = [
        *text_errors("/reason", spec.reason, several_lines=True),
        *text_errors("/label", spec.label),
    ]
    if spec.webhook_id is None and spec.label is None and spec.kind is None:
        errors.append(FieldError("", "Name what to silence: webhook_id, label or kind."))
    if spec.webhook_id == SYSTEM_ID:
        errors.append(FieldError("/webhook_id", "Silence the kind mass_failure instead."))
    if not now < spec.ends_at <= now + MAX_DURATION:
        errors.append(FieldError("/ends_at", f"Choose a time in the future, within {MAX_DURATION.days} days."))
    if errors:
        raise Invalid("The silence breaks a rule; see errors.", errors=tuple(errors))
