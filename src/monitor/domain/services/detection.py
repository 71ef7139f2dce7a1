"""
The watch: looks at webhooks in turn, keeps their anomalies, and raises and resolves their alerts.

Everything is level-triggered. A look compares what holds with what is stored and writes the difference, so a look that
is lost, repeated or made by another process changes nothing about where things come to rest. The lock of a webhook's
lane makes looks at one webhook take turns.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID

import msgspec

from monitor.domain.alerts import Alert, AlertKind, Identity, Observe
from monitor.domain.alerts.conditions import WEBHOOK_KINDS, Condition, check_mass_failure
from monitor.domain.alerts.evaluation import DetectionPolicy, Evaluation, EvaluationInput, evaluate
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
"""Webhooks per transaction. Their lanes are locked meanwhile, and claims pass by: a few milliseconds, seldom."""

TRIES = 5

T = TypeVar("T")

REPLACED = "Replaced by the alert about all webhooks."
GONE = "The webhook was deleted."
NOT_WATCHED = "Not watched any more."
ENABLED = "The webhook was enabled again."
NONE_SET_ASIDE = "Nothing was set aside for a day."


class _Context(msgspec.Struct, frozen=True):
    """What every look of one transaction shares. ``mass_failure_since`` is set while all webhooks are in trouble."""

    silences: Sequence[Silence]
    alerts: dict[tuple[UUID, AlertKind], Alert]
    mass_failure_since: datetime | None


class Detector:
    """The periodic jobs of watching. Any number of processes may run them."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, clock: Clock, policy: DetectionPolicy) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._policy = policy

    async def tick(self) -> None:
        """Look at every webhook that is due."""
        while await self.evaluate_due() == BATCH:
            pass

    async def evaluate_due(self) -> int:
        """
        Look at up to :data:`BATCH` webhooks that are due; return how many there were.

        Raises:
            ExceptionGroup: what kept webhooks from being judged. Everything else was stored all the same.
        """
        seen, failed = await _until_first(self._look)
        if failed:
            raise ExceptionGroup("Some webhooks could not be judged; they learn anew what is normal.", failed)
        return seen

    async def check_mass_failure(self) -> None:
        """Raise one alert when most webhooks begin to fail together, and resolve it when they do not any more."""
        await _until_first(self._survey)

    async def _survey(self) -> None:
        policy = self._policy.alert
        async with self._unit_of_work() as uow:
            known = (await uow.alerts.latest([SYSTEM_ID])).get((SYSTEM_ID, AlertKind.MASS_FAILURE))
            is_open = known is not None and known.is_open
            began = known.transitions[-1] if known is not None and is_open else uow.now
            found = await uow.detection.mass_failure(began - timedelta(seconds=policy.mass_failure_s))
            condition = check_mass_failure(found, is_open=is_open, policy=policy)
            if condition is None and known is None:
                return
            silences = await uow.silences.active()
            quiet = is_silenced(silences, SYSTEM_ID, WebhookRef(), AlertKind.MASS_FAILURE, uow.now)
            conditions = () if condition is None else (condition,)
            identity = Identity(self._clock.new_id(), SYSTEM_ID, AlertKind.MASS_FAILURE)
            await transition_alert(
                uow, known, Observe(conditions, quiet), identity=identity, webhook=WebhookRef(), policy=policy
            )
            await uow.commit()

    async def _look(self) -> tuple[int, list[Exception]]:
        failed: list[Exception] = []
        async with self._unit_of_work() as uow:
            due = await uow.detection.due(BATCH)
            if not due:
                return 0, failed
            ids = [watched.webhook_id for watched in due]
            open_anomalies: dict[UUID, list[AnomalyRecord]] = {id_: [] for id_ in ids}
            for anomaly in await uow.detection.open_anomalies(ids):
                open_anomalies[anomaly.webhook_id].append(anomaly)
            context = await self._context(uow, ids)
            looks = [self._judged(watched, uow.now, failed) for watched in due]
            changed = [
                anomaly for found in looks for anomaly in self._anomalies(uow, found, open_anomalies[found.webhook_id])
            ]
            if changed:
                await uow.detection.save_anomalies(changed)
            triaged = [await self._triaged(uow, *pair, context) for pair in zip(due, looks, strict=True)]
            await uow.detection.save(triaged)
            await uow.commit()
        return len(due), failed

    def _judged(self, watched: EvaluationInput, now: datetime, failed: list[Exception]) -> Evaluation:
        try:
            return evaluate(watched, now, self._policy)
        except Exception as error:  # noqa: BLE001 - one webhook that cannot be judged must not blind us to the others
            failed.append(error)
            anew = msgspec.structs.replace(watched, unevaluated=NO_ATTEMPTS, baselines=None)
            return evaluate(anew, now, self._policy)

    async def _context(self, uow: UnitOfWork, webhook_ids: Sequence[UUID]) -> _Context:
        alerts = await uow.alerts.latest(webhook_ids)
        return _Context(await uow.silences.active(), alerts, await uow.detection.mass_failure_since())

    def _anomalies(self, uow: UnitOfWork, found: Evaluation, stored: Sequence[AnomalyRecord]) -> list[AnomalyRecord]:
        """Return what must be stored so that exactly the open verdicts are open."""
        by_signal = {anomaly.signal: anomaly for anomaly in stored}
        changed = []
        for verdict in found.verdicts:
            known = by_signal.pop(verdict.signal, None)
            is_open = verdict.state in (SignalState.OPENED, SignalState.OPEN)
            if is_open and known is None:
                opened = self._opened(found.webhook_id, verdict)
                changed.append(opened)
                uow.record(AnomalyOpened(opened.id, opened.webhook_id, opened.signal, opened.severity, opened.sentence))
            elif is_open and known is not None and verdict.severity is not known.severity:
                changed.append(_told_by(known, verdict))
            elif not is_open and known is not None:
                changed.append(self._closed(uow, known, uow.now))
        # Of a deleted webhook, or of baselines that had to begin anew: nobody will close these.
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

    async def _triaged(
        self, uow: UnitOfWork, watched: EvaluationInput, found: Evaluation, context: _Context
    ) -> Evaluation:
        """Bring the alerts of a webhook up to date; return the look, to be repeated while one is still to be told."""
        about = WebhookRef(watched.subject.name, watched.labels)
        unsettled = False
        for kind in WEBHOOK_KINDS:
            known = context.alerts.get((watched.webhook_id, kind))
            conditions = found.conditions.get(kind, ())
            if known is None and not conditions:
                continue
            conditions, why_over = self._excused(kind, known, conditions, watched, context)
            alert = await transition_alert(
                uow,
                known,
                Observe(conditions, is_silenced(context.silences, watched.webhook_id, about, kind, uow.now), why_over),
                identity=Identity(self._clock.new_id(), watched.webhook_id, kind),
                webhook=about,
                policy=self._policy.alert,
            )
            unsettled = unsettled or (alert is not None and (alert.pending_notification or alert.flapping))
        if found.evaluate_at is None and unsettled:
            return msgspec.structs.replace(found, evaluate_at=uow.now + timedelta(seconds=self._policy.idle_s))
        return found

    def _excused(
        self,
        kind: AlertKind,
        known: Alert | None,
        conditions: tuple[Condition, ...],
        watched: EvaluationInput,
        context: _Context,
    ) -> tuple[tuple[Condition, ...], str]:
        """Return the conditions that count, and what to say when none does."""
        if watched.deleted:
            return (), GONE
        if not watched.subject.enabled and kind is not AlertKind.DISABLED:
            return conditions, watched.subject.disabled_reason or NOT_WATCHED
        since = context.mass_failure_since
        if kind is AlertKind.FAILING and since is not None:
            together = since - timedelta(seconds=self._policy.alert.mass_failure_s)
            if known is None or not known.is_open or known.transitions[-1] >= together:
                return (), REPLACED
        return conditions, _why_over(kind, watched)


async def _until_first(attempt: Callable[[], Awaitable[T]]) -> T:
    """Repeat *attempt* when somebody else changed an alert at the same moment; their change is there then."""
    for _ in range(TRIES - 1):
        try:
            return await attempt()
        except Raced:
            continue
    return await attempt()


def _why_over(kind: AlertKind, watched: EvaluationInput) -> str:
    match kind:
        case AlertKind.DISABLED:
            return ENABLED
        case AlertKind.QUARANTINED:
            return NONE_SET_ASIDE
        case _:
            return f"Back to normal: {watched.subject.health.reason}"


def _told_by(anomaly: AnomalyRecord, verdict: Verdict) -> AnomalyRecord:
    assert verdict.severity is not None
    assert verdict.evidence is not None
    return msgspec.structs.replace(
        anomaly, severity=verdict.severity, sentence=verdict.sentence, evidence=verdict.evidence
    )
