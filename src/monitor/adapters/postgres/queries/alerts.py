"""Reads of alerts, silences and anomalies: SQL straight into view structs."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from monitor.adapters.postgres.codec import from_jsonb, from_row
from monitor.adapters.postgres.engine import Database
from monitor.adapters.postgres.queries.pages import list_rows
from monitor.adapters.postgres.queries.told import critical_is_told, last_told, told
from monitor.adapters.postgres.replica import Reads
from monitor.adapters.postgres.repositories.alerts import NO_ALERT
from monitor.adapters.postgres.repositories.silences import NO_SILENCE
from monitor.adapters.postgres.silenced import ACTIVE, LABELLED
from monitor.adapters.postgres.sql import Where
from monitor.domain.alerts.alert import AlertKind, AlertState
from monitor.domain.alerts.silences import Silence, SilenceSpec, SilenceState
from monitor.domain.errors import NotFound
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.ports.queries.alerts import AlertFilter, WorstFirst
from monitor.domain.views.alerts import (
    AlertCount,
    AlertsPerDay,
    AlertStatsView,
    AlertView,
    AnomalyView,
    Durations,
    HeldCondition,
    HistoryView,
    LastTold,
    ToldView,
)
from monitor.domain.views.silences import SilencePreview, SilenceView, silence_view
from monitor.domain.vocab import SEVERITIES, Severity, is_worse

PREVIEWED = 50

HISTORY_SHOWN = 200
"""Entries of an alert's history that a view has: the newest."""

# The rule of Silence.matches, in SQL: `s` is a silence, `a` an alert, `w` its webhook.
_MATCHES = f"""
(s.webhook_id IS NULL OR s.webhook_id = a.webhook_id)
AND (s.kind IS NULL OR s.kind = a.kind)
AND {LABELLED}
"""

_ALERT = f"""
SELECT a.*, w.name AS webhook_name, EXISTS (
    SELECT FROM silences s WHERE s.ends_at > now() AND {ACTIVE} AND {_MATCHES}) AS silenced,
    b.evaluated_at AS conditions_at, coalesce(b.conditions -> a.kind, '[]') AS conditions
FROM alerts a LEFT JOIN webhooks w ON w.id = a.webhook_id LEFT JOIN webhook_baselines b ON b.webhook_id = a.webhook_id
"""

_SILENCE = f"""
SELECT s.*, named.name AS webhook_name, now() AS read_at, (
    SELECT count(*) FROM alerts a LEFT JOIN webhooks w ON w.id = a.webhook_id
    WHERE s.ends_at > now() AND {ACTIVE} AND a.state <> 'resolved' AND {_MATCHES}) AS matches
FROM silences s LEFT JOIN webhooks named ON named.id = s.webhook_id
"""

_STATES = {
    SilenceState.SCHEDULED: f"s.ends_at > now() AND NOT {ACTIVE}",
    SilenceState.ACTIVE: f"s.ends_at > now() AND {ACTIVE}",
    SilenceState.ENDED: "s.ends_at <= now()",
}

_ANOMALY = """
SELECT a.*, w.name AS webhook_name, (
    SELECT l.id FROM alerts l
    WHERE l.webhook_id = a.webhook_id AND l.state <> 'resolved' AND a.closed_at IS NULL AND a.signal = ANY(l.causes)
    ORDER BY l.id LIMIT 1) AS alert_id
FROM anomalies a JOIN webhooks w ON w.id = a.webhook_id
"""

# The silence that is only thought of stands where a stored one would.
_THOUGHT_OF = "(SELECT $1::uuid AS webhook_id, $2::text AS kind, $3::text AS label) AS s"

# One that was raised and resolved inside silences was never notified, and does not count.
COUNTED = """
(state <> 'resolved' OR EXISTS (
    SELECT FROM alert_history h WHERE h.alert_id = alerts.id AND h.action IN ('notified', 'flapping')))
"""

COUNTS = f"""
SELECT state, severity, kind, count(*) AS n FROM alerts
WHERE (state <> 'resolved' OR raised_at >= $1) AND NOT superseded AND {COUNTED} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""

DAYS = f"""
SELECT day, severity, sum(raised)::int AS raised, sum(resolved)::int AS resolved FROM (
    SELECT (raised_at AT TIME ZONE 'UTC')::date AS day, severity, 1 AS raised, 0 AS resolved
    FROM alerts WHERE raised_at >= $1 AND {COUNTED}
    UNION ALL
    SELECT (resolved_at AT TIME ZONE 'UTC')::date, severity, 0, 1
    FROM alerts WHERE state = 'resolved' AND resolved_at >= $1 AND NOT superseded AND {COUNTED}
) AS moves GROUP BY 1, 2
"""

# The oldest by its wait: for the least time of raising, the planner would walk all alerts ever raised.
TIMES = f"""
SELECT now() AS as_of,
    (SELECT extract(epoch FROM max(now() - raised_at))::float8 FROM alerts WHERE state = 'pending') AS oldest_s,
    count(ack_s)::int AS ack_n, avg(ack_s) AS ack_mean,
    percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY ack_s) AS ack,
    count(resolve_s)::int AS resolve_n, avg(resolve_s) AS resolve_mean,
    percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY resolve_s) AS resolve
FROM (
    SELECT extract(epoch FROM first_acknowledged_at - raised_at)::float8 AS ack_s,
           CASE WHEN NOT superseded THEN extract(epoch FROM resolved_at - raised_at)::float8 END AS resolve_s
    FROM alerts WHERE raised_at >= $1 AND {COUNTED}
) AS t
"""


class PostgresAlertQueries:
    """See :class:`monitor.domain.ports.queries.alerts.AlertQueries`."""

    def __init__(self, database: Database, reads: Reads | None = None) -> None:
        """*reads* serves what reads many rows; by default *database* does."""
        self._db = database
        self._reads = database if reads is None else reads

    async def alert(self, alert_id: UUID) -> AlertView:
        row = await self._db.fetchrow(f"{_ALERT} WHERE a.id = $1", alert_id)
        if row is None:
            raise NotFound(NO_ALERT)
        history = await self._db.fetch(
            "SELECT version, at, action, actor, note, severity, title, event_id FROM alert_history"
            f" WHERE alert_id = $1 ORDER BY version DESC LIMIT {HISTORY_SHOWN}",
            alert_id,
        )
        entries = self._db.rows.readable(
            history,
            lambda entry: from_row(entry, HistoryView),
            "alert_history",
            lambda entry: (alert_id, entry["version"]),
        )
        view = self._db.rows.one(row, alert_view, "alerts")
        return msgspec.structs.replace(view, history=list(entries.values())[::-1])

    async def alerts(self, where: AlertFilter, *, after: UUID | None, limit: int) -> list[AlertView]:
        return await self._alerts(_conditions(where).add("a.id < {}", after), limit)

    async def worst_alerts(self, where: AlertFilter, *, after: WorstFirst | None, limit: int) -> list[AlertView]:
        found: list[AlertView] = []
        for severity in reversed(SEVERITIES):
            # One severity after the other, each in the order of the index of open alerts.
            if where.severity not in (None, severity) or (after is not None and is_worse(severity, after.severity)):
                continue
            condition = _conditions(msgspec.structs.replace(where, severity=severity)).require("a.state <> 'resolved'")
            if after is not None and after.severity is severity:
                condition.add("a.id < {}", after.id)
            found += await self._alerts(condition, limit - len(found))
            if len(found) == limit:
                break
        return found

    async def told(self, event_ids: Collection[UUID]) -> dict[UUID, ToldView]:
        return await told(self._db, event_ids)

    async def last_told(self, webhook_ids: Collection[UUID]) -> dict[UUID, LastTold]:
        return await last_told(self._db, webhook_ids)

    async def critical_is_told(self) -> bool:
        return await critical_is_told(self._db)

    async def _alerts(self, condition: Where, limit: int) -> list[AlertView]:
        async def fetch(where: Where) -> list[asyncpg.Record]:
            return await self._reads.fetch(f"{_ALERT} {where} ORDER BY a.id DESC LIMIT {limit}", *where.args)

        return await list_rows(self._db, condition, fetch, alert_view, "alerts", limit, id_column="a.id")

    async def stats(self, days: int) -> AlertStatsView:
        since = await self._db.fetchrow(
            "SELECT date_trunc('day', now(), 'UTC') - make_interval(days => $1 - 1) AS at", days
        )
        assert since is not None
        first: datetime = since["at"]
        counts = await self._reads.fetch(COUNTS, first)
        by_day = await self._reads.fetch(DAYS, first)
        times = await self._reads.fetchrow(TIMES, first)
        assert times is not None
        return AlertStatsView(
            as_of=times["as_of"],
            days=days,
            counts=list(self._db.rows.readable(counts, _count, "alerts", tuple).values()),
            oldest_pending_age_s=None if times["oldest_s"] is None else round(times["oldest_s"], 3),
            series=_series(first, days, by_day),
            time_to_acknowledge=_durations(times, "ack"),
            time_to_resolve=_durations(times, "resolve"),
        )

    async def silence(self, silence_id: UUID) -> SilenceView:
        row = await self._db.fetchrow(f"{_SILENCE} WHERE s.id = $1", silence_id)
        if row is None:
            raise NotFound(NO_SILENCE)
        return self._db.rows.one(row, _silence_view, "silences")

    async def silences(
        self, *, active: bool | None, after: UUID | None, limit: int, state: SilenceState | None = None
    ) -> list[SilenceView]:
        condition = Where()
        condition.add("s.id < {}", after)
        condition.add("(s.ends_at > now()) = {}", active)
        if state is not None:
            condition.require(_STATES[state])

        async def fetch(where: Where) -> list[asyncpg.Record]:
            return await self._reads.fetch(f"{_SILENCE} {where} ORDER BY s.id DESC LIMIT {limit}", *where.args)

        return await list_rows(self._db, condition, fetch, _silence_view, "silences", limit, id_column="s.id")

    async def preview(self, spec: SilenceSpec) -> SilencePreview:
        args = (spec.webhook_id, spec.kind, spec.label)
        alerts = await self._db.fetch(
            f"{_ALERT}, {_THOUGHT_OF} WHERE a.state <> 'resolved' AND {_MATCHES} ORDER BY a.id DESC LIMIT {PREVIEWED}",
            *args,
        )
        # A webhook may get an alert of any kind, so the kind does not restrict the webhooks.
        webhooks = await self._db.fetchrow(
            "SELECT count(*) AS n FROM webhooks w"
            f" CROSS JOIN LATERAL (SELECT w.id AS webhook_id, $2::text AS kind) AS a, {_THOUGHT_OF}"
            f" WHERE w.deleted_at IS NULL AND {_MATCHES}",
            *args,
        )
        assert webhooks is not None
        return SilencePreview(webhooks["n"], list(self._db.rows.readable(alerts, alert_view, "alerts").values()))

    async def anomaly(self, anomaly_id: UUID) -> AnomalyView:
        row = await self._db.fetchrow(f"{_ANOMALY} WHERE a.id = $1", anomaly_id)
        if row is None:
            raise NotFound("There is no anomaly with this id.")
        return self._db.rows.one(row, _anomaly_view, "anomalies")

    async def anomalies(
        self, *, is_open: bool, webhook_id: UUID | None, after: UUID | None, limit: int
    ) -> list[AnomalyView]:
        condition = Where(f"a.closed_at IS {'' if is_open else 'NOT '}NULL")
        condition.add("a.webhook_id = {}", webhook_id)
        condition.add("a.id < {}", after)

        async def fetch(where: Where) -> list[asyncpg.Record]:
            return await self._reads.fetch(f"{_ANOMALY} {where} ORDER BY a.id DESC LIMIT {limit}", *where.args)

        return await list_rows(self._db, condition, fetch, _anomaly_view, "anomalies", limit, id_column="a.id")


def _conditions(where: AlertFilter) -> Where:
    condition = Where()
    condition.add("a.state = ANY({})", list(where.states) or None)
    condition.add("a.severity = {}", where.severity)
    condition.add("a.kind = {}", where.kind)
    condition.add("a.webhook_id = {}", where.webhook_id)
    condition.add("a.raised_at >= {}", where.from_at)
    condition.add("a.raised_at < {}", where.to_at)
    return condition


def alert_view(row: asyncpg.Record) -> AlertView:
    """Read one row of :data:`_ALERT`."""
    about_all = row["webhook_id"] == SYSTEM_ID
    return from_row(
        row,
        AlertView,
        "evidence",
        webhook_id=None if about_all else row["webhook_id"],
        worst_severity=row["worst_severity"] or row["severity"],
        conditions_at=row["conditions_at"],
        conditions=from_jsonb(row["conditions"], list[HeldCondition]),
    )


def _silence_view(row: asyncpg.Record) -> SilenceView:
    return silence_view(
        from_row(row, Silence), row["read_at"], matches=row["matches"], webhook_name=row["webhook_name"]
    )


def _anomaly_view(row: asyncpg.Record) -> AnomalyView:
    return from_row(row, AnomalyView, "evidence")


def _count(row: asyncpg.Record) -> AlertCount:
    return AlertCount(AlertState(row["state"]), Severity(row["severity"]), AlertKind(row["kind"]), row["n"])


def _series(first: datetime, days: int, rows: list[asyncpg.Record]) -> list[AlertsPerDay]:
    """Return every day, also those without alerts."""
    raised = {(row["day"], row["severity"]): row["raised"] for row in rows}
    resolved: dict[Any, int] = {}
    for row in rows:
        resolved[row["day"]] = resolved.get(row["day"], 0) + row["resolved"]
    dates = [(first + timedelta(days=offset)).date() for offset in range(days)]
    return [
        AlertsPerDay(day, {severity: raised.get((day, severity), 0) for severity in Severity}, resolved.get(day, 0))
        for day in dates
    ]


def _durations(row: asyncpg.Record, name: str) -> Durations:
    median, p90 = row[name] or (None, None)
    return Durations(row[f"{name}_n"], _rounded(median), _rounded(p90), _rounded(row[f"{name}_mean"]))


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
