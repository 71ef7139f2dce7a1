"""One hypothesis strategy per domain struct, named like it in the plural, and the values they are made of."""

from __future__ import annotations

import string
from datetime import UTC, datetime
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
    Condition,
    HistoryEntry,
    Identity,
    MassFailure,
    Resolve,
    Silence,
    SilenceSpec,
    UpdateConditions,
    WebhookSnapshot,
    replay,
)
from monitor.domain.alerts import notification as announce
from monitor.domain.alerts.alert import IllegalTransition, apply_entry
from monitor.domain.alerts.evaluation import EvaluationInput, NormalBand
from monitor.domain.alerts.lifecycle import Trigger
from monitor.domain.anomaly import Baselines, Evidence, Signal, SignalState, Verdict, observe_all, start_baselines
from monitor.domain.anomaly.tally import Tally, tally_of, to_sample
from monitor.domain.delivery.circuit_breaker import Breaker, BreakerPolicy, BreakerState
from monitor.domain.delivery.outcome import Outcome, Phases
from monitor.domain.delivery.rate_limit import RateLimit
from monitor.domain.delivery.retry import Dead, Decision, Done, Retry, RetryPolicy
from monitor.domain.events import DomainEvent, WebhookStatusChanged
from monitor.domain.monitoring.health import Health, HealthPolicy
from monitor.domain.monitoring.metrics import MAX_BUCKET, Histogram, Rollup
from monitor.domain.views.alerts import (
    AlertCount,
    AlertsPerDay,
    AlertStatsView,
    AlertView,
    AnomalyView,
    Durations,
    HistoryView,
    SilencePreview,
    SilenceView,
)
from monitor.domain.vocab import (
    OK_LABEL,
    Actor,
    BodyFormat,
    ErrorKind,
    HealthStatus,
    Page,
    Reenable,
    Role,
    Severity,
    SignatureScheme,
)
from monitor.domain.webhooks.webhook import Webhook
from tests.samples import rollup_of

# ------------------------------------------------------------------------------------------------------------- values

instants = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
"""Aware UTC."""

jitters = st.floats(0, 1, exclude_max=True)
ratios = st.floats(0.01, 1)
latencies_ms = st.floats(0, 100_000, allow_subnormal=False)
status_codes = st.integers(300, 999)
failure_labels = st.sampled_from(["404", "500", "503", "timeout", "dns", "reset"])
labels = st.just(OK_LABEL) | failure_labels
"""Outcome labels, about half of them ``ok``."""

recents = st.lists(labels, max_size=25).map(tuple)
"""Outcome labels of a webhook's latest attempts, oldest first."""

samples = st.lists(st.tuples(labels, latencies_ms), max_size=50)
segments = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=6)
names = st.text(st.characters(exclude_categories=("Cc", "Cf", "Cs")), min_size=1, max_size=12)
event_types = st.lists(segments, min_size=1, max_size=4).map(".".join)
patterns = st.just("*") | event_types | event_types.map("{}.*".format)
label_maps = st.dictionaries(segments, segments, max_size=3)
message_ids = st.uuids().map("msg_{}".format)
timestamps_s = st.integers(0, 4_102_444_800)
signing_keys = st.binary(min_size=24, max_size=64)
_json_characters = st.one_of(
    st.characters(min_codepoint=0x20, exclude_characters='"\\', exclude_categories=["Cs"]),
    st.sampled_from(["\\n", '\\"', "\\\\", "\\/", "\\u0000", "\\u00e4", "\\ud83d\\ude00"]),
    st.integers(0xD800, 0xDFFF).flatmap(lambda half: st.sampled_from([f"\\u{half:x}", f"\\u{half:X}"])),
)
_json_strings = st.lists(_json_characters, max_size=6).map(lambda parts: '"' + "".join(parts) + '"')
_json_numbers = st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,9})?([eE][+-]?[0-9]{1,4})?", fullmatch=True)
json_texts: st.SearchStrategy[bytes] = st.recursive(
    st.sampled_from(["null", "true", "1e400", "-1E+400"]) | _json_numbers.filter(str.isascii) | _json_strings,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: "[" + " ,".join(items) + "]")
        | st.lists(st.tuples(_json_strings, inner).map(":\t".join), max_size=3).map(lambda m: "{" + ", ".join(m) + "}")
    ),
    max_leaves=8,
).map(str.encode)
"""JSON by its grammar (RFC 8259), not by a writer: lone surrogates, numbers beyond doubles, names given twice."""

# ------------------------------------------------------------------------------------------------------ vocab, webhooks

actors = st.builds(Actor, subject=names, role=st.none() | st.sampled_from(Role), request_id=st.none() | segments)
pages = st.builds(Page[str], items=st.lists(segments, max_size=5), next_cursor=st.none() | segments)
rate_limits = st.builds(RateLimit, per_s=st.floats(0.1, 1_000), burst=st.integers(1, 100))
retry_policies = st.builds(
    RetryPolicy, schedule_s=st.lists(st.floats(0, 1e9), max_size=12).map(tuple), jitter_ratio=st.floats(0, 1)
)
webhooks = st.builds(
    Webhook,
    id=st.uuids(),
    name=names,
    url=segments.map("https://example.com/{}".format),
    description=names,
    event_types=st.lists(patterns, min_size=1, max_size=3).map(tuple),
    labels=label_maps,
    header_names=st.lists(segments, max_size=2).map(tuple),
    enabled=st.booleans(),
    disabled_reason=st.none() | names,
    disabled_at=st.none() | instants,
    reenable=st.sampled_from(Reenable),
    paused_at=st.none() | instants,
    timeout_s=st.floats(1, 30),
    retry=retry_policies,
    max_concurrency=st.integers(1, 100),
    rate_limit=st.none() | rate_limits,
    ordered=st.sampled_from([False, True, "key"]),
    skip_after=st.none() | st.integers(1, 50),
    signature=st.sampled_from(SignatureScheme),
    body_format=st.sampled_from(BodyFormat),
    version=st.integers(1, 1_000),
    created_at=instants,
    updated_at=instants,
)

# ------------------------------------------------------------------------------------------------------------- delivery

phase_times = st.none() | latencies_ms
phases = st.builds(Phases, dns_ms=phase_times, connect_ms=phase_times, tls_ms=phase_times, first_byte_ms=phase_times)
retry_afters = (
    st.none() | st.integers(0, 10**12).map(str) | instants.map("{:%a, %d %b %Y %H:%M:%S} GMT".format) | st.text()
)
successes = st.builds(Outcome, latency_ms=latencies_ms, status_code=st.integers(200, 299), phases=phases)
refusals = st.builds(
    Outcome,
    latency_ms=latencies_ms,
    status_code=status_codes | st.sampled_from([410, 429, 503]),
    error=st.just(ErrorKind.STATUS),
    phases=phases,
    response_body=st.binary(max_size=16),
    retry_after=retry_afters,
)
transport_failures = st.builds(
    Outcome,
    latency_ms=latencies_ms,
    error=st.sampled_from([kind for kind in ErrorKind if kind is not ErrorKind.STATUS]),
    error_detail=st.none() | names,
    phases=phases,
)
outcomes = successes | refusals | transport_failures
decisions: st.SearchStrategy[Decision] = st.one_of(
    st.builds(Done), st.builds(Retry, instants), st.builds(Dead, disable=st.booleans())
)

# -------------------------------------------------------------------------------------------- metrics, health, circuit

histograms = st.dictionaries(st.integers(0, MAX_BUCKET), st.integers(1, 10**9), max_size=20).map(
    lambda buckets: Histogram(tuple(sorted(buckets)), tuple(buckets[index] for index in sorted(buckets)))
)
rollups: st.SearchStrategy[Rollup] = samples.map(rollup_of)

health_policies = st.builds(
    HealthPolicy,
    window=st.integers(1, 25),
    unavailable_streak=st.integers(1, 10),
    unavailable_ratio=ratios,
    unavailable_min_samples=st.integers(1, 10),
    recovery_streak=st.integers(1, 10),
    degraded_failures=st.integers(1, 5),
    degraded_ratio=ratios,
    degraded_small_ratio=ratios,
    settled_streak=st.integers(1, 15),
)
healths = st.builds(
    Health,
    status=st.sampled_from(HealthStatus),
    reason=names,
    failure_probability=st.floats(0, 1),
    changed_at=st.none() | instants,
)

breaker_policies = st.builds(
    BreakerPolicy,
    consecutive=st.integers(1, 10),
    ratio=ratios,
    window=st.integers(1, 25),
    base_open_s=st.floats(1, 60),
    cap_open_s=st.floats(60, 3_600),
    probe_lease_s=st.floats(1, 120),
)
closed_breakers = st.builds(Breaker, since=st.integers(0, 20))
tripped_breakers = st.builds(
    Breaker, st.sampled_from([BreakerState.OPEN, BreakerState.HALF_OPEN]), instants, st.integers(1, 10_000)
)
breakers = closed_breakers | tripped_breakers

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
    st.builds(UpdateConditions, condition_lists.map(tuple), st.booleans()),
    st.builds(Acknowledge, segments, notes, st.none() | instants, st.booleans()),
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
)
mass_failures = st.integers(0, 1_000).flatmap(
    lambda tried: st.builds(MassFailure, failing=st.integers(0, tried), tried=st.just(tried))
)
scopes: dict[str, st.SearchStrategy[Any]] = {
    "webhook_id": st.none() | st.uuids(),
    "label": st.none() | segments | st.tuples(segments, segments).map("=".join),
    "kind": st.none() | st.sampled_from(AlertKind),
}
silence_specs = st.builds(SilenceSpec, reason=names, ends_at=instants, **scopes)
silences = st.builds(
    Silence, id=st.uuids(), created_by=segments, created_at=instants, reason=names, ends_at=instants, **scopes
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
        msgspec.convert(msgspec.structs.asdict(alert) | others, AlertView), history=history
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
    lambda silence, active, matches: SilenceView(**msgspec.structs.asdict(silence), active=active, matches=matches),
    silences,
    st.booleans(),
    counts,
)
silence_previews = st.builds(SilencePreview, webhooks=counts, alerts=st.lists(alert_views, max_size=2))
anomaly_views = st.builds(AnomalyView, evidence=evidences, opened_at=instants, closed_at=st.none() | instants)
domain_events: st.SearchStrategy[DomainEvent] = st.one_of(
    st.builds(WebhookStatusChanged, at=instants),
    *(st.builds(event) for event in get_args(DomainEvent) if event is not WebhookStatusChanged),
)
