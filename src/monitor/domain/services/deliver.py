"""Deliver: claim and commit, send with no transaction open, settle in a second one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import assert_never
from uuid import UUID

import msgspec

from monitor.domain.anomaly.tally import tally_of
from monitor.domain.delivery.chat_formats import render
from monitor.domain.delivery.lane import (
    Lane,
    accumulate,
    failed_for_good,
    record_attempt,
)
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.delivery.retry import Dead, Done, Retry, decide
from monitor.domain.events import WebhookStatusChanged, WebhookUpdated
from monitor.domain.monitoring.metrics import MINUTE_S, RollupBuilder
from monitor.domain.ports.clock import Clock
from monitor.domain.ports.queries.resources import Queries
from monitor.domain.ports.queue import ClaimedDelivery, Finish, Postpone
from monitor.domain.ports.repositories.attempts import AttemptRecord, MinuteRollup
from monitor.domain.ports.sender import PendingSend, WebhookSender
from monitor.domain.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from monitor.domain.services.leases import DeliverConfig, DeliveryLeases
from monitor.domain.vocab import DeliveryState
from monitor.domain.webhooks.secret_mask import SecretMask
from monitor.domain.webhooks.signed_request import AsymmetricSigner, signed_request

GONE = "The receiver answered 410 Gone."
FAILED_FOR_DAYS = "Every attempt failed for 5 days."


class SentDelivery(msgspec.Struct, frozen=True):
    """One attempt that has yet to be settled."""

    delivery: ClaimedDelivery
    attempt_id: UUID
    at: datetime
    outcome: Outcome
    secrets: SecretMask


class Settlement(msgspec.Struct, frozen=True):
    """Result of one settle. ``lost`` were leased by another worker since, ``undecided`` postponed because their
    decision raised; ``disabled`` are webhooks with the reason."""

    settled: int
    lost: list[UUID]
    undecided: dict[UUID, Exception]
    disabled: dict[UUID, str]
    locked: list[SentDelivery] = []
    """Left for another settle, since another transaction has their lanes."""


class Deliverer(DeliveryLeases):
    """The three steps of a delivery, for one worker: claim, start and settle."""

    def __init__(
        self,
        unit_of_work: UnitOfWorkFactory,
        queries: Queries,
        sender: WebhookSender,
        clock: Clock,
        sign_v1a: AsymmetricSigner,
        config: DeliverConfig,
    ) -> None:
        super().__init__(unit_of_work, queries, clock, config)
        self._sender = sender
        self._sign_v1a = sign_v1a

    def start(self, delivery: ClaimedDelivery, on_sent: Callable[[SentDelivery], object]) -> PendingSend | None:
        """
        Make one attempt, and call *on_sent* once, after this has returned.

        Returns:
            ``None`` if nothing is sent, because the webhook is deleted.
        """
        cached = self._destinations.get(delivery.webhook_id)
        if cached is None:
            return None
        destination, secrets = cached.destination, cached.secrets
        at = self._clock.now()
        request = signed_request(
            destination,
            message_id=str(delivery.event_id),
            event_type=delivery.event_type,
            body=render(destination.body_format, delivery.event_type, delivery.payload),
            at=at,
            sign_v1a=self._sign_v1a,
        )
        attempt_id = self._clock.new_id(at)
        return self._sender.start(
            request, lambda outcome: on_sent(SentDelivery(delivery, attempt_id, at, outcome, secrets))
        )

    async def settle(self, batch: Sequence[SentDelivery]) -> Settlement:
        """Write attempts, delivery states, rollups and health of *batch* in one transaction. Safe to repeat: deliveries
        that were settled, or leased by another worker since, are left out."""
        async with self._unit_of_work() as uow:
            # Results of one locked lane must not keep those of all others waiting.
            lanes = await uow.queue.lock_lanes({sent.delivery.webhook_id for sent in batch}, wait=False)
            locked = [sent for sent in batch if sent.delivery.webhook_id not in lanes]
            batch = [sent for sent in batch if sent.delivery.webhook_id in lanes]
            fenced = await uow.queue.fence([(sent.delivery.id, sent.delivery.fencing_token) for sent in batch])
            held = sorted(_newest(sent for sent in batch if sent.delivery.id in fenced), key=lambda sent: sent.at)
            if not held:
                return Settlement(0, [sent.delivery.id for sent in batch], {}, {}, locked)
            undecided, gone = await self._write_states(uow, held, lanes)
            await uow.attempts.add([_record(sent) for sent in held])
            await uow.attempts.add_minutes(minute_rollups((s.delivery.webhook_id, s.at, s.outcome) for s in held))
            updated = self._update_lanes(held, lanes, uow.now)
            uow.record(*status_changes(lanes, updated, uow.now))
            await uow.queue.save_lanes(updated)
            disabled = dict.fromkeys(gone, GONE) | {
                lane.webhook_id: FAILED_FOR_DAYS
                for lane in updated
                if failed_for_good(lane, uow.now, self._config.policy)
            }
            await uow.commit()
        if disabled:
            # In a transaction of its own: deliveries, locked by the first one, come after webhooks in the order of
            # locks. If it fails, the next attempt leads to the same.
            async with self._unit_of_work() as uow:
                for webhook_id, reason in sorted(disabled.items()):
                    await uow.webhooks.disable(webhook_id, reason)
                    uow.record(WebhookUpdated(webhook_id))
                await uow.commit()
        lost = [sent.delivery.id for sent in batch if sent.delivery.id not in fenced]
        return Settlement(len(held), lost, undecided, disabled, locked)

    async def _write_states(
        self, uow: UnitOfWork, batch: Sequence[SentDelivery], lanes: Mapping[UUID, Lane]
    ) -> tuple[dict[UUID, Exception], set[UUID]]:
        finished: list[Finish] = []
        postponed: list[Postpone] = []
        undecided: dict[UUID, Exception] = {}
        gone: set[UUID] = set()
        for sent in batch:
            id_, outcome = sent.delivery.id, sent.outcome
            try:
                decision = decide(
                    outcome,
                    attempts=sent.delivery.attempts + 1,
                    policy=lanes[sent.delivery.webhook_id].retry,
                    now=uow.now,
                    jitter=self._clock.jitter(),
                )
            except Exception as error:  # noqa: BLE001 - one row that raises must not stop the loop
                undecided[id_] = error
                decision = Retry(uow.now + timedelta(seconds=self._config.undecided_s))
            match decision:
                case Done():
                    finished.append(Finish(id_, DeliveryState.DELIVERED, outcome.status_code, None, 1))
                case Retry(at):
                    postponed.append(Postpone(id_, at, outcome.status_code, outcome.error))
                case Dead(disable):
                    finished.append(Finish(id_, DeliveryState.FAILED, outcome.status_code, outcome.error, 1))
                    if disable:
                        gone.add(sent.delivery.webhook_id)
                case _:
                    assert_never(decision)
        if finished:
            await uow.queue.finish(finished)
        if postponed:
            await uow.queue.postpone(postponed)
        return undecided, gone

    def _update_lanes(self, batch: Sequence[SentDelivery], lanes: Mapping[UUID, Lane], now: datetime) -> list[Lane]:
        updated: dict[UUID, Lane] = {}
        attempts: dict[UUID, list[tuple[bool, float]]] = {}
        for sent in batch:
            id_ = sent.delivery.webhook_id
            before = updated.get(id_, lanes[id_])
            updated[id_] = record_attempt(before, sent.outcome, sent.at, now, self._config.policy)
            attempts.setdefault(id_, []).append((sent.outcome.ok, sent.outcome.latency_ms))
        return [accumulate(lanes[id_], lane, tally_of(attempts[id_]), now) for id_, lane in updated.items()]


def status_changes(before: Mapping[UUID, Lane], after: Iterable[Lane], now: datetime) -> list[WebhookStatusChanged]:
    """Return an event for each lane whose health status changed."""
    return [
        WebhookStatusChanged(lane.webhook_id, lane.health.status, lane.health.reason, now)
        for lane in after
        if lane.health.status is not before[lane.webhook_id].health.status
    ]


def minute_rollups(attempts: Iterable[tuple[UUID, datetime, Outcome]]) -> list[MinuteRollup]:
    """Add attempts up by webhook and by the minute in which they started."""
    # Keyed by a number: hashing a time costs more than all the rest.
    builders: dict[tuple[UUID, int], RollupBuilder] = {}
    for webhook_id, at, outcome in attempts:
        key = (webhook_id, int(at.timestamp()) // MINUTE_S)
        builder = builders.get(key)
        if builder is None:
            builder = builders[key] = RollupBuilder()
        builder.add(outcome.label, outcome.latency_ms)
    return [
        MinuteRollup(webhook_id, datetime.fromtimestamp(minute * MINUTE_S, UTC), builder.build())
        for (webhook_id, minute), builder in builders.items()
    ]


def _newest(batch: Iterable[SentDelivery]) -> Iterable[SentDelivery]:
    """Keep one of each delivery: when its lease ran out in between, only the newer one can be held."""
    newest: dict[UUID, SentDelivery] = {}
    for sent in batch:
        other = newest.get(sent.delivery.id)
        if other is None or other.delivery.fencing_token < sent.delivery.fencing_token:
            newest[sent.delivery.id] = sent
    return newest.values()


def _record(sent: SentDelivery) -> AttemptRecord:
    delivery = sent.delivery
    outcome, exchange = sent.secrets.kept(sent.outcome)
    return AttemptRecord(
        id=sent.attempt_id,
        webhook_id=delivery.webhook_id,
        outcome=outcome,
        exchange=exchange,
        delivery_id=delivery.id,
        event_id=delivery.event_id,
        event_type=delivery.event_type,
        number=delivery.attempts + 1,
    )
