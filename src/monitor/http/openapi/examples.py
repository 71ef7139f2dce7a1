"""
One example of every request and response, for the OpenAPI document.

Responses are made of the structs that routes return, so that an example cannot miss a member. Requests are what a
person would type; the tests send every one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import msgspec

from monitor.domain.alerts.alert import AlertKind, AlertState
from monitor.domain.delivery.bulk import BulkCount
from monitor.domain.delivery.job import JobView
from monitor.domain.delivery.replay import ReplayCount, ReplayView
from monitor.domain.services.alerts import BulkAcknowledgementResult, SkippedAlert
from monitor.domain.services.attempts import Recorded
from monitor.domain.services.backlogs import SendNowView
from monitor.domain.services.publish import Accepted, PublishResult
from monitor.domain.services.resends import ResendView
from monitor.domain.views.activity import ActivityList
from monitor.domain.views.alerts import (
    AlertCount,
    AlertsPerDay,
    AlertStatsView,
    AlertView,
    AnomalyView,
    Durations,
    NotificationCoverage,
    NotificationDestinationView,
)
from monitor.domain.views.audit import AuditView
from monitor.domain.views.dashboard import (
    DashboardView,
    OverviewView,
    PerformanceView,
    WebhookRows,
)
from monitor.domain.views.deliveries import AttemptView, DeliveryCounts, DeliveryView, EventView
from monitor.domain.views.history import AnnotationsView, UptimeView
from monitor.domain.views.metrics import MetricsView
from monitor.domain.views.process import ProcessStatsView
from monitor.domain.views.silences import SilencePreview, SilenceView
from monitor.domain.views.tokens import Revocation, SessionView
from monitor.domain.views.webhooks import SecretView, WebhookView
from monitor.domain.vocab import (
    FanOutState,
    Page,
    Severity,
)
from monitor.http.openapi.dashboard import (
    ACTIVITY,
    COUNTS,
    OVERVIEW,
    PERFORMANCE,
    POINT,
    PROCESS_STATS,
    ROW,
)
from monitor.http.openapi.resources import (
    ACCEPTED,
    ACKNOWLEDGED,
    ALERT,
    ALERT_ID,
    ANNOTATIONS,
    ANOMALY,
    ANOMALY_ID,
    ATTEMPT,
    ATTEMPT_ID,
    ATTEMPT_IN_DETAIL,
    AUDIT,
    BULK_JOB,
    CURSOR,
    DELIVERY,
    DELIVERY_ID,
    DESTINATION,
    DETAILS,
    DISABLED,
    EARLIER,
    EVENT,
    EVENT_ID,
    JOB,
    LAST_HOUR,
    NOW,
    OCCURRENCE,
    REPLAY,
    REPLAY_ID,
    REVOCATION,
    SECRET,
    SESSION,
    SILENCE,
    SILENCE_ID,
    UPTIME,
    WEBHOOK,
    WEBHOOK_ID,
)

RESPONSES: Mapping[Any, object] = {
    WebhookView: WEBHOOK,
    SecretView: SecretView(SECRET, NOW + timedelta(days=1)),
    EventView: msgspec.structs.replace(
        EVENT,
        payload=msgspec.Raw(b'{"order":7,"total":"12.50"}'),
        deliveries=DeliveryCounts(pending=1),
        fan_out=FanOutState.DONE,
    ),
    Accepted: ACCEPTED,
    PublishResult: PublishResult([ACCEPTED]),
    DeliveryView: msgspec.structs.replace(DELIVERY, attempt_log=[ATTEMPT]),
    AttemptView: ATTEMPT_IN_DETAIL,
    Recorded: Recorded(2),
    MetricsView: MetricsView(EARLIER, NOW, 3600, POINT, [POINT]),
    UptimeView: UPTIME,
    AnnotationsView: ANNOTATIONS,
    AlertView: ACKNOWLEDGED,
    BulkAcknowledgementResult: BulkAcknowledgementResult(
        [ALERT_ID], [SkippedAlert(ANOMALY_ID, "There is no alert with this id.")]
    ),
    AlertStatsView: AlertStatsView(
        as_of=NOW,
        days=30,
        counts=[AlertCount(AlertState.PENDING, Severity.WARNING, AlertKind.FAILING, 1)],
        oldest_pending_age_s=7200.0,
        series=[AlertsPerDay(date(2026, 3, 2), {Severity.INFO: 0, Severity.WARNING: 1, Severity.CRITICAL: 0}, 0)],
        time_to_acknowledge=Durations(4, 95.0, 310.0, 140.5),
        time_to_resolve=Durations(3, 1260.0, 3900.0, 1810.0),
    ),
    SilenceView: SILENCE,
    SilencePreview: SilencePreview(3, [ALERT], [OCCURRENCE]),
    ReplayView: REPLAY,
    JobView: JOB,
    Page[JobView]: Page([JOB], CURSOR),
    ReplayCount: ReplayCount(412),
    SendNowView: SendNowView(hastened=100, job=BULK_JOB.id, held=None),
    ResendView: ResendView(event_id=EVENT_ID, requeued=3, created=1, pending=0),
    BulkCount: BulkCount(412, complete=True),
    ProcessStatsView: PROCESS_STATS,
    ActivityList: ACTIVITY,
    DashboardView: DashboardView(NOW, OVERVIEW, [ROW], PERFORMANCE, [ANOMALY], [ALERT]),
    OverviewView: OVERVIEW,
    PerformanceView: PERFORMANCE,
    Page[WebhookView]: Page([msgspec.structs.replace(WEBHOOK, last_hour=LAST_HOUR), DISABLED], CURSOR),
    Page[EventView]: Page(
        [msgspec.structs.replace(EVENT, deliveries=DeliveryCounts(delivered=3, failed=1), fan_out=FanOutState.DONE)],
        CURSOR,
    ),
    Page[DeliveryView]: Page([DELIVERY], CURSOR),
    Page[AttemptView]: Page([ATTEMPT], CURSOR),
    Page[AlertView]: Page([ALERT], CURSOR),
    Page[SilenceView]: Page([SILENCE], None),
    Page[NotificationDestinationView]: Page([DESTINATION], None),
    NotificationCoverage: NotificationCoverage(critical=True),
    Page[AnomalyView]: Page([ANOMALY], None),
    WebhookRows: WebhookRows([ROW], CURSOR, 12, COUNTS),
    Page[AuditView]: Page([AUDIT], CURSOR),
    Revocation: REVOCATION,
    SessionView: SESSION,
    Page[Revocation]: Page([REVOCATION], None),
}
"""By what a route returns."""

RESPONSES_OF: Mapping[str, object] = {
    "create_webhook": msgspec.structs.replace(WEBHOOK, version=1, secret=SECRET),
    "get_webhook": DETAILS,
    "bulk_deliveries": BULK_JOB,
    "live": {"status": "live"},
    "ready": {"status": "ready"},
    "metrics": 'monitor_webhooks{status="healthy"} 11.0\n',
}
"""By operation id, where several routes return the same type, or none of ours."""

_WEBHOOK = {
    "name": "Orders to the warehouse",
    "url": "https://hooks.example.com/orders",
    "event_types": ["order.*"],
    "labels": {"team": "shipping"},
    "headers": {"X-Tenant": "7"},
}
_EVENT = {"type": "order.paid", "payload": {"order": 7, "total": "12.50"}, "labels": {"team": "shipping"}}
_RANGE = {"from": "2026-03-02T10:00:00Z", "to": "2026-03-02T12:00:00Z"}
_WEEKLY = {
    "reason": "The warehouse restarts its servers.",
    "starts_at": "2026-03-03T02:00:00+01:00",
    "duration_s": 7200,
    "recurrence": {"rrule": "FREQ=WEEKLY;BYDAY=TU,TH", "timezone": "Europe/Berlin"},
    "hold_deliveries": True,
    "label": "team=shipping",
}
_SILENCE = {"reason": "The warehouse moves its servers.", "ends_at": "2026-03-02T18:00:00Z", "label": "team=shipping"}

REQUESTS: Mapping[str, Mapping[str, object]] = {
    "create_webhook": {"A webhook": _WEBHOOK},
    "replace_webhook": {"A webhook": _WEBHOOK, "Keep a stored header": _WEBHOOK | {"headers": {"X-Tenant": "***"}}},
    "patch_webhook": {
        "Two members": {"timeout_s": 10, "rate_limit": {"per_s": 5, "burst": 10}},
        "Enable it, and deliver what it missed": {"enabled": True, "backfill": True},
    },
    "rotate_secret": {"The old one signs for an hour": {"overlap_s": 3600}},
    "replay": {
        "Count only": _RANGE | {"dry_run": True},
        "Send again": _RANGE | {"states": ["failed"]},
        "Deliver stored events": _RANGE | {"source": "events"},
    },
    "resend_event": {"To all that match": {}, "To one": {"webhook_ids": [str(WEBHOOK_ID)]}},
    "bulk_deliveries": {
        "Count only": {"action": "retry", "filter": {"state": "failed", "error": "503"}, "dry_run": True},
        "Retry what failed": {"action": "retry", "filter": {"state": "failed", "label": "team=shipping"}},
        "Retry some": {"action": "retry", "filter": {"ids": [str(DELIVERY_ID)]}},
        "Cancel what waits": {"action": "cancel", "filter": {"event_type": "order.*"}},
        "Resend a time range": {"action": "resend", "filter": _RANGE | {"webhook_id": str(WEBHOOK_ID)}},
        "Cancel everything": {"action": "cancel", "filter": {}, "all": True},
    },
    "report_attempts": {
        "An answer and a failure": {
            "attempts": [
                {"delivered_at": "2026-03-02T11:59:00Z", "latency_ms": 182.4, "status_code": 200},
                {"delivered_at": "2026-03-02T11:59:01Z", "latency_ms": 15000, "error": "timeout"},
            ]
        }
    },
    "publish": {"One event": _EVENT, "A batch": {"events": [_EVENT, {"type": "order.sent", "payload": [7]}]}},
    "acknowledge_alert": {"For two hours": {"note": "Calling them.", "expires_at": "2026-03-02T14:00:00Z"}},
    "unacknowledge_alert": {"With a note": {"note": "Off shift."}},
    "comment_on_alert": {"A finding": {"text": "Their proxy answers 503."}},
    "resolve_alert": {"With a note": {"note": "They fixed it."}},
    "acknowledge_alerts": {"Two at once": {"ids": [str(ALERT_ID), str(ANOMALY_ID)], "note": "One cause."}},
    "create_silence": {"By label": _SILENCE, "Every week": _WEEKLY},
    "preview_silence": {"By label": _SILENCE, "Every week": _WEEKLY},
    "revoke_token": {"By its jti": {"jti": REVOCATION.jti}},
}
"""By operation id, each with what it shows."""

PARAMETERS: Mapping[str, object] = {
    "webhook_id": str(WEBHOOK_ID),
    "event_id": str(EVENT_ID),
    "delivery_id": str(DELIVERY_ID),
    "attempt_id": str(ATTEMPT_ID),
    "alert_id": str(ALERT_ID),
    "silence_id": str(SILENCE_ID),
    "replay_id": str(REPLAY_ID),
    "job_id": str(REPLAY_ID),
    "cursor": CURSOR,
    "from": "2026-03-02T11:00:00Z",
    "to": "2026-03-02T12:00:00Z",
    "Idempotency-Key": "order-7-paid",
    "If-Match": '"3.0a1b2c3d"',
}
"""By name, for parameters whose type alone does not show what to give."""
