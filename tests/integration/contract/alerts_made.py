"""Alerts as histories make them, stored."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from monitor.domain.alerts.alert import (
    Action,
    Alert,
    AlertKind,
    AlertPolicy,
    Cause,
    HistoryEntry,
    Identity,
    apply_entry,
    replay,
)
from monitor.domain.vocab import Severity
from tests.integration.contract.world import World

POLICY = AlertPolicy()


async def make(
    world: World,
    *,
    webhook_id: UUID,
    at: datetime,
    kind: AlertKind = AlertKind.FAILING,
    severity: Severity = Severity.WARNING,
    acknowledged_s: float | None = None,
    resolved_s: float | None = None,
    told: bool = False,
) -> Alert:
    """Store an alert that was raised at *at* and acknowledged and resolved so many seconds later."""
    alert, entries = made(
        Identity(world.clock.new_id(), webhook_id, kind),
        at,
        severity,
        acknowledged_s=acknowledged_s,
        resolved_s=resolved_s,
        told=told,
    )
    async with world.unit_of_work() as uow:
        assert await uow.alerts.save(None, alert, entries)
        await uow.commit()
    return alert


def made(
    identity: Identity,
    at: datetime,
    severity: Severity = Severity.WARNING,
    *,
    acknowledged_s: float | None = None,
    resolved_s: float | None = None,
    told: bool = False,
) -> tuple[Alert, list[HistoryEntry]]:
    entries = [
        HistoryEntry(
            at=at,
            action=Action.RAISED,
            severity=severity,
            title=f"It is {severity}.",
            causes=(Cause.FAILURES,),
            evidence={Cause.FAILURES: {"n": 20, "observed": 0.5}},
        )
    ]
    if told:
        entries.append(HistoryEntry(at=at, action=Action.NOTIFIED))
    if acknowledged_s is not None:
        acknowledged_at = at + timedelta(seconds=acknowledged_s)
        entries.append(
            HistoryEntry(
                at=acknowledged_at,
                action=Action.ACKNOWLEDGED,
                actor="ada",
                note="Mine.",
                expires_at=acknowledged_at + timedelta(days=1),
            )
        )
    if resolved_s is not None:
        entries.append(
            HistoryEntry(at=at + timedelta(seconds=resolved_s), action=Action.RESOLVED, causes=(), note="Over.")
        )
    return replay(identity, entries, POLICY), entries


async def latest(world: World, *webhook_ids: UUID) -> dict[tuple[UUID, AlertKind], Alert]:
    async with world.unit_of_work() as uow:
        return await uow.alerts.latest(webhook_ids)


async def save(world: World, before: Alert | None, after: Alert, *entries: HistoryEntry) -> bool:
    async with world.unit_of_work() as uow:
        saved = await uow.alerts.save(before, after, entries)
        await uow.commit()
    return saved


def then(alert: Alert, action: Action, at: datetime, **members: Any) -> tuple[Alert, HistoryEntry]:
    entry = HistoryEntry(at=at, action=action, **members)
    return apply_entry(alert, entry, Identity(alert.id, alert.webhook_id, alert.kind), POLICY), entry
