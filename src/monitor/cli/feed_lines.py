"""Frames of the live feed as lines of a terminal. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from monitor.domain.text import safe_text


def line_of(frame: dict[str, Any]) -> str | None:
    """Return *frame* in one line; ``None`` of a kind that this version lacks."""
    shown = _SHOWN.get(frame["type"])
    if shown is None:
        return None
    clock = frame["at"].partition(".")[0].rstrip("Z")
    # What webhooks answer and users type may hold what moves the cursor.
    return safe_text(f"{clock}Z {shown(frame['data'])}").replace("\n", " ").replace("\t", " ")


def _snapshot(data: dict[str, Any]) -> str:
    overview = data["overview"]
    pending = sum(overview["alerts"].values())
    webhooks = ", ".join(f"{count} {status}" for status, count in overview["webhooks"].items() if count) or "none"
    return f"connected webhooks: {webhooks}; pending alerts: {pending}; open anomalies: {overview['anomalies']}"


def _alert_updated(data: dict[str, Any]) -> str:
    by = data["resolved_by"] if data["state"] == "resolved" else data["acknowledged_by"]
    return f"alert     {data['state']}{f' by {by}' if by else ''}: {_about(data)}{data['title']}"


def _metrics(data: dict[str, Any]) -> str:
    queue = data["queue"]
    return f"metrics   {queue['pending']} deliveries are pending, {queue['in_flight']} in flight"


_SHOWN: dict[str, Callable[[dict[str, Any]], str]] = {
    "snapshot": _snapshot,
    "alert_new": lambda data: f"ALERT     {data['severity']}: {_about(data)}{data['title']}",
    "alert_updated": _alert_updated,
    "webhook_status_changed": lambda data: f"webhook   {data['status']}: {data['webhook_id']}: {data['reason']}",
    "anomaly_opened": lambda data: f"anomaly   {data['severity']}: {_about(data)}{data['sentence']}",
    "anomaly_closed": lambda data: f"anomaly   closed: {_about(data)}{data['sentence']}",
    "metrics_update": _metrics,
    "error": lambda data: f"error     {data['title']}: {data['detail']}",
}


def _about(data: dict[str, Any]) -> str:
    name = data["webhook_name"]
    return f"{name}: " if name else ""
