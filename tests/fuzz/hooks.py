"""
What a schema cannot say, for schemathesis.

A request that is meant to be taken gets what only this server at this time knows: addresses of receivers that exist,
times that lie ahead, ids of things that are there. Requests that are meant to be refused are left as they are.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count, cycle
from pathlib import Path
from typing import Any

import schemathesis
from schemathesis.generation.meta import TestPhase

STAGE: dict[str, Any] = json.loads(Path(os.environ["MONITOR_FUZZ_STAGE"]).read_text())
"""``receiver`` is a URL; ``ids`` holds existing ids by the name of their path parameter."""

_numbers = count()

_FITTING = frozenset({"url", "body_format", "headers", "event_types"})
_PAGERS = frozenset({"pagerduty", "opsgenie", "alertmanager"})
_FORMATS: dict[str, tuple[str, dict[str, str]]] = {
    "email": ("", {}),
    "ntfy": ("/topic", {}),
    "opsgenie": ("/v2/alerts", {"Authorization": "GenieKey fuzz"}),
    "pagerduty": ("", {"X-Routing-Key": "fuzz"}),
}
"""The end of the URL and the headers that a body format asks for."""

_RECURRENCES = cycle(
    (
        {"rrule": "FREQ=WEEKLY;BYDAY=MO", "timezone": "Europe/Berlin"},
        {"rrule": "FREQ=DAILY;INTERVAL=2;BYHOUR=2,14;BYMINUTE=30", "timezone": "Australia/Lord_Howe"},
        {"rrule": "FREQ=MONTHLY;BYDAY=-1SU;COUNT=12", "timezone": "America/New_York"},
        {"rrule": "FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=29;WKST=SU", "timezone": "UTC"},
    )
)


def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Complete a request that follows the document."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    number = next(_numbers)
    if case.path_parameters and number % 2 and case.meta.phase.name != TestPhase.STATEFUL:
        for name in case.path_parameters:
            known = STAGE["ids"][name]
            case.path_parameters[name] = known[number // 2 % len(known)]
    if case.query:
        _complete_query(case.query, case.operation.label)
    if "If-Match" in case.headers:
        case.headers["If-Match"] = "*"
    if "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = f"fuzz-{os.getpid()}-{number}"
    if isinstance(case.body, dict):
        case.body = _storable(case.body)
        _BODIES.get(case.operation.label, _as_it_is)(case.body)


def _complete_query(query: dict[str, Any], label: str) -> None:
    # Cursors are read back from answers, by the stateful phase among others.
    query.pop("cursor", None)
    if query.get("sort") == "worst" and label == "GET /api/v1/alerts":
        # Only open ones have this order.
        query["state"] = "open"
    if label.endswith(("/metrics", "/annotations")) and ("from" in query or "to" in query):
        query |= {"from": _text(-1800), "to": _text()}


def _storable(value: Any) -> Any:
    """Return *value* without NUL, and with integers written as such: to JSON Schema 5.0 is one too."""
    if isinstance(value, dict):
        return {_storable(name): _storable(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_storable(member) for member in value]
    if isinstance(value, str):
        return value.replace("\0", "0")
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def _as_it_is(_body: dict[str, Any]) -> None:
    pass


def _webhook(body: dict[str, Any]) -> None:
    # It needs a webhook that is disabled.
    body.pop("backfill", None)
    if not _FITTING.isdisjoint(body):
        _fit(body)
    if body.get("reminders"):
        # That each is later than the one before stands in words alone.
        body["reminders"] = sorted(set(body["reminders"]))
    if isinstance(body.get("retry"), dict) and "schedule_s" in body["retry"]:
        # That the first wait is 0 and what all of them may come to stands in words alone.
        body["retry"]["schedule_s"] = [0, 5, 300]
    if body.get("secret") is not None:
        prefix = "whsk_" if body.get("signature") == "v1a" else "whsec_"
        body["secret"] = prefix + base64.b64encode(bytes(range(32))).decode()


def _patch(body: dict[str, Any]) -> None:
    _webhook(body)
    if not _FITTING.isdisjoint(body):
        # The stored members need not fit: a patch removes the headers of a webhook that becomes one for e-mail.
        body["headers"] = body["headers"] or None


def _fit(body: dict[str, Any]) -> None:
    """Give *body* a URL, a format, event types and headers that fit each other."""
    format_ = body["body_format"] = body.get("body_format") or "standard"
    path, headers = _FORMATS.get(format_, ("", {"X-Fuzz": "1"} if body.get("headers") else {}))
    body["url"] = "mailto:ops@example.org,boss@example.org" if format_ == "email" else STAGE["receiver"] + path
    body["headers"] = dict(headers)
    if format_ in _PAGERS:
        body["event_types"] = ["monitor.alert.*"]


def _rotation(body: dict[str, Any]) -> None:
    # Its prefix is that of the webhook's scheme.
    body.pop("secret", None)


def _attempts(body: dict[str, Any]) -> None:
    for attempt in body["attempts"]:
        attempt["delivered_at"] = _text()
        if attempt.get("status_code") is not None:
            attempt.pop("error", None)
        else:
            attempt["error"] = "timeout"
            attempt.pop("status_code", None)


def _silence(body: dict[str, Any]) -> None:
    body.pop("starts_at", None)
    if isinstance(body.get("recurrence"), dict):
        # Rules are refused by more than a schema can say.
        body["recurrence"] = dict(next(_RECURRENCES))
        body |= {"ends_at": None, "duration_s": 3600}
    else:
        body |= {"ends_at": _text(3600), "duration_s": None}
    body["kind"] = body.get("kind") or "failing"
    if body.get("webhook_id") is not None or body.get("hold_deliveries"):
        # Of whom deliveries are held has to be said.
        body["webhook_id"] = STAGE["ids"]["webhook_id"][0]


def _acknowledgement(body: dict[str, Any]) -> None:
    if body.get("expires_at") is not None:
        body["expires_at"] = _text(3600)


def _replay(body: dict[str, Any]) -> None:
    body |= {"from": _text(-3600), "to": _text()}
    if body.get("source") == "events":
        # An event without a delivery has no state.
        body.pop("states", None)


def _resend(body: dict[str, Any]) -> None:
    # A webhook that is named must match the event.
    body.pop("webhook_ids", None)


def _bulk(body: dict[str, Any]) -> None:
    # The state must fit the action, and the times each other.
    rest = {name: value for name, value in body["filter"].items() if name not in {"state", "from", "to"}}
    body["filter"] = rest | {"webhook_id": STAGE["ids"]["webhook_id"][0]}
    body.pop("all", None)


def _events(body: dict[str, Any]) -> None:
    for event in body.get("events", [body]):
        if event.get("occurred_at") is not None:
            event["occurred_at"] = _text()


def _revocation(body: dict[str, Any]) -> None:
    # Printable, and of no token that a run sends.
    body["jti"] = f"fuzz-{next(_numbers)}"


def _text(seconds: int = 0) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


_BODIES: dict[str, Callable[[dict[str, Any]], None]] = {
    "POST /api/v1/webhooks": _webhook,
    "PUT /api/v1/webhooks/{webhook_id}": _webhook,
    "PATCH /api/v1/webhooks/{webhook_id}": _patch,
    "POST /api/v1/webhooks/{webhook_id}/rotate-secret": _rotation,
    "POST /api/v1/webhooks/{webhook_id}/attempts": _attempts,
    "POST /api/v1/webhooks/{webhook_id}/replay": _replay,
    "POST /api/v1/deliveries/bulk": _bulk,
    "POST /api/v1/silences": _silence,
    "POST /api/v1/silences/preview": _silence,
    "POST /api/v1/alerts/ack": _acknowledgement,
    "POST /api/v1/alerts/{alert_id}/ack": _acknowledgement,
    "POST /api/v1/events": _events,
    "POST /api/v1/events/{event_id}/resend": _resend,
    "POST /api/v1/tokens/revocations": _revocation,
}


schemathesis.hook(before_call)
