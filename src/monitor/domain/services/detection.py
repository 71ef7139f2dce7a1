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

from monitor.domain.alerts import Alert, AlertKind, Identity, Tell, UpdateConditions
from monitor.domain.alerts.conditions import WEBHOOK_KINDS, Condition, check_mass_failure, with_reach
from monitor.domain.alerts.evaluation import DetectionPolicy, Evaluation, EvaluationInput, evaluate_webhook
from monitor.domain.alerts.lifecycle import NOTE_BACK_TO_NORMAL
from monitor.domain.alerts.quiet import QUIET_FOR, with_quiet
from monitor.domain.alerts.silences import Silence
from monitor.domain.anomaly import Signal, SignalState, Verdict
from monitor.domain.anomaly.tally import NO_ATTEMPTS
from monitor.domain.errors import Raced
from monitor.domain.events import AnomalyClosed, AnomalyOpened
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.ports.clock import Clock
from monitor.domain.ports.repositories.detection import AnomalyRecord
from monitor.domain.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from monitor.domain.services.alerts import WebhookRef, is_silenced, transition_alert
from monitor.domain.vocab import HealthStatus

BATCH = 25
"""Webhooks per transaction. Claims skip their lanes meanwhile, for a few milliseconds."""

TELL_BATCH = 100
"""Alerts per transaction that are looked at for what is not notified yet."""

TELL_PAGES = 10
"""Such transactions of one run: under a silence of everything, the next runs look at the others."""

FADES_FOR = timedelta(minutes=45)
"""How long an anomaly may stay open after its webhook is available again: its window empties, then it must be normal
for ten minutes. One that stays longer is raised."""

FIRST = UUID(int=0)

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
    """The periodic jobs of detection. Any number of processes may run these."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, clock: Clock, policy: DetectionPolicy) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._policy = policy
        self._told_up_to = FIRST

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
        """Raise one alert when most webhooks begin to fail together, and resolve it when this ends."""
        await _retry_on_race(self._update_mass_failure_alert)

    async def tell(self) -> None:
        """
        Notify of what changed under silences that have ended, and of what flapping ended in.

        Whenever that was, and whether or not the webhook is evaluated: the alerts themselves hold what is not notified.
        """
        for _ in range(TELL_PAGES):
            looked_at = await self._tell_page()
            if len(looked_at) < TELL_BATCH:
                self._told_up_to = FIRST
                return
            self._told_up_to = looked_at[-1]

    async def _tell_page(self) -> list[UUID]:
        """Look at the next alerts with something to notify of; return their ids."""
        async with self._unit_of_work() as uow:
            page = await uow.alerts.untold(self._told_up_to, TELL_BATCH)
            silences = await uow.silences.active() if page.alerts else []
            for untold in page.alerts:
                alert, webhook = untold.alert, WebhookRef(untold.webhook_name, untold.labels)
                silenced = is_silenced(silences, alert.webhook_id, webhook, alert.kind, uow.now)
                identity = Identity(alert.id, alert.webhook_id, alert.kind)
                await transition_alert(
                    uow, alert, Tell(silenced), identity=identity, webhook=webhook, policy=self._policy.alert
                )
            await uow.commit()
        return page.ids

    async def _update_mass_failure_alert(self) -> None:
        policy = self._policy.alert
        async with self._unit_of_work() as uow:
            stored = (await uow.alerts.latest([SYSTEM_ID])).get((SYSTEM_ID, AlertKind.MASS_FAILURE))
            is_open = stored is not None and stored.is_open
            began = stored.transitions[-1] if stored is not None and is_open else uow.now
            since = began - timedelta(seconds=policy.mass_failure_s)
            condition = check_mass_failure(await uow.detection.mass_failure(since), is_open=is_open, policy=policy)
            if condition is None and stored is None:
                return
            if condition is not None:
                known = stored.evidence if stored is not None and (is_open or stored.notified) else {}
                condition = with_reach(condition, await uow.detection.failing_labels(since), known)
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
            evaluated = min((target.evaluated_at for target in due if target.evaluated_at is not None), default=uow.now)
            context = await self._context(uow, ids, since=max(evaluated, uow.now - QUIET_FOR))
            due = [with_quiet(target, context.silences, uow.now) for target in due]
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

    async def _context(self, uow: UnitOfWork, webhook_ids: Sequence[UUID], since: datetime) -> _Context:
        alerts = await uow.alerts.latest(webhook_ids)
        return _Context(await uow.silences.active(since), alerts, await uow.detection.mass_failure_since())

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
        """Update the alerts of a webhook; return *evaluation*."""
        webhook = WebhookRef(target.webhook.name, target.labels)
        for kind in WEBHOOK_KINDS:
            stored = context.alerts.get((target.webhook_id, kind))
            conditions = evaluation.conditions.get(kind, ())
            if stored is None and not conditions:
                continue
            conditions, resolve_note = self._effective_conditions(kind, conditions, target)
            replaced = kind is AlertKind.FAILING and (
                self._is_part_of_mass_failure(stored, target, context)
                or self._fades_after_mass_failure(stored, target, evaluation, uow.now)
            )
            silenced = is_silenced(context.silences, target.webhook_id, webhook, kind, uow.now)
            trigger = UpdateConditions(conditions, silenced, resolve_note, NOTE_MASS_FAILURE if replaced else None)
            identity = Identity(self._clock.new_id(), target.webhook_id, kind)
            await transition_alert(uow, stored, trigger, identity=identity, webhook=webhook, policy=self._policy.alert)
        return evaluation

    def _effective_conditions(
        self, kind: AlertKind, conditions: tuple[Condition, ...], target: EvaluationInput
    ) -> tuple[tuple[Condition, ...], str]:
        """Return the conditions that count, and the note of the resolution if there are none."""
        if target.deleted:
            return (), NOTE_DELETED
        if not target.webhook.enabled and kind is not AlertKind.DISABLED:
            return conditions, target.webhook.disabled_reason or NOTE_NOT_MONITORED
        return conditions, _resolve_note(kind, target)

    def _is_part_of_mass_failure(self, stored: Alert | None, target: EvaluationInput, context: _Context) -> bool:
        """Whether the open alert about all webhooks counts this one, whose own is not older than they fail together."""
        health = target.webhook.health
        if context.mass_failure_since is None or health.status is not HealthStatus.UNAVAILABLE:
            return False
        together = context.mass_failure_since - timedelta(seconds=self._policy.alert.mass_failure_s)
        if health.changed_at is None or health.changed_at <= together:
            return False
        return stored is None or not stored.is_open or stored.transitions[-1] >= together

    @staticmethod
    def _fades_after_mass_failure(
        stored: Alert | None, target: EvaluationInput, evaluation: Evaluation, now: datetime
    ) -> bool:
        """
        Whether only an anomaly holds that needs a while to close, of a webhook that is available again. Raised now, it
        would report each webhook as failing when the failure is over.

        The alert about all webhooks replaced that of this one, or raised none: else it is open since the anomaly is.
        """
        health = target.webhook.health
        if (stored is not None and stored.is_open) or health.status is HealthStatus.UNAVAILABLE:
            return False
        if health.changed_at is None or now - health.changed_at >= FADES_FOR:
            return False
        if stored is not None and stored.is_replaced:
            return True
        began = [
            v.opened_at for v in evaluation.verdicts if v.signal is Signal.FAILURES and v.state is SignalState.OPEN
        ]
        return any(at is not None and at <= health.changed_at.timestamp() for at in began)


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
        case _ if target.webhook.health.status is HealthStatus.HEALTHY:
            return f"Back to normal: {target.webhook.health.reason}"
        case _:
            return NOTE_BACK_TO_NORMAL


def _with_verdict(anomaly: AnomalyRecord, verdict: Verdict) -> AnomalyRecord:
    assert verdict.severity is not None
    assert verdict.evidence is not None
    return msgspec.structs.replace(
        anomaly, severity=verdict.severity, sentence=verdict.sentence, evidence=verdict.evidence
    )
