"""What is deleted by age, and what is not."""

from __future__ import annotations

from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from monitor.adapters.postgres.maintenance import housekeeping
from monitor.adapters.postgres.maintenance.housekeeping import PostgresHousekeeping
from monitor.adapters.postgres.maintenance.partitions import Retention
from monitor.adapters.postgres.queries.resources import PostgresQueries
from monitor.adapters.postgres.unit_of_work import PostgresUnitOfWork
from monitor.adapters.secret_box import SecretBox
from monitor.bootstrap.container import Container
from monitor.domain.errors import UnreadableRow
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


async def test_old_silences_and_jobs_go_and_running_ones_stay(parts: Container) -> None:
    await execute(
        parts,
        "INSERT INTO silences (id, created_by, created_at, reason, ends_at) VALUES"
        " (gen_random_uuid(), 'ada', now(), 'old', now() - interval '366 days'),"
        " (gen_random_uuid(), 'ada', now(), 'ended lately', now() - interval '364 days')",
    )
    await execute(
        parts,
        "INSERT INTO jobs (id, kind, parameters, state, created_by, created_at, stepped_at, done, finished_at) VALUES"
        " (gen_random_uuid(), 'replay', '{}', 'done', 'old', now(), now(), 0, now() - interval '2 years'),"
        " (gen_random_uuid(), 'replay', '{}', 'running', 'runs', now() - interval '2 years', now(), 0, NULL)",
    )
    await _housekeeping(parts, parts.secret_box).purge()
    assert [row["reason"] for row in await parts.database.fetch("SELECT reason FROM silences")] == ["ended lately"]
    assert [row["created_by"] for row in await parts.database.fetch("SELECT created_by FROM jobs")] == ["runs"]


async def test_a_purge_goes_chunk_by_chunk(parts: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "CHUNK", 2)
    monkeypatch.setattr(housekeeping, "CHUNKS_PER_RUN", 3)
    await execute(
        parts,
        "INSERT INTO audit_log (id, at, subject, action, target)"
        " SELECT gen_random_uuid(), now() - make_interval(days => n), 's', 'a', 't'"
        " FROM generate_series(360, 372) AS n",
    )
    for left in (7, 5, 5):
        await _housekeeping(parts, parts.secret_box).purge()
        (row,) = await parts.database.fetch("SELECT count(*) AS n FROM audit_log")
        assert row["n"] == left


async def test_the_history_of_an_alert_goes_chunk_by_chunk_before_it(
    parts: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "CHUNK", 2)
    monkeypatch.setattr(housekeeping, "CHUNKS_PER_RUN", 2)
    await execute(parts, ALERT.format(state="resolved", title="long ago", resolved="now() - interval '366 days'"))
    await execute(parts, ALERT.format(state="pending", title="open", resolved="NULL"))
    await execute(
        parts,
        "INSERT INTO alert_history (alert_id, version, at, action, actor)"
        " SELECT id, n, now(), 'escalate', 'system' FROM alerts, generate_series(1, 5) AS n",
    )
    for left in ((2, 6), (1, 5)):
        await _housekeeping(parts, parts.secret_box).purge()
        (row,) = await parts.database.fetch(
            "SELECT (SELECT count(*) FROM alerts) AS alerts, (SELECT count(*) FROM alert_history) AS entries"
        )
        assert tuple(row) == left


async def test_every_purge_deletes_what_has_expired(parts: Container) -> None:
    made = await samples.add_webhook(parts.unit_of_work, parts.clock)
    old, young = parts.clock.new_id(parts.clock.now() - timedelta(days=8)), parts.clock.new_id()
    for table, columns, past, fresh in (
        ("idempotency_keys", "scope, key, body_hash, created_at", "'s', 'a', '', now() - interval '26 hours'", ""),
        ("revoked_tokens", "jti, revoked_at, expires_at", "'a', now(), now() - interval '1 second'", ""),
        (
            "used_links",
            "digest, used_at, used_by, expires_at",
            "'a', now(), 'link of Ops', now() - interval '1 second'",
            "'b', now(), 'link of Ops', now() + interval '1 hour'",
        ),
        ("alert_notifications", "id, notification", f"'{old}', ''", f"'{young}', ''"),
        ("event_outbox", "id, event", f"'{old}', ''", f"'{young}', ''"),
    ):
        for values in filter(None, (past, fresh)):
            await execute(parts, f"INSERT INTO {table} ({columns}) VALUES ({values})")
        await _housekeeping(parts, parts.secret_box).purge()
        assert len(await parts.database.fetch(f"SELECT 1 FROM {table}")) == bool(fresh), table
    await execute(parts, "UPDATE webhook_secrets SET expires_at = now() - interval '2 hours'")
    await _housekeeping(parts, parts.secret_box).purge()
    assert await parts.queries.destinations([made.id]) == {}


async def test_an_older_key_can_be_retired_once_everything_is_sealed_again(parts: Container) -> None:
    old, new = ("old", b"o" * 32), ("new", b"n" * 32)

    def unit_of_work() -> PostgresUnitOfWork:
        return PostgresUnitOfWork(parts.database, SecretBox([old]), parts.clock)

    made = await samples.add_webhook(unit_of_work, parts.clock)
    await _housekeeping(parts, SecretBox([new, old])).reseal()
    [(_, destination)] = (await PostgresQueries(parts.database, SecretBox([new])).destinations([made.id])).values()
    assert destination.keys == (samples.KEY,)
    assert destination.headers == (("X-Team", "blue"),)


async def test_responses_for_repeated_calls_are_sealed_again(parts: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "ANSWERS_LOOK", 2)
    monkeypatch.setattr(housekeeping, "ANSWERS_PER_RUN", 6)
    monkeypatch.setattr(housekeeping, "ANSWERS_BATCH", 1)
    lost, old, new = ("lost", b"l" * 32), ("old", b"o" * 32), ("new", b"n" * 32)
    keys = [f"k{n}" for n in range(9)]
    for n, key in enumerate(keys):
        await _answer(parts, lost if n == 4 else new if n == 5 else old, key)
    await _answer(parts, old, "k", scope="another")
    keeper = _housekeeping(parts, SecretBox([new, old]))
    with capture_logs() as logs:
        for _ in range(3):  # Each looks at six; the third begins anew.
            await keeper.reseal()
    assert [(line["event"], line["rows"]) for line in logs] == [("reseal_failed", 1)] * 2
    for n, key in enumerate(keys):
        if n != 4:
            assert await _answer(parts, new, key) == f"answer {key}".encode()
    assert await _answer(parts, new, "k", scope="another") == b"answer k"
    for box in (new, lost):
        # The damage is one row's, and what does not open here is left for those that can.
        if box is lost:
            assert await _answer(parts, box, "k4") == b"answer k4"
        else:
            with pytest.raises(UnreadableRow, match="kid 'lost'"):
                await _answer(parts, box, "k4")


async def _answer(parts: Container, key: tuple[str, bytes], name: str, *, scope: str = "ada events") -> bytes | None:
    """Return the stored response of a call with the Idempotency-Key *name*; store it if it is the first call."""
    async with PostgresUnitOfWork(parts.database, SecretBox([key]), parts.clock) as uow:
        found = await uow.idempotency.begin(scope, name, b"")
        if found is None:
            await uow.idempotency.finish(scope, name, f"answer {name}".encode())
            await uow.commit()
    return found


async def test_a_secret_that_does_not_open_is_left_as_it_is(parts: Container) -> None:
    made = await samples.add_webhook(parts.unit_of_work, parts.clock)
    await _housekeeping(parts, SecretBox([("new", b"n" * 32)])).reseal()
    [(_, destination)] = (await parts.queries.destinations([made.id])).values()
    assert destination.keys == (samples.KEY,)


async def test_values_that_do_not_open_hide_no_others(parts: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "RESEAL_BATCH", 1)
    lost, old, new = ("lost", b"l" * 32), ("old", b"o" * 32), ("new", b"n" * 32)
    made = []
    for key in (lost, lost, old):

        def unit_of_work(key: tuple[str, bytes] = key) -> PostgresUnitOfWork:
            return PostgresUnitOfWork(parts.database, SecretBox([key]), parts.clock)

        made.append(await samples.add_webhook(unit_of_work, parts.clock))
    await _housekeeping(parts, SecretBox([new, old])).reseal()
    queries = PostgresQueries(parts.database, SecretBox([new]))
    assert list(await queries.destinations([made[-1].id])) == [made[-1].id]


def _housekeeping(parts: Container, secret_box: SecretBox) -> PostgresHousekeeping:
    return PostgresHousekeeping(parts.database, secret_box, Retention(), audit_d=365, alerts_d=365)
