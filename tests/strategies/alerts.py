"""Tallies, anomalies, alerts, and events."""

from __future__ import annotations

from functools import reduce
from typing import Any, get_args

import msgspec
from hypothesis import strategies as st

from monitor.domain.alerts import (
    Acknowledge,
    Action,
    Alert,
    AlertKind,
    AlertPolicy,
    Cause,
    Comment,
    Condition,
    HistoryEntry,
    Identity,
    MassFailure,
    Remind,
    Resolve,
    Silence,
    SilenceSpec,
    Tell,
    Unacknowledge,
    UpdateConditions,
    WebhookSnapshot,
    replay,
)
from monitor.domain.alerts import notification as announce
from monitor.domain.alerts.alert import IllegalTransition, apply_entry
from monitor.domain.alerts.evaluation import EvaluationInput, NormalBand
from monitor.domain.alerts.lifecycle import Trigger
from monitor.domain.alerts.recurrence import Recurrence
from monitor.domain.anomaly import Baselines, Evidence, Signal, SignalState, Verdict, observe_all, start_baselines
from monitor.domain.anomaly.tally import Tally, tally_of, to_sample
from monitor.domain.events import DomainEvent, WebhookStatusChanged
from monitor.domain.views.alerts import (
    AlertCount,
    AlertsPerDay,
    AlertStatsView,
    AlertView,
    AnomalyView,
    Durations,
    HistoryView,
)
from monitor.domain.views.silences import SilencePreview, silence_view
from monitor.domain.vocab import (
    Severity,
)
from tests.strategies.delivery import healths, phase_times
from tests.strategies.values import instants, label_maps, latencies_ms, names, ratios, segments

# --------------------------------------------------------------------------------------------------- tallies, anomalies

made_attempts = st.lists(st.tuples(st.booleans(), latencies_ms), max_size=30)
"""Pairs ``(succeeded, latency_ms)`` in the order they were made."""

tallies: st.SearchStrategy[Tally] = made_attempts.map(tally_of)
evidences = st.builds(
    Evidence,
    observed=st.floats(0, 1e6),
    expected=st.floats(0, 1e6),
    n=st.integers(0, 10**6),
    window_s=st.floats(1, 1e6),
    p_value=st.floats(0, 1),
)
calm_verdicts = st.builds(
    Verdict,
    signal=st.sampled_from(Signal),
    state=st.sampled_from([SignalState.LEARNING, SignalState.NORMAL]),
    at=st.floats(0, 4e9),
    sentence=names,
)
alarmed_verdicts = st.builds(
    Verdict,
    signal=st.sampled_from(Signal),
    state=st.sampled_from([SignalState.OPENED, SignalState.OPEN, SignalState.CLOSED]),
    at=st.floats(0, 4e9),
    sentence=names,
    severity=st.sampled_from(Severity),
    evidence=evidences,
    opened_at=st.floats(0, 4e9),
)
verdicts = calm_verdicts | alarmed_verdicts

# --------------------------------------------------------------------------------------------------------------- alerts

alert_policies = st.builds(
    AlertPolicy,
    reopen_s=st.floats(1, 3_600),
    flap_s=st.floats(1, 7_200),
    flap_transitions=st.integers(1, 8),
    suppress_s=st.floats(1, 172_800),
    unavailable_s=st.floats(1, 600),
    mass_failure_ratio=ratios,
    mass_failure_min=st.integers(1, 20),
    mass_failure_s=st.floats(1, 3_600),
)
identities = st.builds(Identity, id=st.uuids(), webhook_id=st.uuids(), kind=st.sampled_from(AlertKind))
cause_conditions = st.builds(
    Condition,
    cause=st.sampled_from(Cause),
    severity=st.sampled_from(Severity),
    title=names,
    evidence=st.dictionaries(segments, st.integers(0, 100), max_size=2),
)
condition_lists = st.lists(cause_conditions, max_size=3, unique_by=lambda condition: condition.cause)
notes = st.none() | names
triggers: st.SearchStrategy[Trigger] = st.one_of(
    st.builds(UpdateConditions, condition_lists.map(tuple), st.booleans(), superseded_note=notes),
    st.builds(Tell, st.booleans()),
    st.builds(Remind, names, st.booleans()),
    st.builds(Acknowledge, segments, notes, st.none() | instants, st.booleans()),
    st.builds(Unacknowledge, segments, notes, st.booleans()),
    st.builds(Comment, segments, names, st.booleans()),
    st.builds(Resolve, segments, notes, st.booleans()),
)
entries = st.builds(
    HistoryEntry,
    at=instants,
    action=st.sampled_from(Action),
    actor=segments,
    note=notes,
    severity=st.none() | st.sampled_from(Severity),
    title=notes,
    causes=st.none() | st.lists(st.sampled_from(Cause), max_size=2, unique=True).map(tuple),
    evidence=st.none() | st.dictionaries(st.sampled_from(Cause), st.just({"n": 1}), max_size=2),
    expires_at=st.none() | instants,
)


@st.composite
def histories(draw: st.DrawFn) -> tuple[Identity, list[HistoryEntry]]:
    """An alert's identity and a history that the table of transitions allows, beginning with ``RAISED``."""
    identity, alert, history = draw(identities), None, []
    for entry in [msgspec.structs.replace(draw(entries), action=Action.RAISED), *draw(st.lists(entries, max_size=8))]:
        try:
            alert = apply_entry(alert, entry, identity, AlertPolicy())
        except IllegalTransition:
            continue
        history.append(entry)
    return identity, history


alerts: st.SearchStrategy[Alert] = histories().map(lambda history: replay(*history, AlertPolicy()))
webhook_snapshots = st.builds(
    WebhookSnapshot,
    name=names,
    health=healths,
    failing_since=st.none() | instants,
    enabled=st.booleans(),
    disabled_reason=st.none() | names,
    quarantined=st.integers(0, 5),
    expired=st.integers(0, 1_000),
)
mass_failures = st.integers(0, 1_000).flatmap(
    lambda tried: st.builds(MassFailure, failing=st.integers(0, tried), tried=st.just(tried))
)
scopes: dict[str, st.SearchStrategy[Any]] = {
    "webhook_id": st.none() | st.uuids(),
    "label": st.none() | segments | st.tuples(segments, segments).map("=".join),
    "kind": st.none() | st.sampled_from(AlertKind),
}
recurrences = st.builds(Recurrence, st.sampled_from(["FREQ=DAILY", "FREQ=WEEKLY;BYDAY=MO"]), st.just("Europe/Berlin"))
silence_specs = st.builds(
    SilenceSpec,
    reason=names,
    starts_at=st.none() | instants,
    ends_at=st.none() | instants,
    duration_s=st.none() | st.integers(60, 31_536_000),
    recurrence=st.none() | recurrences,
    **scopes,
)
silences = st.builds(
    Silence,
    id=st.uuids(),
    created_by=segments,
    created_at=instants,
    reason=names,
    ends_at=instants,
    starts_at=st.none() | instants,
    rrule=st.sampled_from([None, "FREQ=DAILY"]),
    timezone=st.just("Europe/Berlin"),
    window_starts=st.none() | st.lists(instants, max_size=3).map(tuple),
    window_ends=st.none() | st.lists(instants, max_size=3).map(tuple),
    advance_at=st.none() | instants,
    **scopes,
)
alert_event_types = st.sampled_from([announce.RAISED, announce.ACKNOWLEDGED, announce.RESOLVED, announce.FLAPPING])
alert_notifications = st.builds(
    announce.notification_of, event_type=alert_event_types, alert=alerts, webhook_name=names, labels=label_maps
)
evaluation_inputs = st.builds(
    EvaluationInput,
    webhook_id=st.uuids(),
    labels=label_maps,
    webhook=webhook_snapshots,
    deleted=st.booleans(),
    held=st.booleans(),
    unevaluated=tallies,
    evaluated_at=st.none() | instants,
)
normals = st.builds(
    NormalBand,
    failure_ratio=st.none() | st.floats(0, 1),
    latency_ms=phase_times,
    latency_low_ms=phase_times,
    latency_high_ms=phase_times,
    slow_ms=phase_times,
)
baselines: st.SearchStrategy[Baselines] = st.lists(made_attempts, max_size=5).map(
    lambda batches: reduce(
        lambda learned, batch: observe_all(learned, to_sample(tally_of(batch), learned.failures.at + 60, held=False))[
            0
        ],
        batches,
        start_baselines(0.0),
    )
)

# ------------------------------------------------------------------------------------------- views of alerts, events

counts = st.integers(0, 1_000)
lapses_s = st.none() | st.floats(0, 1e6)
history_views = st.builds(HistoryView, at=instants)
alert_views = st.builds(
    lambda alert, history, **others: msgspec.structs.replace(
        msgspec.convert(msgspec.structs.asdict(alert) | {"worst_severity": alert.worst} | others, AlertView),
        history=history,
    ),
    alerts,
    st.just(msgspec.UNSET) | st.lists(history_views, max_size=3),
    webhook_name=notes,
    silenced=st.booleans(),
)
alert_counts = st.builds(AlertCount, count=counts)
days_of_alerts = st.builds(
    AlertsPerDay, raised=st.dictionaries(st.sampled_from(Severity), counts, max_size=3), resolved=counts
)
durations = st.builds(Durations, n=counts, median_s=lapses_s, p90_s=lapses_s, mean_s=lapses_s)
alert_stats_views = st.builds(
    AlertStatsView,
    as_of=instants,
    days=counts,
    counts=st.lists(alert_counts, max_size=3),
    oldest_pending_age_s=lapses_s,
    series=st.lists(days_of_alerts, max_size=3),
    time_to_acknowledge=durations,
    time_to_resolve=durations,
)
silence_views = st.builds(
    lambda silence, now, matches: silence_view(silence, now, matches=matches), silences, instants, counts
)
silence_previews = st.builds(SilencePreview, webhooks=counts, alerts=st.lists(alert_views, max_size=2))
anomaly_views = st.builds(AnomalyView, evidence=evidences, opened_at=instants, closed_at=st.none() | instants)
domain_events: st.SearchStrategy[DomainEvent] = st.one_of(
    st.builds(WebhookStatusChanged, at=instants),
    *(st.builds(event) for event in get_args(DomainEvent) if event is not WebhookStatusChanged),
)
