"""
Detection: evaluates webhooks, stores their anomalies, and raises and resolves their alerts.

Everything is level-triggered: an evaluation compares the present conditions with the stored state and writes the
difference, so the final state does not depend on evaluations that are lost, repeated or made by another process. The
lock of a webhook's lane serializes its evaluations.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID

import msgspec

from monitor.domain.alerts import Alert, AlertKind, Identity, UpdateConditions
from monitor.domain.alerts.conditions import WEBHOOK_KINDS, Condition, check_mass_failure
from monitor.domain.alerts.evaluation import DetectionPolicy, Evaluation, EvaluationInput, evaluate_webhook
from monitor.domain.alerts.silences import Silence
from monitor.domain.anomaly import SignalState, Verdict
from monitor.domain.anomaly.tally import NO_ATTEMPTS
from monitor.domain.errors import Raced
from monitor.domain.events import AnomalyClosed, AnomalyOpened
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.ports.clock import Clock
from monitor.domain.ports.repositories.detection import AnomalyRecord
from monitor.domain.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from monitor.domain.services.alerts import WebhookRef, is_silenced, transition_alert

BATCH = 25
"""Webhooks per transaction. Claims skip their lanes meanwhile, for a few milliseconds."""

MAX_TRIES = 5

T = TypeVar("T")

NOTE_MASS_FAILURE = "Replaced by the alert about all webhooks."
NOTE_DELETED = "The webhook was deleted."
NOTE_NOT_MONITORED = "No longer monitored."
NOTE_ENABLED = "The webhook was enabled again."
NOTE_NO_QUARANTINE = "No delivery was quarantined for a day."
NOTE_NO_EXPIRY = "No delivery expired for a day."


class _Context(msgspec.Struct, frozen=True):
    """Input shared by the evaluations of one transaction. ``mass_failure_since`` is set while that alert is open."""

    silences: Sequence[Silence]
    alerts: dict[tuple[UUID, AlertKind], Alert]
    mass_failure_since: datetime | None


class Detector:
    """The periodic jobs of detection. Any number of processes may run them."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, clock: Clock, policy: DetectionPolicy) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._policy = policy

    async def tick(self) -> None:
        """Evaluate every webhook that is due."""
        while await self.evaluate_due() == BATCH:
            pass

    async def evaluate_due(self) -> int:
        """
        Evaluate up to :data:`BATCH` webhooks that are due; return how many there were.

        Raises:
            ExceptionGroup: evaluations that failed. The others were stored all the same.
        """
        evaluated, failed = await _retry_on_race(self._evaluate_batch)
        if failed:
            raise ExceptionGroup("Some webhooks could not be evaluated; their baselines start over.", failed)
        return evaluated

    async def check_mass_failure(self) -> None:
        """Raise one alert when most webhooks begin to fail together, and resolve it when they no longer do."""
        await _retry_on_race(self._update_mass_failure_alert)

    async def _update_mass_failure_alert(self) -> None:
        policy = self._policy.alert
        async with self._unit_of_work() as uow:
            stored = (await uow.alerts.latest([SYSTEM_ID])).get((SYSTEM_ID, AlertKind.MASS_FAILURE))
            is_open = stored is not None and stored.is_open
            began = stored.transitions[-1] if stored is not None and is_open else uow.now
            found = await uow.detection.mass_failure(began - timedelta(seconds=policy.mass_failure_s))
            condition = check_mass_failure(found, is_open=is_open, policy=policy)
            if condition is None and stored is None:
                return
            silences = await uow.silences.active()
            silenced = is_silenced(silences, SYSTEM_ID, WebhookRef(), AlertKind.MASS_FAILURE, uow.now)
            conditions = () if condition is None else (condition,)
            identity = Identity(self._clock.new_id(), SYSTEM_ID, AlertKind.MASS_FAILURE)
            trigger = UpdateConditions(conditions, silenced)
            await transition_alert(uow, stored, trigger, identity=identity, webhook=WebhookRef(), policy=policy)
            await uow.commit()

    async def _evaluate_batch(self) -> tuple[int, list[Exception]]:
        failed: list[Exception] = []
        async with self._unit_of_work() as uow:
            due = await uow.detection.due(BATCH)
            if not due:
                return 0, failed
            ids = [target.webhook_id for target in due]
            open_anomalies: dict[UUID, list[AnomalyRecord]] = {id_: [] for id_ in ids}
            for anomaly in await uow.detection.open_anomalies(ids):
                open_anomalies[anomaly.webhook_id].append(anomaly)
            context = await self._context(uow, ids)
            evaluations = [self._evaluate_or_restart(target, uow.now, failed) for target in due]
            changed: list[AnomalyRecord] = []
            for evaluation in evaluations:
                changed += self._anomaly_changes(uow, evaluation, open_anomalies[evaluation.webhook_id])
            if changed:
                await uow.detection.save_anomalies(changed)
            pairs = zip(due, evaluations, strict=True)
            await uow.detection.save([await self._update_alerts(uow, *pair, context) for pair in pairs])
            await uow.commit()
        return len(due), failed

    def _evaluate_or_restart(self, target: EvaluationInput, now: datetime, failed: list[Exception]) -> Evaluation:
        try:
            return evaluate_webhook(target, now, self._policy)
        except Exception as error:  # noqa: BLE001 - one failed evaluation must not stop the others
            failed.append(error)
            restarted = msgspec.structs.replace(target, unevaluated=NO_ATTEMPTS, baselines=None)
            return evaluate_webhook(restarted, now, self._policy)

    async def _context(self, uow: UnitOfWork, webhook_ids: Sequence[UUID]) -> _Context:
        alerts = await uow.alerts.latest(webhook_ids)
        return _Context(await uow.silences.active(), alerts, await uow.detection.mass_failure_since())

    def _anomaly_changes(
        self, uow: UnitOfWork, evaluation: Evaluation, open_anomalies: Sequence[AnomalyRecord]
    ) -> list[AnomalyRecord]:
        """Return the anomalies to store so that exactly those with an open verdict are open."""
        by_signal = {anomaly.signal: anomaly for anomaly in open_anomalies}
        changed = []
        for verdict in evaluation.verdicts:
            stored = by_signal.pop(verdict.signal, None)
            is_open = verdict.state in (SignalState.OPENED, SignalState.OPEN)
            if is_open and stored is None:
                opened = self._opened(evaluation.webhook_id, verdict)
                changed.append(opened)
                uow.record(AnomalyOpened(opened.id, opened.webhook_id, opened.signal, opened.severity, opened.sentence))
            elif is_open and stored is not None and verdict.severity is not stored.severity:
                changed.append(_with_verdict(stored, verdict))
            elif not is_open and stored is not None:
                changed.append(self._closed(uow, stored, uow.now))
        # Left over from a deleted webhook, or from baselines that started over.
        return changed + [self._closed(uow, orphan, uow.now) for orphan in by_signal.values()]

    def _opened(self, webhook_id: UUID, verdict: Verdict) -> AnomalyRecord:
        assert verdict.severity is not None
        assert verdict.evidence is not None
        opened_at = datetime.fromtimestamp(verdict.opened_at or verdict.at, UTC)
        return AnomalyRecord(
            id=self._clock.new_id(),
            webhook_id=webhook_id,
            signal=verdict.signal,
            severity=verdict.severity,
            sentence=verdict.sentence,
            evidence=verdict.evidence,
            opened_at=opened_at,
        )

    @staticmethod
    def _closed(uow: UnitOfWork, anomaly: AnomalyRecord, now: datetime) -> AnomalyRecord:
        uow.record(AnomalyClosed(anomaly.id, anomaly.webhook_id, anomaly.signal))
        return msgspec.structs.replace(anomaly, closed_at=now)

    async def _update_alerts(
        self, uow: UnitOfWork, target: EvaluationInput, evaluation: Evaluation, context: _Context
    ) -> Evaluation:
        """Update the alerts of a webhook; return *evaluation*, due again while a notification is pending."""
        webhook = WebhookRef(target.webhook.name, target.labels)
        is_unsettled = False
        for kind in WEBHOOK_KINDS:
            stored = context.alerts.get((target.webhook_id, kind))
            conditions = evaluation.conditions.get(kind, ())
            if stored is None and not conditions:
                continue
            conditions, resolve_note = self._effective_conditions(kind, stored, conditions, target, context)
            silenced = is_silenced(context.silences, target.webhook_id, webhook, kind, uow.now)
            trigger = UpdateConditions(conditions, silenced, resolve_note)
            identity = Identity(self._clock.new_id(), target.webhook_id, kind)
            alert = await transition_alert(
                uow, stored, trigger, identity=identity, webhook=webhook, policy=self._policy.alert
            )
            is_unsettled = is_unsettled or (alert is not None and (alert.pending_notification or alert.flapping))
        if evaluation.evaluate_at is None and is_unsettled:
            return msgspec.structs.replace(evaluation, evaluate_at=uow.now + timedelta(seconds=self._policy.idle_s))
        return evaluation

    def _effective_conditions(
        self,
        kind: AlertKind,
        stored: Alert | None,
        conditions: tuple[Condition, ...],
        target: EvaluationInput,
        context: _Context,
    ) -> tuple[tuple[Condition, ...], str]:
        """Return the conditions that count, and the note of the resolution if there are none."""
        if target.deleted:
            return (), NOTE_DELETED
        if not target.webhook.enabled and kind is not AlertKind.DISABLED:
            return conditions, target.webhook.disabled_reason or NOTE_NOT_MONITORED
        since = context.mass_failure_since
        if kind is AlertKind.FAILING and since is not None:
            together = since - timedelta(seconds=self._policy.alert.mass_failure_s)
            if stored is None or not stored.is_open or stored.transitions[-1] >= together:
                return (), NOTE_MASS_FAILURE
        return conditions, _resolve_note(kind, target)


async def _retry_on_race(attempt: Callable[[], Awaitable[T]]) -> T:
    """Repeat *attempt* after a concurrent change of an alert, which the next try then reads."""
    for _ in range(MAX_TRIES - 1):
        try:
            return await attempt()
        except Raced:
            continue
    return await attempt()


def _resolve_note(kind: AlertKind, target: EvaluationInput) -> str:
    match kind:
        case AlertKind.DISABLED:
            return NOTE_ENABLED
        case AlertKind.QUARANTINED:
            return NOTE_NO_QUARANTINE
        case AlertKind.EXPIRED:
            return NOTE_NO_EXPIRY
        case _:
            return f"Back to normal: {target.webhook.health.reason}"


def _with_verdict(anomaly: AnomalyRecord, verdict: Verdict) -> AnomalyRecord:
    assert verdict.severity is not None
    assert verdict.evidence is not None
    return msgspec.structs.replace(
        anomaly, severity=verdict.severity, sentence=verdict.sentence, evidence=verdict.evidence
    )
