"""What is deleted by age, and what is not."""

from __future__ import annotations

from monitor.adapters.postgres.maintenance.housekeeping import PostgresHousekeeping
from monitor.adapters.postgres.maintenance.partitions import Retention
from monitor.bootstrap.container import Container
from tests.integration.support import Api, execute

ALERT = """
INSERT INTO alerts (id, webhook_id, kind, severity, state, title, count, causes, evidence, raised_at, resolved_at,
                    transitions, flapping, notified, pending_notification, version)
VALUES (gen_random_uuid(), gen_random_uuid(), 'failing', 'critical', '{state}', '{title}', 1, '{{}}', '{{}}',
        now() - interval '400 days', {resolved}, '{{}}', false, false, false, 1)
"""


async def test_old_history_goes_and_what_is_open_stays(api: Api, parts: Container) -> None:
    await execute(parts, ALERT.format(state="resolved", title="long ago", resolved="now() - interval '366 days'"))
    await execute(parts, ALERT.format(state="resolved", title="lately", resolved="now() - interval '364 days'"))
    await execute(parts, ALERT.format(state="pending", title="open", resolved="NULL"))
    await execute(
        parts,
        "INSERT INTO anomalies (id, webhook_id, signal, severity, sentence, evidence, opened_at, closed_at) VALUES"
        " (gen_random_uuid(), gen_random_uuid(), 'volume', 'info', 'old', '{}', now(), now() - interval '2 years'),"
        " (gen_random_uuid(), gen_random_uuid(), 'volume', 'info', 'open', '{}', now() - interval '2 years', NULL)",
    )
    keeper = PostgresHousekeeping(parts.database, parts.secret_box, Retention(), audit_d=365, alerts_d=365)
    await keeper.purge()
    listed = await api.read("alerts", params={"state": "all"})
    assert {alert["title"] for alert in listed["items"]} == {"lately", "open"}
    rows = await parts.database.fetch("SELECT sentence FROM anomalies")
    assert [row["sentence"] for row in rows] == ["open"]
