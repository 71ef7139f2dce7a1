"""What is deleted by age, and what is not."""

from __future__ import annotations

from monitor.adapters.postgres.maintenance.housekeeping import PostgresHousekeeping
from monitor.adapters.postgres.maintenance.partitions import Retention
from monitor.adapters.postgres.queries.resources import PostgresQueries
from monitor.adapters.postgres.unit_of_work import PostgresUnitOfWork
from monitor.adapters.secret_box import SecretBox
from monitor.bootstrap.container import Container
from tests import samples
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
    await _housekeeping(parts, parts.secret_box).purge()
    listed = await api.read("alerts", params={"state": "all"})
    assert {alert["title"] for alert in listed["items"]} == {"lately", "open"}
    rows = await parts.database.fetch("SELECT sentence FROM anomalies")
    assert [row["sentence"] for row in rows] == ["open"]


async def test_old_silences_and_replays_go_and_running_ones_stay(parts: Container) -> None:
    await execute(
        parts,
        "INSERT INTO silences (id, created_by, created_at, reason, ends_at) VALUES"
        " (gen_random_uuid(), 'ada', now(), 'old', now() - interval '366 days'),"
        " (gen_random_uuid(), 'ada', now(), 'ended lately', now() - interval '364 days')",
    )
    await execute(
        parts,
        "INSERT INTO replays (id, webhook_id, from_at, to_at, states, created_by, created_at, total, queued,"
        " finished_at) VALUES"
        " (gen_random_uuid(), gen_random_uuid(), now(), now(), '{}', 'old', now(), 0, 0, now() - interval '2 years'),"
        " (gen_random_uuid(), gen_random_uuid(), now(), now(), '{}', 'runs', now() - interval '2 years', 0, 0, NULL)",
    )
    await _housekeeping(parts, parts.secret_box).purge()
    assert [row["reason"] for row in await parts.database.fetch("SELECT reason FROM silences")] == ["ended lately"]
    assert [row["created_by"] for row in await parts.database.fetch("SELECT created_by FROM replays")] == ["runs"]


async def test_an_older_key_can_be_retired_once_everything_is_sealed_again(parts: Container) -> None:
    old, new = ("old", b"o" * 32), ("new", b"n" * 32)

    def unit_of_work() -> PostgresUnitOfWork:
        return PostgresUnitOfWork(parts.database, SecretBox([old]), parts.clock)

    made = await samples.add_webhook(unit_of_work, parts.clock)
    await _housekeeping(parts, SecretBox([new, old])).reseal()
    [(_, destination)] = (await PostgresQueries(parts.database, SecretBox([new])).destinations([made.id])).values()
    assert destination.keys == (samples.KEY,)
    assert destination.headers == (("X-Team", "blue"),)


async def test_a_secret_that_does_not_open_is_left_as_it_is(parts: Container) -> None:
    made = await samples.add_webhook(parts.unit_of_work, parts.clock)
    await _housekeeping(parts, SecretBox([("new", b"n" * 32)])).reseal()
    [(_, destination)] = (await parts.queries.destinations([made.id])).values()
    assert destination.keys == (samples.KEY,)


def _housekeeping(parts: Container, secret_box: SecretBox) -> PostgresHousekeeping:
    return PostgresHousekeeping(parts.database, secret_box, Retention(), audit_d=365, alerts_d=365)
