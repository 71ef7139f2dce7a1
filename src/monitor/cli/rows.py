"""Lists of the API as NDJSON and CSV, page by page."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from typing import IO, Any

import msgspec

from monitor.domain.views.alerts import AlertView
from monitor.domain.views.audit import AuditView
from monitor.domain.views.deliveries import AttemptView, DeliveryView, EventView
from monitor.domain.views.silences import SilenceView
from monitor.domain.views.webhooks import WebhookView

# The rule of the page's csv.js.
_FORMULA = re.compile(r"[=+\-@\t\r\n]")
"""A cell that begins so is a formula in spreadsheets, and what it does is other people's choice."""


class RowKind(msgspec.Struct, frozen=True):
    """
    Attributes:
        conditions: the options of the command that the list takes, by the names of its parameters.
        query: what is requested unless an option replaces it.
    """

    path: str
    view: type[msgspec.Struct]
    conditions: dict[str, str] = {}
    query: dict[str, str] = {}


_TIMES = {"from_at": "from", "to_at": "to"}
KINDS = {
    "webhooks": RowKind("webhooks", WebhookView),
    "silences": RowKind("silences", SilenceView, {"state": "state"}),
    "events": RowKind("events", EventView, _TIMES),
    "deliveries": RowKind("deliveries", DeliveryView, _TIMES | {"webhook": "webhook_id", "state": "state"}),
    "attempts": RowKind("webhooks/{webhook}/attempts", AttemptView, _TIMES),
    "alerts": RowKind("alerts", AlertView, _TIMES | {"webhook": "webhook_id", "state": "state"}, {"state": "all"}),
    "audit-log": RowKind("audit-log", AuditView, _TIMES),
}


def write_ndjson(_view: type[msgspec.Struct], out: IO[str]) -> Callable[[dict[str, Any]], None]:
    """Return what writes a row, with every member, into a line."""
    return lambda row: print(json.dumps(row, ensure_ascii=False), file=out)


def write_csv(view: type[msgspec.Struct], out: IO[str]) -> Callable[[dict[str, Any]], None]:
    """Write a head of the members of *view* (RFC 4180), and return what writes a row."""
    names = [field.encode_name for field in msgspec.structs.fields(view)]
    writer = csv.writer(out)
    writer.writerow(names)
    return lambda row: writer.writerow([cell(row.get(name)) for name in names])


def cell(value: Any) -> str:
    """Return *value* as a spreadsheet shows it: never as a formula, and objects as JSON."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return json.dumps(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return f"'{text}" if _FORMULA.match(text) else text
