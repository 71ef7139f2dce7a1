"""``DetectionStore`` on PostgreSQL: due evaluations, baselines and anomalies."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import reduce
from operator import itemgetter
from uuid import UUID

import asyncpg
import msgspec
import structlog

from monitor.adapters.postgres.codec import RowReader, from_jsonb, from_row, health_of, jsonb
from monitor.adapters.postgres.repositories.alerts import LATEST, read_alert
from monitor.domain.alerts.alert import AlertKind
from monitor.domain.alerts.conditions import EXPIRED_MAX, REACH_PAIRS, REACH_WEBHOOKS, MassFailure, WebhookSnapshot
from monitor.domain.alerts.evaluation import Evaluation, EvaluationInput, normal_band
from monitor.domain.anomaly import Baselines
from monitor.domain.anomaly.tally import NO_ATTEMPTS, Tally
from monitor.domain.delivery.circuit_breaker import BreakerState
from monitor.domain.delivery.fan_out import NO_REACH, Reach
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.monitoring.health import Health
from monitor.domain.ports.repositories.detection import AnomalyRecord
from monitor.domain.vocab import EXPIRED

log = structlog.get_logger(__name__)

DUE = """
SELECT l.webhook_id, l.unevaluated, l.failing_since, l.health_status, l.health_reason, l.failure_probability,
       l.health_changed_at, l.breaker_state, w.name, w.labels, w.enabled, w.disabled_reason, w.disabled_at, w.paused_at,
       coalesce(l.throttled_until > now(), false) AS throttled, w.deleted_at, b.baselines, b.evaluated_at
FROM webhook_lanes l
JOIN webhooks w ON w.id = l.webhook_id
LEFT JOIN webhook_baselines b ON b.webhook_id = l.webhook_id
WHERE l.evaluate_at <= now() AND l.webhook_id <> ALL($2::uuid[])
ORDER BY l.evaluate_at LIMIT $1 FOR NO KEY UPDATE OF l SKIP LOCKED
"""

OPEN_ANOMALIES = "SELECT * FROM anomalies WHERE webhook_id = ANY($1) AND closed_at IS NULL"

# A partial index by time: reads those of one day, however many deliveries there are.
QUARANTINED = """
SELECT webhook_id, count(*) AS n FROM deliveries_finished
WHERE state = 'quarantined' AND finished_at > now() - interval '1 day' AND webhook_id = ANY($1) GROUP BY webhook_id
"""

# For each webhook the first so many of a partial index: all that wait may expire at once.
EXPIRED_DELIVERIES = f"""
SELECT n.webhook_id, found.n FROM unnest($1::uuid[]) AS n (webhook_id) CROSS JOIN LATERAL (
    SELECT count(*) AS n FROM (
        SELECT FROM deliveries_finished d WHERE d.webhook_id = n.webhook_id AND d.state = 'failed'
            AND d.last_error = '{EXPIRED}' AND d.finished_at > now() - interval '1 day' LIMIT {EXPIRED_MAX}
    ) AS expired
) AS found WHERE found.n > 0
"""

SAVE_LANES = """
UPDATE webhook_lanes l SET unevaluated = NULL, evaluate_at = n.evaluate_at
FROM unnest($1::uuid[], $2::timestamptz[]) AS n (webhook_id, evaluate_at) WHERE l.webhook_id = n.webhook_id
"""

SAVE_BASELINES = """
INSERT INTO webhook_baselines (webhook_id, baselines, evaluated_at, signals, normal, conditions)
SELECT webhook_id, baselines, now(), signals::jsonb, normal::jsonb, conditions::jsonb
FROM unnest($1::uuid[], $2::bytea[], $3::text[], $4::text[], $5::text[])
    AS n (webhook_id, baselines, signals, normal, conditions)
ON CONFLICT (webhook_id) DO UPDATE SET
    baselines = excluded.baselines, evaluated_at = excluded.evaluated_at, signals = excluded.signals,
    normal = excluded.normal, conditions = excluded.conditions
"""

SAVE_ANOMALIES = """
INSERT INTO anomalies AS a (id, webhook_id, signal, severity, sentence, evidence, opened_at, closed_at)
SELECT id, webhook_id, signal, severity, sentence, evidence::jsonb, opened_at, closed_at
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[],
            $8::timestamptz[])
    AS n (id, webhook_id, signal, severity, sentence, evidence, opened_at, closed_at)
ON CONFLICT (id) DO UPDATE SET severity = excluded.severity, sentence = excluded.sentence,
    evidence = excluded.evidence, closed_at = excluded.closed_at
"""

_FAILING = "l.health_status = 'unavailable' AND l.health_changed_at > $1"

_TRIED = """
FROM webhook_lanes l JOIN webhooks w ON w.id = l.webhook_id
WHERE w.enabled AND w.paused_at IS NULL AND w.deleted_at IS NULL AND l.last_attempt_at > now() - interval '1 hour'
"""

MASS_FAILURE = f"SELECT count(*) AS tried, count(*) FILTER (WHERE {_FAILING}) AS failing {_TRIED}"

# The labels of one webhook more than are read, and one label more: then there are too many.
FAILING_LABELS = f"""
WITH failing AS MATERIALIZED (SELECT w.labels {_TRIED} AND {_FAILING} LIMIT {REACH_WEBHOOKS + 1}),
pairs AS (
    SELECT DISTINCT label.key, label.value FROM failing, jsonb_each_text(failing.labels) AS label
    LIMIT {REACH_PAIRS + 1}
)
SELECT (SELECT count(*) FROM failing) AS failing, pairs.key, pairs.value
FROM (VALUES (1)) AS one LEFT JOIN pairs ON true ORDER BY pairs.key, pairs.value
"""

_encoder = msgspec.msgpack.Encoder()
_tallies = msgspec.msgpack.Decoder(Tally)
_baselines = msgspec.msgpack.Decoder(Baselines)


def encode_tally(tally: Tally) -> bytes | None:
    """Return the stored form of *tally*; nothing of no attempts."""
    return _encoder.encode(tally) if tally.attempts else None


def decode_tally(stored: bytes | None) -> Tally:
    """Inverse of :func:`encode_tally`."""
    if stored is None:
        return NO_ATTEMPTS
    try:
        return _tallies.decode(stored)
    except msgspec.DecodeError:
        # Written by another version: the detector misses some attempts, but claims and evaluations go on.
        log.warning("tally_unreadable")
        return NO_ATTEMPTS


class PostgresDetectionStore:
    """See :class:`monitor.domain.ports.repositories.detection.DetectionStore`."""

    def __init__(self, connection: asyncpg.Connection, rows: RowReader) -> None:
        self._connection = connection
        self._rows = rows

    async def due(self, limit: int) -> list[EvaluationInput]:
        quarantined: dict[UUID, int] = {}
        expired: dict[UUID, int] = {}
        held: set[UUID] = set()

        async def fetch(skipped: list[UUID]) -> list[asyncpg.Record]:
            rows: list[asyncpg.Record] = await self._connection.fetch(DUE, limit, skipped)
            ids = [row["webhook_id"] for row in rows]
            if ids:
                for sql, counts in ((QUARANTINED, quarantined), (EXPIRED_DELIVERIES, expired)):
                    counts.update((row["webhook_id"], row["n"]) for row in await self._connection.fetch(sql, ids))
                held.update(await self._unreadable_history(ids))
            return rows

        def read(row: asyncpg.Record) -> EvaluationInput:
            if row["webhook_id"] in held:
                raise ValueError("an anomaly or alert of this webhook cannot be read")
            id_ = row["webhook_id"]
            return _evaluation_input(row, quarantined=quarantined.get(id_, 0), expired=expired.get(id_, 0))

        due = await self._rows.page(fetch, read, "webhook_lanes", limit, itemgetter("webhook_id"))
        return list(due.values())

    async def _unreadable_history(self, webhook_ids: Collection[UUID]) -> set[UUID]:
        """Return which webhooks have an anomaly or alert that cannot be read: evaluated as if there was none,
        each would open a second one, which the table refuses for the whole batch."""
        found: set[UUID] = set()
        reads: tuple[tuple[str, str, Callable[[asyncpg.Record], object]], ...] = (
            (OPEN_ANOMALIES, "anomalies", _anomaly),
            (LATEST, "alerts", read_alert),
        )
        for sql, table, read in reads:
            rows = await self._connection.fetch(sql, list(webhook_ids))
            readable = self._rows.readable(rows, read, table)
            found.update(row["webhook_id"] for row in rows if row["id"] not in readable)
        return found

    async def save(self, evaluations: Sequence[Evaluation]) -> None:
        ids = [evaluation.webhook_id for evaluation in evaluations]
        await self._connection.execute(SAVE_LANES, ids, [evaluation.evaluate_at for evaluation in evaluations])
        await self._connection.execute(
            SAVE_BASELINES,
            ids,
            [_encoder.encode(evaluation.baselines) for evaluation in evaluations],
            [jsonb(evaluation.signals) for evaluation in evaluations],
            [jsonb(normal_band(evaluation.baselines, evaluation.verdicts)) for evaluation in evaluations],
            [jsonb(evaluation.held_conditions) for evaluation in evaluations],
        )

    async def open_anomalies(self, webhook_ids: Collection[UUID]) -> list[AnomalyRecord]:
        rows = await self._connection.fetch(OPEN_ANOMALIES, list(webhook_ids))
        return list(self._rows.readable(rows, _anomaly, "anomalies").values())

    async def save_anomalies(self, anomalies: Sequence[AnomalyRecord]) -> None:
        # Closed ones first: a signal may close and open again between two evaluations.
        ordered = sorted(anomalies, key=lambda anomaly: anomaly.closed_at is None)
        await self._connection.execute(
            SAVE_ANOMALIES,
            [a.id for a in ordered],
            [a.webhook_id for a in ordered],
            [a.signal for a in ordered],
            [a.severity for a in ordered],
            [a.sentence for a in ordered],
            [jsonb(a.evidence) for a in ordered],
            [a.opened_at for a in ordered],
            [a.closed_at for a in ordered],
        )

    async def mass_failure(self, since: datetime) -> MassFailure:
        row = await self._connection.fetchrow(MASS_FAILURE, since)
        return MassFailure(failing=row["failing"], tried=row["tried"])

    async def failing_labels(self, since: datetime) -> Reach:
        rows = await self._connection.fetch(FAILING_LABELS, since)
        if rows[0]["failing"] > REACH_WEBHOOKS:
            return Reach(every=True)
        pairs = [Reach({row["key"]: (row["value"],)}) for row in rows if row["key"] is not None]
        return reduce(lambda found, pair: found.joined(pair, REACH_PAIRS), pairs, NO_REACH)

    async def mass_failure_since(self) -> datetime | None:
        since: datetime | None = await self._connection.fetchval(
            "SELECT transitions[cardinality(transitions)] FROM alerts"
            " WHERE webhook_id = $1 AND kind = $2 AND state <> 'resolved'",
            SYSTEM_ID,
            AlertKind.MASS_FAILURE,
        )
        return since


def _anomaly(row: asyncpg.Record) -> AnomalyRecord:
    return from_row(row, AnomalyRecord, "evidence")


def _evaluation_input(row: asyncpg.Record, *, quarantined: int, expired: int) -> EvaluationInput:
    return EvaluationInput(
        webhook_id=row["webhook_id"],
        labels=from_jsonb(row["labels"], dict[str, str]),
        webhook=WebhookSnapshot(
            name=row["name"],
            health=health_of(row, Health),
            failing_since=row["failing_since"],
            enabled=row["enabled"],
            disabled_reason=row["disabled_reason"],
            disabled_at=row["disabled_at"],
            quarantined=quarantined,
            expired=expired,
        ),
        deleted=row["deleted_at"] is not None,
        held=(
            not row["enabled"]
            or row["paused_at"] is not None
            or row["breaker_state"] != BreakerState.CLOSED
            or row["throttled"]
        ),
        unevaluated=decode_tally(row["unevaluated"]),
        evaluated_at=row["evaluated_at"],
        baselines=_read_baselines(row["webhook_id"], row["baselines"]),
    )


def _read_baselines(webhook_id: UUID, stored: bytes | None) -> Baselines | None:
    if stored is None:
        return None
    try:
        return _baselines.decode(stored)
    except msgspec.DecodeError:
        # Written by another version: learning again takes a day, an error at every tick would stop all detection.
        log.warning("baselines_unreadable", webhook_id=str(webhook_id))
        return None
