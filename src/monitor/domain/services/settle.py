"""Settle: store attempts, delivery states, rollups, health and breaker of what was sent, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import assert_never
from uuid import UUID

import msgspec

from monitor.domain.anomaly.tally import tally_of
from monitor.domain.delivery.lane import Lane, LanePolicy, accumulate, attempt_end, failed_for_good, record_attempt
from monitor.domain.delivery.order import steps_aside
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.delivery.retry import Dead, Done, Retry, RetryPolicy, decide
from monitor.domain.events import WebhookStatusChanged, WebhookUpdated
from monitor.domain.monitoring.metrics import MINUTE_S, RollupBuilder
from monitor.domain.ports.clock import Clock
from monitor.domain.ports.queue import ClaimedDelivery, Finish, Postpone
from monitor.domain.ports.repositories.attempts import AttemptRecord, MinuteRollup
from monitor.domain.ports.unit_of_work import UnitOfWork
from monitor.domain.vocab import SYSTEM, DeliveryState
from monitor.domain.webhooks.secret_mask import SecretMask

GONE = "The receiver answered 410 Gone."
FAILED_FOR_DAYS = "Every attempt failed for 5 days."


class SentDelivery(msgspec.Struct, frozen=True):
    """One attempt that has yet to be settled. ``at`` is its start by the clock of this machine, ``version`` that of the
    webhook's configuration that it was made with."""

    delivery: ClaimedDelivery
    attempt_id: UUID
    at: datetime
    outcome: Outcome
    secrets: SecretMask
    version: int = 1


class Settlement(msgspec.Struct, frozen=True):
    """Result of one settle. ``settled`` counts the deliveries whose state changed. ``lost`` were settled before, leased
    by another worker, cancelled or deleted since; ``undecided`` were postponed because their decision raised;
    ``disabled`` are webhooks with the reason; ``locked`` are left for another settle, since another transaction has
    their lanes."""

    settled: int
    lost: list[UUID]
    undecided: dict[UUID, Exception]
    disabled: dict[UUID, str]
    locked: list[SentDelivery] = []


async def settle(
    uow: UnitOfWork, batch: Sequence[SentDelivery], *, clock: Clock, policy: LanePolicy, undecided_s: float
) -> Settlement:
    """
    Write attempts, delivery states, rollups and health of *batch*; the caller commits.

    Every attempt is stored and counted, since it was made, also that of a delivery which was cancelled, deleted or
    leased by another worker meanwhile; such a delivery keeps its state. Safe to repeat, also when the first commit held
    and its answer was lost: an attempt is stored once.

    Args:
        undecided_s: postpones a delivery when :func:`decide` raised for its outcome.
    """
    behind = uow.now - clock.now()
    # Results of one locked lane must not keep those of all others waiting.
    lanes = await uow.queue.lock_lanes({sent.delivery.webhook_id for sent in batch}, wait=False)
    missing = {sent.delivery.webhook_id for sent in batch} - lanes.keys()
    elsewhere = await _locked_elsewhere(uow, missing)
    if freed := missing - elsewhere:
        # Freed between the two looks, for all that is known; only what is missing now cannot be read.
        lanes |= await uow.queue.lock_lanes(freed, wait=False)
    locked = [sent for sent in batch if sent.delivery.webhook_id in elsewhere]
    batch = [sent for sent in batch if sent.delivery.webhook_id not in elsewhere]
    fenced = await uow.queue.fence([(sent.delivery.id, sent.delivery.fencing_token) for sent in batch])
    lost = [sent.delivery.id for sent in batch if sent.delivery.id not in fenced]
    held = {sent.attempt_id: sent for sent in _newest(sent for sent in batch if sent.delivery.id in fenced)}
    made = [*held.values(), *await _unstored(uow, [sent for sent in batch if sent.attempt_id not in held])]
    if not made:
        return Settlement(0, lost, {}, {}, locked)
    undecided, gone = await _write_states(uow, held.values(), fenced, lanes, clock.jitter, undecided_s)
    await uow.attempts.add([_record(sent) for sent in made])
    minutes = minute_rollups((s.delivery.webhook_id, s.at, s.outcome) for s in made)
    await uow.attempts.add_minutes(minutes)
    uncounted = {id_ for id_, lane in lanes.items() if lane.uncounted}
    if inside := [minute for minute in minutes if minute.webhook_id in uncounted]:
        await uow.attempts.add_silenced(inside)
    updated = _update_lanes(made, lanes, uow.now, behind, policy)
    uow.record(*status_changes(lanes, updated, uow.now))
    await uow.queue.save_lanes(updated)
    judged = {sent.delivery.webhook_id for sent in made if _is_current(sent, lanes)}
    disabled = dict.fromkeys(gone, GONE) | {
        lane.webhook_id: FAILED_FOR_DAYS
        for lane in updated
        if lane.webhook_id in judged and failed_for_good(lane, uow.now, policy)
    }
    # After the lanes, as everywhere: a lane is locked before its webhook.
    for webhook_id, reason in sorted(disabled.items()):
        if await uow.webhooks.disable(webhook_id, reason):
            before, after = {"enabled": True}, {"enabled": False, "disabled_reason": reason}
            await uow.audit.add(SYSTEM, "webhook.disable", f"webhook:{webhook_id}", before=before, after=after)
        uow.record(WebhookUpdated(webhook_id))
    return Settlement(len(held), lost, undecided, disabled, locked)


def status_changes(before: Mapping[UUID, Lane], after: Iterable[Lane], now: datetime) -> list[WebhookStatusChanged]:
    """Return an event for each lane with a changed health status."""
    return [
        WebhookStatusChanged(lane.webhook_id, lane.health.status, lane.health.reason, now)
        for lane in after
        if lane.health.status is not before[lane.webhook_id].health.status
    ]


def minute_rollups(attempts: Iterable[tuple[UUID, datetime, Outcome]]) -> list[MinuteRollup]:
    """Add attempts up by webhook and by the minute of their start."""
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


async def _locked_elsewhere(uow: UnitOfWork, missing: Collection[UUID]) -> set[UUID]:
    """Return those of *missing* that another transaction has; this version cannot read the others."""
    return await uow.queue.locked_elsewhere(missing) if missing else set()


async def _unstored(uow: UnitOfWork, lost: Sequence[SentDelivery]) -> list[SentDelivery]:
    """Return each attempt of *lost* once, without those that were stored before.

    A held delivery needs no look-up: storing an attempt of it ended that lease.
    """
    if not lost:
        return []
    by_id = {sent.attempt_id: sent for sent in lost}
    stored = await uow.attempts.stored([(sent.delivery.webhook_id, id_) for id_, sent in by_id.items()])
    return [sent for id_, sent in by_id.items() if id_ not in stored]


async def _write_states(
    uow: UnitOfWork,
    batch: Collection[SentDelivery],
    schedule_from: Mapping[UUID, int],
    lanes: Mapping[UUID, Lane],
    jitter: Callable[[], float],
    undecided_s: float,
) -> tuple[dict[UUID, Exception], set[UUID]]:
    finished: list[Finish] = []
    postponed: list[Postpone] = []
    undecided: dict[UUID, Exception] = {}
    gone: set[UUID] = set()
    for sent in batch:
        id_, outcome = sent.delivery.id, sent.outcome
        lane = lanes.get(sent.delivery.webhook_id)
        # As stored now: a retry that a user requested meanwhile is not the end of the schedule.
        attempts = sent.delivery.attempts + 1 - schedule_from[id_]
        try:
            decision = decide(
                outcome,
                attempts=attempts,
                # What this version cannot read any more, a newer one changed since the claim.
                policy=RetryPolicy() if lane is None else lane.retry,
                now=uow.now,
                jitter=jitter(),
                superseded=not _is_current(sent, lanes),
                before=schedule_from[id_],
            )
        except Exception as error:  # noqa: BLE001 - one row that raises must not stop the loop
            undecided[id_] = error
            decision = Retry(uow.now + timedelta(seconds=undecided_s))
        match decision:
            case Done():
                finished.append(Finish(id_, DeliveryState.DELIVERED, outcome.status_code, None, 1))
            case Retry(at, uncounted):
                failed = attempts - uncounted
                aside = lane is not None and steps_aside(lane.ordered, lane.skip_after, failed)
                postponed.append(Postpone(id_, at, outcome.status_code, outcome.error, aside, uncounted))
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


def _update_lanes(
    batch: Iterable[SentDelivery], lanes: Mapping[UUID, Lane], now: datetime, behind: timedelta, policy: LanePolicy
) -> list[Lane]:
    """
    Return the lanes of *batch* after its attempts, in the order in which these ended.

    Args:
        behind: how far this machine's clock is behind the database's. Starts were read from the former, and ends
            are compared with those that other machines settled.
    """
    ended = sorted(
        ((attempt_end(sent.at + behind, sent.outcome.latency_ms, now), n, sent) for n, sent in enumerate(batch)),
        key=lambda one: one[:2],
    )
    updated: dict[UUID, Lane] = {}
    attempts: dict[UUID, list[tuple[bool, float]]] = {}
    for at, _, sent in ended:
        id_ = sent.delivery.webhook_id
        before = updated.get(id_, lanes.get(id_))
        if before is None or before.deleted:
            continue
        if _is_current(sent, lanes):
            before = record_attempt(before, sent.outcome, at, now, policy)
        updated[id_] = before
        made = attempts.setdefault(id_, [])
        # The detector compares failures and latencies: that the receiver requested a lower rate is neither.
        if not sent.outcome.throttled:
            made.append((sent.outcome.ok, sent.outcome.latency_ms))
    return [accumulate(lanes[id_], lane, tally_of(attempts[id_]), now) for id_, lane in updated.items()]


def _newest(batch: Iterable[SentDelivery]) -> Iterable[SentDelivery]:
    """Keep one of each delivery: when its lease ran out in between, only the newer one can be held."""
    newest: dict[UUID, SentDelivery] = {}
    for sent in batch:
        other = newest.get(sent.delivery.id)
        if other is None or other.delivery.fencing_token < sent.delivery.fencing_token:
            newest[sent.delivery.id] = sent
    return newest.values()


def _is_current(sent: SentDelivery, lanes: Mapping[UUID, Lane]) -> bool:
    """Whether an attempt was made with the present configuration of its webhook; only then does it judge the webhook.

    What another configuration showed, such as a URL that is gone, is no evidence about this one.
    """
    lane = lanes.get(sent.delivery.webhook_id)
    return lane is not None and sent.version == lane.version


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
