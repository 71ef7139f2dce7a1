"""
Backups as the checklist makes them, restored as it says, on a PostgreSQL of the system.

One story, since each of its parts needs the ones before: a base backup and a dump are made of an installation that goes
on working; then it is set back to a moment between the backup and its loss, and last of all to the dump. The Redis is
the same all the time, so it holds what was cached in a future that is gone.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from monitor.adapters.postgres.engine import Database, DatabaseConfig
from monitor.adapters.postgres.identity import database_identity
from tests.faults.system import PATIENCE_S, admin_token
from tests.integration.backup_support import Machine, machine, section
from tests.integration.cache.processes import LONG
from tests.integration.processes import Client, production, run, running
from tests.integration.support import Receiver, answering, eventually, ok, verify
from tests.servers import free_port

pytestmark = [
    pytest.mark.upgrades,
    pytest.mark.skipif(not LONG, reason="takes minutes: MONITOR_TEST_LONG=1 makes a backup and restores it twice"),
]

ONCE_A_SECOND = {"schedule_s": [0, *[1.0] * 49], "jitter_ratio": 0}
DUMP, RESTORE_DUMP, ARCHIVE, RESTORE_TO = section("Back up")


@pytest.fixture
def postgres_of_the_system() -> Iterator[Machine]:
    with machine() as made:
        yield made


class Installation:
    """``serve`` and ``work`` of this version, started and stopped as a whole, beside a receiver that stays."""

    def __init__(self, server: Machine, redis_url: str, folder: Path) -> None:
        owner_url = server.url("monitor_owner")
        self.env = production(server.url("monitor_app"), REDIS_URL=redis_url, WORKER__POLL_S="0.2")
        self.shell = self.env | {"OWNER_URL": owner_url}
        self._folder = folder
        self._starts = 0

    @asynccontextmanager
    async def runs(self) -> AsyncIterator[Client]:
        port = free_port()
        self._starts += 1
        serve, work = (self._folder / f"{self._starts}-{command}.log" for command in ("serve", "work"))
        client = Client(port, admin_token())
        async with (
            running("serve", "--port", str(port), env=self.env, log=serve) as server,
            running("work", env=self.env, log=work) as worker,
        ):

            async def ready() -> bool:
                assert server.process.returncode is None, server.output
                return await client.ready()

            await eventually(ready, within_s=PATIENCE_S)
            await worker.says("worker_started")
            yield client
            assert (await server.stop(), await worker.stop()) == (0, 0)

    @property
    def set_back(self) -> int:
        """How many processes of the last start found that the database had been set back."""
        logs = self._folder.glob(f"{self._starts}-*.log")
        return sum(log.read_text().count('"event":"database_set_back"') for log in logs)


async def publish(client: Client, *numbers: int) -> list[str]:
    events = [{"type": "order.paid", "payload": {"n": n}} for n in numbers]
    answer = await client.call("POST", "events", json={"events": events})
    assert answer.status_code == 202, answer.text
    return [event["id"] for event in answer.json()["events"]]


async def names(client: Client) -> list[str]:
    """Return the names of the webhooks, as the page shows them: from the cache, if it may be used."""
    return sorted(item["name"] for item in (await client.read("webhooks"))["items"])


async def delivered(receiver: Receiver, ids: list[str]) -> None:
    await eventually(lambda: set(ids) <= set(receiver.ids), within_s=PATIENCE_S)


async def nothing_waits(client: Client) -> None:
    async def empty() -> bool:
        return not (await client.read("deliveries?state=pending&limit=1"))["items"]

    await eventually(empty, within_s=PATIENCE_S)


async def identity(server: Machine) -> str:
    async with Database(DatabaseConfig(server.url("monitor_app"))) as database:
        return await database_identity(database)


async def archived(server: Machine) -> None:
    """Wait until the archive holds everything up to now."""
    connection = await asyncpg.connect(server.url("postgres", "postgres"))
    try:
        name = await connection.fetchval("SELECT pg_walfile_name(pg_switch_wal())")

        async def kept() -> bool:
            last = await connection.fetchval("SELECT last_archived_wal FROM pg_stat_archiver")
            return last is not None and last >= name

        await eventually(kept, within_s=PATIENCE_S)
    finally:
        await connection.close()


async def test_an_installation_is_set_back_to_a_moment_and_to_a_dump(
    postgres_of_the_system: Machine, own_redis_url: str, tmp_path: Path
) -> None:
    server, installed = postgres_of_the_system, Installation(postgres_of_the_system, own_redis_url, tmp_path)
    server.as_root(section("6. Schema")[0].text, installed.shell)
    archive, _, base_backup = ARCHIVE.text.partition("pg_basebackup")
    server.as_server(archive)
    async with Receiver() as receiver:
        async with installed.runs() as client:
            secret = await create(client, receiver, "kept")
            before = await publish(client, *range(10))
            await delivered(receiver, before)
            await nothing_waits(client)
            server.as_server(f"pg_basebackup{base_backup}")
            assert server.as_root(DUMP.text, installed.shell).strip() >= "1"
            between, moment = await accept_before_and_deliver_after(client, receiver, server)
            lost = await lose(client, receiver)
            await archived(server)
        was = await identity(server)
        server.as_server(RESTORE_TO.text, **{"2026-11-30 12:00:00+00": moment})
        assert await identity(server) == was

        receiver.requests.clear()
        async with installed.runs() as client:
            assert await names(client) == ["kept"]
            assert installed.set_back == 1
            # At least once: with the same id, and signed with the same secret.
            await delivered(receiver, between)
            after = await publish(client, 30)
            await delivered(receiver, after)
            await nothing_waits(client)
            assert after[0] > max(before + between + lost)
            assert {request.id for request in receiver.requests} == {*between, *after}
            assert await serials(client) == [*range(20), 30]

        server.as_root(RESTORE_DUMP.text, installed.shell)
        assert await identity(server) != was
        async with installed.runs() as client:
            assert await names(client) == ["kept"]
            assert await serials(client) == [*range(10)]
            again = await publish(client, 40)
            await delivered(receiver, again)
            await nothing_waits(client)
            assert {request.id for request in receiver.requests} == {*between, *after, *again}
        for request in receiver.requests:
            verify(secret, request)
        await doctor_names_the_key_that_is_wrong(installed.env)


async def create(client: Client, receiver: Receiver, name: str) -> str:
    """Create a webhook and return its secret."""
    created = await client.call("POST", "webhooks", json={"name": name, "url": receiver.url, "retry": ONCE_A_SECOND})
    assert created.status_code == 201, created.text
    secret: str = created.json()["secret"]
    return secret


async def accept_before_and_deliver_after(client: Client, receiver: Receiver, server: Machine) -> tuple[list[str], str]:
    """Return the ids of events that were accepted before a moment and delivered after it, and the moment."""
    receiver.answer = answering(503)
    ids = await publish(client, *range(10, 20))
    await delivered(receiver, ids)
    moment = server.as_server("psql -Atc 'SELECT clock_timestamp()' postgres").strip()
    receiver.requests.clear()
    receiver.answer = ok
    await delivered(receiver, ids)
    return ids, moment


async def lose(client: Client, receiver: Receiver) -> list[str]:
    """Change what a restore will undo, until all tiers of the cache hold it; return the ids of new events."""
    await create(client, receiver, "lost")
    ids = await publish(client, *range(20, 30))
    await delivered(receiver, ids)
    await nothing_waits(client)
    for _ in range(3):
        assert await names(client) == ["kept", "lost"]
    return ids


async def serials(client: Client) -> list[int]:
    """Return what was posted in the events that are stored."""
    ids = [item["id"] for item in (await client.read("events?limit=200"))["items"]]
    return sorted([(await client.read(f"events/{id_}"))["payload"]["n"] for id_ in ids])


async def doctor_names_the_key_that_is_wrong(env: dict[str, str]) -> None:
    keys = json.loads(env["MONITOR_SECRETS__KEYS"])
    wrong = [{**keys[0], "key": "A" * 43}]
    for given, words in ((wrong, "key 'test'"), ([{**wrong[0], "kid": "other"}], "key 'test'")):
        result = await run("doctor", "--json", env=env | {"MONITOR_SECRETS__KEYS": json.dumps(given)})
        (row,) = [row for row in json.loads(result.out) if row["check"] == "secrets"]
        assert (row["state"], words in row["text"]) == ("error", True), row
