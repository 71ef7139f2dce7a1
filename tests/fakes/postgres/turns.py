"""The part of ``FakeDeliveryQueue`` about the turns of messages about one alert."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from msgspec.structs import replace

from monitor.domain.delivery.fan_out import precedes
from monitor.domain.delivery.order import ALERT_KEYS, is_alert_key, replaced_of, turns
from monitor.domain.ports.clock import Clock
from monitor.domain.vocab import REPLACED, DeliveryState
from tests.fakes.postgres.database import FinishedDelivery, StoredDelivery, Tables


class FakeTurns:
    def __init__(self, tables: Tables, clock: Clock, woken: set[UUID], locked: Collection[UUID]) -> None:
        self._tables = tables
        self._clock = clock
        self._now = clock.now()
        self._woken = woken
        self._locked = locked

    async def replace_older(self, event_ids: Sequence[UUID]) -> None:
        made = [one for one in self._tables.deliveries.values() if one.event_id in event_ids]
        for webhook_id, key in {(one.webhook_id, one.order_key) for one in made if is_alert_key(one.order_key)}:
            if webhook_id not in self._locked:
                line = [one.queued(self._now) for one in self._of(webhook_id) if one.order_key == key]
                await self._replace(replaced_of(line))

    async def _take_turns(self, taken: Collection[UUID]) -> list[StoredDelivery]:
        for webhook_id in {self._tables.deliveries[id_].webhook_id for id_ in taken}:
            rows = [one.queued(self._now) for one in self._of(webhook_id)]
            preceded = {row.id for row in rows if self._is_preceded(row.event_id, webhook_id, of_alerts=True)}
            result = turns(taken, rows, self._now, preceded)
            await self._replace(result.replaced)
            if result.replaced & set(taken) or self._now in result.waiting.values():
                self._woken.add(webhook_id)
            for id_, due_at in result.waiting.items():
                self._put(replace(self._tables.deliveries[id_], due_at=due_at, leased_by=None))
        left = [self._tables.deliveries[id_] for id_ in taken if id_ in self._tables.deliveries]
        return [one for one in left if one.leased_by is not None]

    async def _replace(self, ids: Collection[UUID]) -> None:
        for id_ in ids:
            gone = replace(self._tables.deliveries[id_], last_status_code=None, last_error=REPLACED)
            move_to_finished(self._tables, gone, DeliveryState.CANCELLED, self._now)

    async def _end_turns(self, settled: Sequence[StoredDelivery], *, replace_older: bool = False) -> None:
        for webhook_id, key in {(one.webhook_id, one.order_key) for one in settled if is_alert_key(one.order_key)}:
            line = [one.queued(self._now) for one in self._of(webhook_id) if one.order_key == key]
            if replace_older:
                await self._replace(replaced_of(line))
            newest = max(line, key=lambda one: (one.event_id, one.id), default=None)
            stored = None if newest is None else self._tables.deliveries[newest.id]
            waits = stored is not None and stored.leased_by is None and stored.due_at > self._now
            if stored is not None and waits and not stored.attempts:
                self._put(replace(stored, due_at=self._now))
                self._woken.add(webhook_id)

    def _of(self, webhook_id: UUID) -> list[StoredDelivery]:
        return [one for one in self._tables.deliveries.values() if one.webhook_id == webhook_id]

    def _is_preceded(self, id_: UUID, webhook_id: UUID, *, of_alerts: bool = False) -> bool:
        if webhook_id not in self._tables.webhooks:
            return False
        types = self._tables.webhooks[webhook_id].webhook.event_types
        return any(
            precedes(one, id_, webhook_id, types)
            for one in self._tables.fan_outs.values()
            if not of_alerts or any(event.type.startswith(ALERT_KEYS) for event in one.events)
        )

    def _put(self, delivery: StoredDelivery) -> None:
        self._tables.deliveries[delivery.id] = delivery


def move_to_finished(tables: Tables, delivery: StoredDelivery, state: DeliveryState, now: datetime) -> None:
    """Take *delivery* out of the hot table."""
    del tables.deliveries[delivery.id]
    tables.finished[delivery.id] = FinishedDelivery(
        id=delivery.id,
        event_id=delivery.event_id,
        webhook_id=delivery.webhook_id,
        state=state,
        attempts=delivery.attempts,
        fencing_token=delivery.fencing_token,
        last_status_code=delivery.last_status_code,
        last_error=delivery.last_error,
        finished_at=now,
        order_key=delivery.order_key,
    )
