"""Resources as the examples show them, made of the structs that routes return: an example cannot miss a member."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from uuid import UUID

import msgspec

from monitor.domain.alerts.alert import Action, AlertKind, AlertState, Cause
from monitor.domain.alerts.evaluation import NormalBand
from monitor.domain.alerts.silences import SilenceState
from monitor.domain.anomaly.model import Evidence, Signal
from monitor.domain.delivery.backlog import Backlog, BreakerView
from monitor.domain.delivery.circuit_breaker import BreakerState
from monitor.domain.delivery.exchange import HeaderField, RequestBody, StoredExchange
from monitor.domain.delivery.held import Held, HeldReason
from monitor.domain.delivery.job import BulkRetryParameters, ReplayParameters, new_job, shown_job
from monitor.domain.delivery.outcome import Phases
from monitor.domain.delivery.replay import shown
from monitor.domain.delivery.retry import RetryPolicy
from monitor.domain.delivery.selection import DeliveryFilter
from monitor.domain.monitoring.uptime import Counts
from monitor.domain.services.publish import Accepted
from monitor.domain.views.alerts import (
    AlertNow,
    AlertView,
    AnomalyView,
    FailedAttemptRef,
    HeldCondition,
    HistoryView,
    LastTold,
    NotificationDestinationView,
    ToldView,
)
from monitor.domain.views.audit import AuditView
from monitor.domain.views.deliveries import AttemptView, DeliveryView, EventView
from monitor.domain.views.history import Annotation, AnnotationKind, AnnotationsView, UptimeView, uptime_view
from monitor.domain.views.silences import OccurrenceView, SilenceView
from monitor.domain.views.tokens import Revocation, SessionView
from monitor.domain.views.webhooks import HealthView, LastHour, WebhookView
from monitor.domain.vocab import (
    BodyFormat,
    DeliveryState,
    ErrorKind,
    HealthStatus,
    Reenable,
    Role,
    Severity,
    SignatureScheme,
    SigningSecret,
    WebhookStatus,
)
from monitor.domain.webhooks.disabled import Disabled

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
EARLIER = NOW - timedelta(hours=2)

WEBHOOK_ID = UUID("019cad3b-1c00-7a5e-9c1f-0d6b1f0c2a11")
EVENT_ID = UUID("019cad3b-2000-7b61-8a40-5a3c2d1e0f22")
DELIVERY_ID = UUID("019cad3b-2001-7d02-b3aa-91f2e4c8d733")
ATTEMPT_ID = UUID("019cad3b-2400-7c13-8e55-6b7a8c9d0e44")
ALERT_ID = UUID("019cad3b-2800-7e24-9d66-1c2b3a4d5e55")
SILENCE_ID = UUID("019cad3b-2c00-7f35-8f77-2d3c4b5a6e66")
ANOMALY_ID = UUID("019cad3b-3000-7046-9a88-3e4d5c6b7f77")
AUDIT_ID = UUID("019cad3b-3400-7157-8b99-4f5e6d7c8a88")
REPLAY_ID = UUID("019cad3b-3800-7268-9caa-5a6f7e8d9b99")
BULK_ID = UUID("019cad3b-3c00-7379-9dbb-6b708f9e0caa")
CURSOR = "AZytOxwAel6cHw1rHwwqEQ"
SECRET = "whsec_bW9uaXRvci1leGFtcGxlLXNlY3JldA=="  # noqa: S105 - an example
REQUEST_ID = "5f0c8a3be1d24c6799b000000000001a"

WEBHOOK = WebhookView(
    id=WEBHOOK_ID,
    name="Orders to the warehouse",
    url="https://hooks.example.com/orders",
    description="Picks and ships.",
    event_types=["order.*"],
    labels={"team": "shipping"},
    headers={"X-Tenant": "***"},
    enabled=True,
    reenable=Reenable.PROBE,
    disabled_reason=None,
    paused_at=None,
    timeout_s=15.0,
    retry=RetryPolicy(),
    max_concurrency=10,
    rate_limit=None,
    ordered="key",
    skip_after=3,
    signature=SignatureScheme.V1,
    body_format=BodyFormat.STANDARD,
    reminders=[900, 3_600],
    health=HealthView(HealthStatus.DEGRADED, "6 of the last 20 attempts failed: HTTP 503.", 0.29, EARLIER),
    status=WebhookStatus.DEGRADED,
    status_reason="6 of the last 20 attempts failed: HTTP 503.",
    version=3,
    created_at=EARLIER,
    updated_at=EARLIER,
)
LAST_HOUR = LastHour(60, 0.9, 180.0)
DETAILS = msgspec.structs.replace(
    WEBHOOK,
    signals={
        "failures": "open",
        "latency": "normal",
        "latency_tail": "normal",
        "volume": "learning",
        "no_data": "learning",
    },
    normal=NormalBand(0.004, 120.0, 90.0, 160.0, 210.0),
    backlog=Backlog(
        waiting=8485,
        complete=True,
        in_flight=0,
        oldest_due_at=NOW - timedelta(minutes=12),
        next_try_at=NOW + timedelta(seconds=20),
        breaker=BreakerView(BreakerState.OPEN, NOW - timedelta(minutes=12), NOW + timedelta(seconds=20), 7),
        failing_since=NOW - timedelta(minutes=13),
        disables_at=NOW - timedelta(minutes=13) + timedelta(days=5),
    ),
    previous_secrets_expire_at=None,
)
DISABLED = msgspec.structs.replace(
    WEBHOOK,
    enabled=False,
    status=WebhookStatus.DISABLED,
    status_reason="The receiver answered 410 Gone.",
    disabled_reason="The receiver answered 410 Gone.",
    held=Held(HeldReason.DISABLED),
    disabled=Disabled(
        "The receiver answered 410 Gone.", EARLIER, EARLIER + timedelta(days=30), EARLIER + timedelta(hours=3)
    ),
    last_hour=LAST_HOUR,
)
EVENT = EventView(
    id=EVENT_ID,
    type="order.paid",
    labels={"team": "shipping"},
    occurred_at=EARLIER,
    created_at=EARLIER,
    order_key="customer-17",
)
ATTEMPT = AttemptView(
    id=ATTEMPT_ID,
    webhook_id=WEBHOOK_ID,
    kind="delivery",
    delivery_id=DELIVERY_ID,
    event_id=EVENT_ID,
    event_type="order.paid",
    number=1,
    ok=False,
    status_code=503,
    error=ErrorKind.STATUS,
    error_detail=None,
    latency_ms=182.4,
    phases=Phases(0.8, 14.2, 31.0, 180.1),
    response_body="try later",
    at=EARLIER,
)
ATTEMPT_IN_DETAIL = msgspec.structs.replace(
    ATTEMPT,
    exchange=StoredExchange(
        method="POST",
        url="https://shop.example.com/hook",
        request_headers=(
            HeaderField("Host", "shop.example.com"),
            HeaderField("webhook-id", str(EVENT_ID)),
            HeaderField("Authorization", "***"),
        ),
        body_bytes=2,
        body_sha256=sha256(b"{}").hexdigest(),
        response_headers=(HeaderField("Content-Type", "text/plain"), HeaderField("Retry-After", "30")),
        http_version="1.1",
    ),
    request_body=RequestBody(b"{}", rebuilt=False),
    signature_valid_with=SigningSecret.CURRENT,
)
DELIVERY = DeliveryView(
    id=DELIVERY_ID,
    event_id=EVENT_ID,
    webhook_id=WEBHOOK_ID,
    event_type="order.paid",
    state=DeliveryState.PENDING,
    attempts=1,
    in_flight=False,
    due_at=NOW,
    last_status_code=401,
    last_error="status",
    created_at=EARLIER,
    finished_at=None,
    order_key="customer-17",
    webhook_name=WEBHOOK.name,
    held=Held(
        HeldReason.REFUSED,
        NOW,
        "401 since 02 March, 10:00 UTC: the receiver refuses the credentials; next try at 12:00:00 UTC.",
    ),
)
EVIDENCE = Evidence(observed=0.3, expected=0.004, n=20, window_s=300.0, p_value=3.1e-9)
ALERT = AlertView(
    id=ALERT_ID,
    kind=AlertKind.FAILING,
    severity=Severity.WARNING,
    state=AlertState.PENDING,
    webhook_id=WEBHOOK_ID,
    webhook_name=WEBHOOK.name,
    title="6 of 20 attempts in 5 min failed; 0.4 % is normal.",
    count=2,
    causes=[Cause.FAILURES],
    evidence={"failures": msgspec.to_builtins(EVIDENCE)},
    raised_at=EARLIER,
    acknowledged_at=None,
    acknowledged_by=None,
    ack_expires_at=None,
    note=None,
    resolved_at=None,
    resolved_by=None,
    silenced=False,
    flapping=False,
    version=2,
    worst_severity=Severity.CRITICAL,
    conditions_at=NOW,
    conditions=[
        HeldCondition(
            Cause.FAILURES,
            Severity.WARNING,
            "9 of 40 attempts in 5 min failed; 0.4 % is normal.",
            msgspec.to_builtins(Evidence(observed=0.225, expected=0.004, n=40, window_s=300.0, p_value=1.4e-12)),
        )
    ],
)
RAISED = HistoryView(EARLIER, Action.RAISED, "system", None, Severity.WARNING, ALERT.title)
ACKNOWLEDGED = msgspec.structs.replace(
    ALERT,
    state=AlertState.ACKNOWLEDGED,
    acknowledged_at=NOW,
    acknowledged_by="grace",
    note="Calling them.",
    version=3,
    history=[
        RAISED,
        HistoryView(EARLIER, Action.NOTIFIED, "system", None, None, None, EVENT_ID, ToldView(2, 2, 0)),
        HistoryView(NOW, Action.ACKNOWLEDGED, "grace", "Calling them.", None, None),
    ],
    now=AlertNow(
        window_s=300,
        attempts=24,
        failures=6,
        p50_ms=110.0,
        p95_ms=180.0,
        status=WebhookStatus.DEGRADED,
        reason="6 of the last 20 attempts failed: HTTP 503 × 6.",
    ),
    last_failed_attempt=FailedAttemptRef(ATTEMPT_ID, WEBHOOK_ID, NOW, 503, "status"),
)
DESTINATION = NotificationDestinationView(
    webhook_id=WEBHOOK_ID,
    name="On call",
    body_format=BodyFormat.SLACK,
    event_types=["monitor.alert.*"],
    labels={"severity": "critical"},
    enabled=True,
    paused=False,
    critical=True,
    status=WebhookStatus.HEALTHY,
    status_reason="All of the last 20 attempts succeeded.",
    health=HealthView(HealthStatus.HEALTHY, "All of the last 20 attempts succeeded.", 0.02, EARLIER),
    last_told=LastTold(ATTEMPT_ID, NOW, 200, None),
)
SILENCE = SilenceView(
    id=SILENCE_ID,
    created_by="grace",
    created_at=EARLIER,
    reason="The warehouse moves its servers.",
    starts_at=EARLIER,
    ends_at=NOW + timedelta(hours=6),
    webhook_id=None,
    label="team=shipping",
    kind=None,
    state=SilenceState.ACTIVE,
    active=True,
    active_until=NOW + timedelta(hours=6),
    matches=1,
)
OCCURRENCE = OccurrenceView(
    datetime(2026, 3, 3, 1, tzinfo=UTC),
    datetime(2026, 3, 3, 3, tzinfo=UTC),
    datetime(2026, 3, 3, 2, tzinfo=timezone(timedelta(hours=1))),
    datetime(2026, 3, 3, 4, tzinfo=timezone(timedelta(hours=1))),
)
ANOMALY = AnomalyView(
    id=ANOMALY_ID,
    webhook_id=WEBHOOK_ID,
    webhook_name=WEBHOOK.name,
    signal=Signal.FAILURES,
    severity=Severity.WARNING,
    sentence=ALERT.title,
    evidence=EVIDENCE,
    opened_at=EARLIER,
    closed_at=None,
    alert_id=ALERT_ID,
)
AUDIT = AuditView(
    id=AUDIT_ID,
    at=EARLIER,
    subject="grace",
    role="admin",
    request_id=REQUEST_ID,
    client="203.0.113.9",
    action="webhook.update",
    target=f"webhook:{WEBHOOK_ID}",
    before={"timeout_s": 10.0},
    after={"timeout_s": 15.0},
)
SESSION = SessionView(subject="ada", role=Role.OPERATOR, expires_at=EARLIER + timedelta(days=1))
REVOCATION = Revocation("5e1a9d5a7c9b4f0e8a3c2b1d0f9e8d7c", EARLIER, EARLIER + timedelta(days=30))
_JOB = msgspec.structs.replace(
    new_job(
        REPLAY_ID,
        ReplayParameters(
            webhook_id=WEBHOOK_ID, from_at=EARLIER, to_at=NOW, states=(DeliveryState.FAILED, DeliveryState.CANCELLED)
        ),
        created_by="grace",
        now=NOW,
        total=412,
    ),
    done=200,
)
JOB = shown_job(_JOB, NOW + timedelta(seconds=2))
REPLAY = shown(_JOB)
BULK_JOB = shown_job(
    new_job(
        BULK_ID,
        BulkRetryParameters(chosen=DeliveryFilter(state=DeliveryState.FAILED, label="team=shipping", to_at=NOW)),
        created_by="grace",
        now=NOW,
        total=412,
    ),
    NOW,
)
ACCEPTED = Accepted(EVENT_ID, "order.paid", 1)

_UPTIME = uptime_view(
    NOW, {NOW: Counts(60, 6)}, {NOW.replace(hour=0): Counts(1440, 30), EARLIER.replace(day=1, hour=0): Counts(1440, 0)}
)
UPTIME = UptimeView(NOW, _UPTIME.success_ratios, _UPTIME.hours[-1:], _UPTIME.days[-2:])
ANNOTATIONS = AnnotationsView(
    EARLIER,
    NOW,
    complete=True,
    items=[
        Annotation(
            at=NOW - timedelta(minutes=50),
            kind=AnnotationKind.ALERT_RAISED,
            actor="system",
            alert_id=ALERT_ID,
            severity=Severity.WARNING,
            title=ALERT.title,
        ),
        Annotation(at=NOW - timedelta(hours=1), kind=AnnotationKind.UPDATED, actor="ada", members=["timeout_s"]),
    ],
)
