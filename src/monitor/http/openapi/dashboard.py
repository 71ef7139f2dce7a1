"""What the dashboard and the system routes return, as the examples show it."""

from __future__ import annotations

from monitor.domain.views.activity import ActivityList, ActivityView
from monitor.domain.views.dashboard import (
    OverviewView,
    PerformanceView,
    QueueView,
    Sparkline,
    Throughput,
    TrafficSummary,
    WebhookRow,
)
from monitor.domain.views.metrics import MetricsPoint
from monitor.domain.views.process import (
    CachedViewStats,
    CacheState,
    DatabaseStats,
    ProcessSessions,
    ProcessStatsView,
    ReplicaStats,
    SocketStats,
)
from monitor.domain.vocab import Severity, WebhookStatus
from monitor.http.openapi.resources import EARLIER, LAST_HOUR, NOW, WEBHOOK, WEBHOOK_ID

POINT = MetricsPoint(EARLIER, 60, 6, 0.9, 121.0, 110.0, 180.0, 240.0, 15.2, {"503": 6})
TRAFFIC = TrafficSummary(3600, 60, 0.017, 0.9, 110.0, 180.0, 240.0)
COUNTS = dict.fromkeys(WebhookStatus, 0) | {WebhookStatus.HEALTHY: 11, WebhookStatus.DEGRADED: 1}
OVERVIEW = OverviewView(
    as_of=NOW,
    webhooks=COUNTS,
    disabled=0,
    paused=0,
    throughput=Throughput(300, 6, 0.02),
    traffic=TRAFFIC,
    queue=QueueView(4, 1, 0.1, 0.2, 0, 0.0),
    alerts={Severity.INFO: 0, Severity.WARNING: 1, Severity.CRITICAL: 0},
    acknowledged=0,
    anomalies=1,
    sockets=3,
    cache_hit_ratio=0.98,
)
ROW = WebhookRow(
    id=WEBHOOK_ID,
    name=WEBHOOK.name,
    url=WEBHOOK.url,
    labels=WEBHOOK.labels,
    enabled=True,
    paused_at=None,
    status=WebhookStatus.DEGRADED,
    reason=WEBHOOK.health.reason,
    health=WEBHOOK.health,
    waiting=4,
    last_attempt_at=NOW,
    last_hour=LAST_HOUR,
    sparkline=Sparkline(300, [5] * 12, [0] * 10 + [3, 3]),
    alerts=1,
    anomalies=1,
)
ACTIVITY = ActivityList(
    [
        ActivityView(
            at=NOW,
            kind="health",
            action="changed",
            level="degraded",
            text="2 of the last 20 attempts failed: timed out × 2.",
            webhook_id=WEBHOOK_ID,
            webhook_name=WEBHOOK.name,
        )
    ]
)
PROCESS_STATS = ProcessStatsView(
    as_of=NOW,
    version="1.0.0",
    python="3.11.7",
    redis="connected",
    database=DatabaseStats(
        version="18.1",
        schema_revision="0021",
        read_only=False,
        size_bytes=52_428_800,
        processes=[ProcessSessions("serve web-1:311", 3, EARLIER), ProcessSessions("work web-1:312", 5, EARLIER)],
    ),
    replica=ReplicaStats(
        used=True, trouble=None, lag_bytes=0, lag_s=0.0, reads=5200, passed_on={"behind": 3, "conflict": 1}
    ),
    tasks={"live_feed.send": True, "live_hub.ticks": True},
    retention_d={"events_d": 30, "attempts_d": 14},
    cache=CacheState(entries=120, bytes=1_048_576, trusted=True, pending_invalidations=0),
    sockets=3,
    users=[SocketStats("grace", 2, EARLIER), SocketStats("ada", 1, NOW)],
    views=[
        CachedViewStats(
            view="overview",
            reads=1200,
            hit_ratio=0.98,
            memory_ratio=0.95,
            redis_ratio=0.02,
            stale_ratio=0.01,
            creations=24,
            creation_ms=18.5,
        )
    ],
)
PERFORMANCE = PerformanceView(NOW, 3600, 60, TRAFFIC, TRAFFIC, [POINT])
