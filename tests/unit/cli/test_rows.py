"""Rows as NDJSON and CSV, and frames of the feed as lines."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.cli.commands import EXPORTS
from monitor.cli.feed_lines import line_of
from monitor.cli.rows import KINDS, cell, write_csv, write_ndjson
from monitor.domain.live.messages import MessageKind
from monitor.domain.views.audit import AuditView

PAGE = Path(__file__).parents[3] / "src/monitor/http/page/static/js/csv.js"
VALUES: list[Any] = [None, True, 3, -2.5, "a", "=1+1", "+1", "-1", "@x", "\ta", 'a "b", c', "a\nb", {"k": [1]}, [], ""]


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_cells_are_those_of_the_page() -> None:
    code = f"""
      import {{ csv }} from {json.dumps(PAGE.as_uri())};
      process.stdout.write(csv({json.dumps([VALUES])}, {json.dumps(VALUES)}.map((_, i) => ["c" + i, (row) => row[i]])));
    """
    ran = subprocess.run(["node", "--input-type=module", "-e", code], check=True, capture_output=True, timeout=60)
    out = io.StringIO(newline="")
    csv.writer(out).writerow([cell(value) for value in VALUES])
    assert ran.stdout.decode().split("\r\n", 1)[1] == out.getvalue()


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_no_cell_is_a_formula(text: str) -> None:
    """Whatever a row holds, no cell begins like a formula."""
    assert cell(text)[:1] not in set("=+-@\t\r\n")


def test_rows_have_every_member_in_the_order_of_the_head() -> None:
    out = io.StringIO(newline="")
    write = write_csv(AuditView, out)
    write({"target": "webhook:1", "id": "x", "before": None, "after": {"a": 1}, "later": 1})
    assert out.getvalue() == (
        'id,at,subject,role,request_id,client,action,target,before,after\r\nx,,,,,,,webhook:1,,"{""a"":1}"\r\n'
    )
    lines = io.StringIO()
    write_ndjson(AuditView, lines)({"a": "ä"})
    assert lines.getvalue() == '{"a": "ä"}\n'


def test_every_export_is_known() -> None:
    assert list(EXPORTS) == ["configuration", *KINDS]


ALERT = {
    "severity": "critical",
    "state": "acknowledged",
    "webhook_name": "orders",
    "title": "12 of 12 failed",
    "acknowledged_by": "ada",
    "resolved_by": None,
}
ANOMALY = {"severity": "warning", "webhook_name": "orders", "sentence": "slow"}
OVERVIEW = {"alerts": {"critical": 2, "warning": 1}, "webhooks": {"healthy": 3, "unavailable": 0}, "anomalies": 1}


@pytest.mark.parametrize(
    ("kind", "data", "line"),
    [
        ("snapshot", {"overview": OVERVIEW}, "connected webhooks: 3 healthy; pending alerts: 3; open anomalies: 1"),
        (
            "snapshot",
            {"overview": OVERVIEW | {"webhooks": {}}},
            "connected webhooks: none; pending alerts: 3; open anomalies: 1",
        ),
        ("alert_new", ALERT, "ALERT     critical: orders: 12 of 12 failed"),
        ("alert_new", ALERT | {"webhook_name": None}, "ALERT     critical: 12 of 12 failed"),
        ("alert_updated", ALERT, "alert     acknowledged by ada: orders: 12 of 12 failed"),
        ("alert_updated", ALERT | {"state": "resolved"}, "alert     resolved: orders: 12 of 12 failed"),
        (
            "webhook_status_changed",
            {"webhook_id": "1", "status": "degraded", "reason": "a\x1b[2Jb\n"},
            "webhook   degraded: 1: a\ufffd[2Jb ",
        ),
        ("anomaly_opened", ANOMALY, "anomaly   warning: orders: slow"),
        ("anomaly_closed", ANOMALY, "anomaly   closed: orders: slow"),
        (
            "metrics_update",
            {"queue": {"pending": 1, "in_flight": 2}},
            "metrics   1 deliveries are pending, 2 in flight",
        ),
        ("error", {"title": "t", "detail": "d"}, "error     t: d"),
    ],
)
def test_a_frame_is_one_line(kind: str, data: dict[str, Any], line: str) -> None:
    assert line_of({"type": kind, "at": "2026-03-01T12:00:00.5Z", "data": data}) == f"2026-03-01T12:00:00Z {line}"


def test_every_kind_of_frame_has_a_line_but_heartbeats() -> None:
    unknown = {"type": "later", "at": "2026-03-01T12:00:00Z", "data": {}}
    assert line_of(unknown) is None
    assert {kind.value for kind in MessageKind} - {"heartbeat"} == set(_shown())


def _shown() -> list[str]:
    from monitor.cli import feed_lines  # noqa: PLC0415 - the table is private

    return list(feed_lines._SHOWN)
