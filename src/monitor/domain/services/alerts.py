"""Commands on alerts, and the transaction step by which any trigger changes an alert."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from monitor.domain.alerts import (
    Acknowledge,
    Action,
    Alert,
    AlertKind,
    AlertPolicy,
    Comment,
    HistoryEntry,
    Identity,
    Resolve,
    Unacknowledge,
    UpdateConditions,
    apply_trigger,
)
from monitor.domain.alerts.lifecycle import Trigger
from monitor.domain.alerts.notification import ToldChange, changed_at, event_types, notification_of, told_before
from monitor.domain.alerts.reminders import started
from monitor.domain.alerts.silences import Silence
from monitor.domain.errors import Conflict, FieldError, Invalid, NotFound, Raced, Unavailable, UnreadableRow
from monitor.domain.events import (
    AlertAcknowledged,
    AlertRaised,
    AlertResolved,
    AlertUnacknowledged,
    AlertUpdated,
    DomainEvent,
)
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.ports.queries.alerts import AlertQueries
from monitor.domain.ports.queries.resources import Queries
from monitor.domain.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from monitor.domain.services.idempotency import read_back, store_response, stored_response
from monitor.domain.text import LINES, text_errors
from monitor.domain.views.alerts import AlertView
from monitor.domain.vocab import Actor

MAX_BULK_ALERTS = 200


class AlertNote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A user's note on an alert."""

    note: Annotated[str, Meta(max_length=2000, extra_json_schema=LINES)] | None = None


class Acknowledgement(AlertNote, frozen=True, forbid_unknown_fields=True):
    """After ``expires_at`` the alert is pending again unless it was resolved."""

    expires_at: Annotated[datetime, Meta(tz=True)] | None = None


class AlertComment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A user's comment on an alert."""

    text: Annotated[str, Meta(min_length=1, max_length=2000, extra_json_schema=LINES)]


class BulkAcknowledgement(Acknowledgement, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One acknowledgement of several alerts."""

    ids: Annotated[list[UUID], Meta(min_length=1, max_length=MAX_BULK_ALERTS)]


class SkippedAlert(msgspec.Struct, frozen=True):
    id: UUID
    reason: str


class BulkAcknowledgementResult(msgspec.Struct, frozen=True):
    """``acknowledged`` includes alerts that were acknowledged before."""

    acknowledged: list[UUID]
    skipped: list[SkippedAlert]


class WebhookRef(msgspec.Struct, frozen=True):
    """The webhook of an alert as notifications show it; ``name`` is ``None`` for an alert about all webhooks."""

    name: str | None = None
    labels: Mapping[str, str] = {}


class AlertCommands:
    """Commands on alerts. Each writes one audit row in its transaction."""

    def __init__(
        self,
        unit_of_work: UnitOfWorkFactory,
        queries: Queries,
        alert_queries: AlertQueries,
        policy: AlertPolicy,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._queries = queries
        self._alert_queries = alert_queries
        self._policy = policy

    async def acknowledge(self, alert_id: UUID, acknowledgement: Acknowledgement, actor: Actor) -> AlertView:
        """
        Acknowledge an alert. Safe to repeat: only the first acknowledgement counts.

        Raises:
            NotFound.
            Conflict: it is resolved.
            Invalid: it would expire in the past, or its note breaks a rule.
        """
        _check_note(acknowledgement)
        async with self._unit_of_work() as uow:
            written = await self.acknowledge_within(uow, alert_id, acknowledgement, actor)
            await uow.commit()
        return await read_back(self._alert_queries.alert(alert_id), written)

    async def acknowledge_many(self, acknowledgement: BulkAcknowledgement, actor: Actor) -> BulkAcknowledgementResult:
        """
        Acknowledge several alerts, each in a transaction of its own, so that none is locked for the others. Those that
        cannot be are skipped, with the reason. Safe to repeat.

        Raises:
            Invalid.
            Unavailable: not one was acknowledged; after the first, the others are skipped.
        """
        _check_note(acknowledgement)
        done: list[UUID] = []
        skipped: list[SkippedAlert] = []
        outage: Unavailable | None = None
        for alert_id in sorted(set(acknowledgement.ids)):
            if outage is not None:
                skipped.append(SkippedAlert(alert_id, outage.detail))
                continue
            try:
                async with self._unit_of_work() as uow:
                    await self.acknowledge_within(uow, alert_id, acknowledgement, actor)
                    await uow.commit()
                done.append(alert_id)
            except Unavailable as error:
                if not done:
                    raise
                outage = error
                skipped.append(SkippedAlert(alert_id, error.detail))
            except (NotFound, Conflict, UnreadableRow) as error:
                skipped.append(SkippedAlert(alert_id, error.detail))
        return BulkAcknowledgementResult(done, skipped)

    async def resolve(self, alert_id: UUID, resolution: AlertNote, actor: Actor) -> AlertView:
        """Resolve an alert. Safe to repeat. Raises ``NotFound``, and ``Invalid`` for its note."""
        _check_note(resolution)
        return await self._apply(alert_id, "alert.resolve", resolution.note, actor, Resolve)

    async def unacknowledge(self, alert_id: UUID, reason: AlertNote, actor: Actor) -> AlertView:
        """
        Take the acknowledgement of an alert back: it is pending again. Safe to repeat.

        Raises:
            NotFound.
            Conflict: it is resolved.
            Invalid: the note breaks a rule.
        """
        _check_note(reason)
        return await self._apply(alert_id, "alert.unacknowledge", reason.note, actor, Unacknowledge)

    async def comment(
        self, alert_id: UUID, comment: AlertComment, actor: Actor, *, key: str | None = None, body: bytes = b""
    ) -> AlertView:
        """
        Add a comment to the history of an alert, in any state.

        Args:
            key: the Idempotency-Key, bound to *body* for 24 hours.

        Raises:
            NotFound.
            Invalid: the text breaks a rule.
            IdempotencyMismatch: *key* came with another body.
        """
        errors = [*text_errors("/text", comment.text, several_lines=True)]
        if not comment.text.strip():
            errors.append(FieldError("/text", "Write something."))
        if errors:
            raise Invalid("The comment breaks a rule; see errors.", errors=tuple(errors))
        scope = f"{actor.subject} comment {alert_id}"
        return await self._apply(alert_id, "alert.comment", comment.text, actor, Comment, scope, key, body)

    async def _apply(
        self,
        alert_id: UUID,
        action: str,
        text: str | None,
        actor: Actor,
        trigger: Callable[[str, Any, bool], Trigger],
        scope: str = "",
        key: str | None = None,
        body: bytes = b"",
    ) -> AlertView:
        """Apply a command's trigger to an alert, with an audit row if it changes anything."""
        async with self._unit_of_work() as uow:
            if done := await stored_response(uow, scope, key, body, AlertView):
                return await read_back(self._alert_queries.alert(alert_id), done)
            before = await uow.alerts.get(alert_id)
            webhook, silenced = await self._webhook_and_silenced(uow, before)
            applied = trigger(actor.subject, text, silenced)
            after = await transition_alert(
                uow, before, applied, identity=_identity(before), webhook=webhook, policy=self._policy
            )
            if after is not before:
                await _audit(uow, actor, action, before, text)
            written = _written(after or before, webhook, silenced)
            await store_response(uow, scope, key, written)
            await uow.commit()
        return await read_back(self._alert_queries.alert(alert_id), written)

    async def acknowledge_within(
        self, uow: UnitOfWork, alert_id: UUID, acknowledgement: Acknowledgement, actor: Actor
    ) -> AlertView:
        """Acknowledge an alert in the transaction of the caller, which commits. See :meth:`acknowledge`."""
        if acknowledgement.expires_at is not None and acknowledgement.expires_at <= uow.now:
            detail = "Choose a time in the future, or leave it out."
            raise Invalid("The acknowledgement breaks a rule.", errors=(FieldError("/expires_at", detail),))
        before = await uow.alerts.get(alert_id)
        webhook, silenced = await self._webhook_and_silenced(uow, before)
        trigger = Acknowledge(actor.subject, acknowledgement.note, acknowledgement.expires_at, silenced)
        after = await transition_alert(
            uow, before, trigger, identity=_identity(before), webhook=webhook, policy=self._policy
        )
        if after is not before:
            await _audit(uow, actor, "alert.acknowledge", before, acknowledgement.note)
        return _written(after or before, webhook, silenced)

    async def _webhook_and_silenced(self, uow: UnitOfWork, alert: Alert) -> tuple[WebhookRef, bool]:
        """Return the webhook of *alert*, and whether a silence matches."""
        webhook = WebhookRef()
        if alert.webhook_id != SYSTEM_ID:
            try:
                view = await self._queries.webhook(alert.webhook_id)
                webhook = WebhookRef(view.name, view.labels)
            except NotFound:
                webhook = WebhookRef("a deleted webhook")
            except UnreadableRow:
                webhook = WebhookRef("a webhook of another version")
        return webhook, is_silenced(await uow.silences.active(), alert.webhook_id, webhook, alert.kind, uow.now)


async def transition_alert(
    uow: UnitOfWork,
    before: Alert | None,
    trigger: Trigger,
    *,
    identity: Identity,
    webhook: WebhookRef,
    policy: AlertPolicy,
) -> Alert | None:
    """
    Apply *trigger* and store the alert, its history, notifications and domain events.

    Returns:
        *before* itself if nothing changes.

    Raises:
        Conflict: the transition is not allowed.
        Raced: nothing was stored; roll back and repeat.
    """
    after, entries = apply_trigger(before, trigger, uow.now, identity=identity, policy=policy)
    if after is None or after is before:
        return before
    if not await uow.alerts.save(before, after, entries):
        raise Raced("The alert was changed at the same time; try again.")
    if (schedule := started(before, after, entries)) is not None:
        await uow.reminders.save(schedule)
    types = event_types(before, after, entries, silenced=trigger.silenced)
    if types:
        conditions = trigger.conditions if isinstance(trigger, UpdateConditions) else None
        told = told_before(before, entries)
        await uow.notifications.add(
            [
                notification_of(
                    type_,
                    after,
                    webhook.name,
                    webhook.labels,
                    version,
                    change=ToldChange(changed_at(after, entries, version), uow.now),
                    conditions=conditions,
                    told=told,
                )
                for type_, version in types.items()
            ]
        )
    if entries:
        uow.record(domain_event_of(after, entries))
    return after


def domain_event_of(alert: Alert, entries: Sequence[HistoryEntry]) -> DomainEvent:
    """Return the domain event for *entries*, at least one."""
    by_action = {entry.action: entry for entry in entries}
    if by_action.keys() & {Action.RAISED, Action.REOPENED}:
        return AlertRaised(alert.id, alert.webhook_id, alert.kind, alert.severity, alert.title)
    if (resolved := by_action.get(Action.RESOLVED)) is not None:
        return AlertResolved(alert.id, alert.webhook_id, resolved.actor)
    if (acknowledged := by_action.get(Action.ACKNOWLEDGED)) is not None:
        return AlertAcknowledged(alert.id, alert.webhook_id, acknowledged.actor)
    if (taken_back := by_action.get(Action.UNACKNOWLEDGED)) is not None:
        return AlertUnacknowledged(alert.id, alert.webhook_id, taken_back.actor)
    return AlertUpdated(alert.id, alert.webhook_id)


def is_silenced(
    silences: Sequence[Silence], webhook_id: UUID, webhook: WebhookRef, kind: AlertKind, now: datetime
) -> bool:
    """Whether any of *silences* matches an alert of *kind* about the webhook."""
    return any(silence.matches(webhook_id, webhook.labels, kind, now) for silence in silences)


def _written(alert: Alert, webhook: WebhookRef, silenced: bool) -> AlertView:
    """Return the view of *alert* as it was written, without its history."""
    about = None if alert.webhook_id == SYSTEM_ID else alert.webhook_id
    shown = {
        "webhook_id": about,
        "webhook_name": webhook.name,
        "silenced": silenced,
        "worst_severity": alert.worst,
    }
    return msgspec.convert(msgspec.structs.asdict(alert) | shown, AlertView)


def _check_note(of: AlertNote) -> None:
    if errors := tuple(text_errors("/note", of.note, several_lines=True)):
        raise Invalid("The note breaks a rule; see errors.", errors=errors)


def _identity(alert: Alert) -> Identity:
    return Identity(alert.id, alert.webhook_id, alert.kind)


async def _audit(uow: UnitOfWork, actor: Actor, action: str, alert: Alert, note: str | None) -> None:
    await uow.audit.add(actor, action, f"alert:{alert.id}", before={"state": alert.state}, after={"note": note})
