"""Alerts as people handle them, and the one step by which any trigger changes one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from monitor.domain.alerts import (
    Acknowledge,
    Action,
    Alert,
    AlertKind,
    AlertPolicy,
    HistoryEntry,
    Identity,
    Resolve,
    apply_trigger,
)
from monitor.domain.alerts.lifecycle import Trigger
from monitor.domain.alerts.notification import event_types, notification_of
from monitor.domain.alerts.silences import Silence, SilenceSpec, check_silence
from monitor.domain.errors import Conflict, FieldError, Invalid, NotFound, Raced
from monitor.domain.events import (
    AlertAcknowledged,
    AlertRaised,
    AlertResolved,
    AlertUpdated,
    DomainEvent,
    SilencesChanged,
)
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.ports.clock import Clock
from monitor.domain.ports.queries.alerts import AlertQueries
from monitor.domain.ports.queries.resources import Queries
from monitor.domain.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from monitor.domain.views.alerts import AlertView, SilencePreview, SilenceView
from monitor.domain.vocab import Actor

MAX_AT_ONCE = 200


class Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person says about an alert."""

    note: Annotated[str, Meta(max_length=2000)] | None = None


class Acknowledgement(Decision, frozen=True, forbid_unknown_fields=True):
    """``expires_at``: after this it is pending again unless it was resolved."""

    expires_at: Annotated[datetime, Meta(tz=True)] | None = None


class ManyAcknowledgements(Acknowledgement, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One word on several alerts."""

    ids: Annotated[list[UUID], Meta(min_length=1, max_length=MAX_AT_ONCE)]


class Skipped(msgspec.Struct, frozen=True):
    id: UUID
    reason: str


class AcknowledgedMany(msgspec.Struct, frozen=True):
    """``acknowledged`` holds those that are acknowledged now, whoever was first."""

    acknowledged: list[UUID]
    skipped: list[Skipped]


class WebhookRef(msgspec.Struct, frozen=True):
    """The webhook that an alert is about, as far as telling of it needs; no name for all of them."""

    name: str | None = None
    labels: Mapping[str, str] = {}


class AlertCommands:
    """Commands on alerts and silences. Each writes one audit row in its transaction."""

    def __init__(
        self,
        unit_of_work: UnitOfWorkFactory,
        queries: Queries,
        alert_queries: AlertQueries,
        clock: Clock,
        policy: AlertPolicy,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._queries = queries
        self._alert_queries = alert_queries
        self._clock = clock
        self._policy = policy

    async def acknowledge(self, alert_id: UUID, said: Acknowledgement, actor: Actor) -> AlertView:
        """
        Take an alert on. The first wins; a repeat, by whomever, changes nothing.

        Raises:
            NotFound.
            Conflict: it is resolved.
            Invalid: it would expire in the past.
        """
        async with self._unit_of_work() as uow:
            await self._acknowledge(uow, alert_id, said, actor)
            await uow.commit()
        return await self._alert_queries.alert(alert_id)

    async def acknowledge_many(self, said: ManyAcknowledgements, actor: Actor) -> AcknowledgedMany:
        """Take several alerts on at once; what cannot be is skipped, with the reason. Raises ``Invalid``."""
        done: list[UUID] = []
        skipped: list[Skipped] = []
        async with self._unit_of_work() as uow:
            # In one order, so that two such calls never wait for each other.
            for alert_id in sorted(set(said.ids)):
                try:
                    await self._acknowledge(uow, alert_id, said, actor)
                    done.append(alert_id)
                except (NotFound, Conflict) as error:
                    skipped.append(Skipped(alert_id, error.detail))
            await uow.commit()
        return AcknowledgedMany(done, skipped)

    async def resolve(self, alert_id: UUID, said: Decision, actor: Actor) -> AlertView:
        """Say that an alert is over. Safe to repeat. Raises ``NotFound``."""
        async with self._unit_of_work() as uow:
            before = await uow.alerts.get(alert_id)
            about, silenced = await self._about(uow, before)
            trigger = Resolve(actor.subject, said.note, silenced)
            after = await transition_alert(
                uow, before, trigger, identity=_identity(before), webhook=about, policy=self._policy
            )
            if after is not before:
                await _audit(uow, actor, "alert.resolve", before, said.note)
            await uow.commit()
        return await self._alert_queries.alert(alert_id)

    async def silence(self, spec: SilenceSpec, actor: Actor) -> SilenceView:
        """Keep subscribers from hearing of what *spec* matches. Raises ``Invalid``."""
        async with self._unit_of_work() as uow:
            check_silence(spec, uow.now)
            silence = Silence(
                id=self._clock.new_id(), created_by=actor.subject, created_at=uow.now, **msgspec.structs.asdict(spec)
            )
            await uow.silences.add(silence)
            await uow.audit.add(
                actor, "silence.create", f"silence:{silence.id}", before=None, after=msgspec.to_builtins(silence)
            )
            uow.record(SilencesChanged())
            await uow.commit()
        return await self._alert_queries.silence(silence.id)

    async def preview(self, spec: SilenceSpec) -> SilencePreview:
        """Tell what a silence would match, without making it. Raises ``Invalid``."""
        check_silence(spec, await self._queries.now())
        return await self._alert_queries.preview(spec)

    async def end_silence(self, silence_id: UUID, actor: Actor) -> None:
        """End a silence now; it stays in the list. Safe to repeat. Raises ``NotFound``."""
        async with self._unit_of_work() as uow:
            if await uow.silences.end(silence_id):
                await uow.audit.add(actor, "silence.end", f"silence:{silence_id}", before=None, after=None)
                uow.record(SilencesChanged())
            await uow.commit()

    async def _acknowledge(self, uow: UnitOfWork, alert_id: UUID, said: Acknowledgement, actor: Actor) -> None:
        if said.expires_at is not None and said.expires_at <= uow.now:
            detail = "Let it expire in the future, or leave it out."
            raise Invalid("The acknowledgement breaks a rule.", errors=(FieldError("/expires_at", detail),))
        before = await uow.alerts.get(alert_id)
        about, silenced = await self._about(uow, before)
        trigger = Acknowledge(actor.subject, said.note, said.expires_at, silenced)
        after = await transition_alert(
            uow, before, trigger, identity=_identity(before), webhook=about, policy=self._policy
        )
        if after is not before:
            await _audit(uow, actor, "alert.acknowledge", before, said.note)

    async def _about(self, uow: UnitOfWork, alert: Alert) -> tuple[WebhookRef, bool]:
        """Return whom *alert* is about, and whether a silence matches."""
        about = WebhookRef()
        if alert.webhook_id != SYSTEM_ID:
            try:
                webhook = await self._queries.webhook(alert.webhook_id)
                about = WebhookRef(webhook.name, webhook.labels)
            except NotFound:
                about = WebhookRef("a deleted webhook")
        return about, is_silenced(await uow.silences.active(), alert.webhook_id, about, alert.kind, uow.now)


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
    Apply *trigger* and store what follows from it: the alert, its history, what to tell and what happened.

    Returns:
        *before* itself if nothing changes.

    Raises:
        Conflict: the transition is not allowed.
        Raced: nothing was stored; roll back and begin again.
    """
    after, entries = apply_trigger(before, trigger, uow.now, identity=identity, policy=policy)
    if not entries or after is None:
        return before
    if not await uow.alerts.save(before, after, entries):
        raise Raced("The alert was changed at the same time; try again.")
    told = event_types(before, after, entries, silenced=trigger.silenced)
    if told:
        await uow.notifications.add([notification_of(type_, after, webhook.name, webhook.labels) for type_ in told])
    uow.record(domain_event_of(after, entries))
    return after


def domain_event_of(alert: Alert, entries: Sequence[HistoryEntry]) -> DomainEvent:
    """Return what *entries*, at least one, amount to."""
    by_action = {entry.action: entry for entry in entries}
    if by_action.keys() & {Action.RAISED, Action.REOPENED}:
        return AlertRaised(alert.id, alert.webhook_id, alert.kind, alert.severity, alert.title)
    if (resolved := by_action.get(Action.RESOLVED)) is not None:
        return AlertResolved(alert.id, alert.webhook_id, resolved.actor)
    if (acknowledged := by_action.get(Action.ACKNOWLEDGED)) is not None:
        return AlertAcknowledged(alert.id, alert.webhook_id, acknowledged.actor)
    return AlertUpdated(alert.id, alert.webhook_id)


def is_silenced(
    silences: Sequence[Silence], webhook_id: UUID, webhook: WebhookRef, kind: AlertKind, now: datetime
) -> bool:
    """Whether any of *silences* matches an alert of *kind* about the webhook."""
    return any(silence.matches(webhook_id, webhook.labels, kind, now) for silence in silences)


def _identity(alert: Alert) -> Identity:
    return Identity(alert.id, alert.webhook_id, alert.kind)


async def _audit(uow: UnitOfWork, actor: Actor, action: str, alert: Alert, note: str | None) -> None:
    await uow.audit.add(actor, action, f"alert:{alert.id}", before={"state": alert.state}, after={"note": note})
