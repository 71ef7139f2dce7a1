"""Webhooks, their deliveries, and what is measured of them."""

from __future__ import annotations

import msgspec
from hypothesis import strategies as st

from monitor.domain.delivery.circuit_breaker import Breaker, BreakerPolicy, BreakerState
from monitor.domain.delivery.outcome import Outcome, Phases
from monitor.domain.delivery.rate_limit import RateLimit
from monitor.domain.delivery.retry import Dead, Decision, Done, Retry, RetryPolicy
from monitor.domain.monitoring.health import Health, HealthPolicy
from monitor.domain.monitoring.metrics import MAX_BUCKET, Histogram, Rollup
from monitor.domain.vocab import (
    Actor,
    BodyFormat,
    ErrorKind,
    HealthStatus,
    Page,
    Reenable,
    Role,
    SignatureScheme,
)
from monitor.domain.webhooks.webhook import Webhook
from tests.samples import rollup_of
from tests.strategies.values import (
    instants,
    label_maps,
    latencies_ms,
    names,
    patterns,
    ratios,
    samples,
    segments,
    status_codes,
)

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
broken_answers = st.builds(
    msgspec.structs.replace, transport_failures, status_code=st.integers(200, 999), retry_after=retry_afters
)
"""A status and a transport error: no sender makes it, and the laws hold for it nevertheless."""

outcomes = successes | refusals | transport_failures | broken_answers
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
