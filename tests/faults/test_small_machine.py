"""
A machine that lacks something for a while: each process goes on by itself, and no receiver is blamed.

A log that cannot be written, a read-only database and a shared Redis have tests of their own in ``tests/integration``.
"""

from __future__ import annotations

import asyncio
import re
import resource
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.receivers import Receivers, receivers
from monitor.domain.ids import id_millis
from tests.faults.off_clock import OFF_S
from tests.faults.producer import subscribe
from tests.faults.system import PATIENCE_S, Served, System, system
from tests.integration.raw_receivers import OK, answering, receiver
from tests.integration.support import eventually

DESCRIPTORS = 64
WEBHOOKS = 60
AWAY_S = 5.0
SIGNED_AT = re.compile(rb"(?i)\r\nwebhook-timestamp: *(\d+)")
PASSWORD, WRONG = "right", "wrong"


async def publish(server: Served, webhooks: int, each: int = 1) -> set[str]:
    """Publish events to so many webhooks; return their ids."""
    events = [{"type": f"fault.{i % webhooks}", "payload": i} for i in range(webhooks * each)]
    answer = await server.client.call("POST", "events", json={"events": events})
    assert answer.status_code == 202, answer.text
    return {event["id"] for event in answer.json()["events"]}


async def assert_read_once(made: System, targets: Receivers, ids: set[str]) -> None:
    """Hold every delivery to: one attempt, which its receiver has read and which succeeded."""
    await made.nothing_waits()
    assert (await targets.arrivals()).keys() == ids
    assert (await targets.count()).requests == len(ids)
    rows = await made.database.fetch("SELECT state, attempts, last_error FROM deliveries_finished")
    assert [tuple(row) for row in rows] == [("delivered", 1, None)] * len(ids)
    assert await made.database.value("SELECT count(*) FROM attempts") == len(ids)


async def unready(server: Served) -> str:
    """Return the reason why *server* is not ready, empty if it is."""
    answer = await server.client.call("GET", "/health/ready")
    detail: str = "" if answer.status_code == 200 else answer.json()["detail"]
    return detail


async def test_a_worker_without_descriptors_postpones_what_it_cannot_send(template: Path) -> None:
    async with system(template) as made, receivers(WEBHOOKS, made.directory / "receivers.log", "late") as targets:
        (server,), (worker,) = await made.start(servers=1, workers=1)
        async with made.session() as session:
            await subscribe(session, server, targets.urls)
        before = resource.prlimit(worker.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, before[1]))
        ids = await publish(server, WEBHOOKS, 2)
        await worker.says("attempts_not_made")
        assert "too many open files" in worker.output.lower()
        resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, before)
        await assert_read_once(made, targets, ids)


@asynccontextmanager
async def login(made: System) -> AsyncIterator[str]:
    """Yield the address of the database for a user with a password."""
    await made.database.fetch(f"CREATE ROLE app SUPERUSER LOGIN PASSWORD '{PASSWORD}'")
    ((file,),) = await made.database.fetch("SHOW hba_file")
    require_password(Path(file))
    await made.database.fetch("SELECT pg_reload_conf()")
    yield re.sub(r"//[^@/]*@", f"//app:{PASSWORD}@", made.database.dsn)


async def test_a_password_that_is_wrong_for_seconds_is_an_outage(template: Path) -> None:
    async with system(template) as made, receivers(1, made.directory / "receivers.log") as targets, login(made) as dsn:
        server, worker = await asyncio.gather(made.serve(DATABASE_URL=dsn), made.work(DATABASE_URL=dsn))
        async with made.session() as session:
            await subscribe(session, server, targets.urls)
        ids = await publish(server, 1)
        await targets.until(1)
        await made.database.fetch(f"ALTER ROLE app PASSWORD '{WRONG}'")
        await made.database.fetch("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
        since = time.monotonic()
        await eventually(lambda: refused_login(server), within_s=PATIENCE_S)
        await worker.says("refuses the login")
        await asyncio.sleep(max(0.0, since + AWAY_S - time.monotonic()))
        await made.database.fetch(f"ALTER ROLE app PASSWORD '{PASSWORD}'")
        await eventually(lambda: ready(server), within_s=PATIENCE_S)
        ids |= await publish(server, 1, 10)
        await assert_read_once(made, targets, ids)
        assert made.errors() == []


def require_password(rules: Path) -> None:
    rules.write_text(f"local all app scram-sha-256\nhost all app all scram-sha-256\n{rules.read_text()}")


async def refused_login(server: Served) -> bool:
    return "refuses the login" in await unready(server)


async def ready(server: Served) -> bool:
    return not await unready(server)


async def test_a_worker_whose_clock_is_ahead_signs_with_the_right_time(template: Path) -> None:
    async with system(template) as made, receiver(answering(OK)) as there:
        server, worker = await asyncio.gather(made.serve(), made.work(module="tests.faults.off_clock"))
        async with made.session() as session:
            await subscribe(session, server, [there.url()])
        await worker.says("clock_differs")
        await publish(server, 1, 10)
        await made.nothing_waits()
        signed = [int(found) for request in there.requests for found in SIGNED_AT.findall(request)]
        assert len(signed) == 10
        assert all(abs(at - time.time()) < OFF_S / 2 for at in signed)
        ids = [row["id"] for row in await made.database.fetch("SELECT id FROM attempts")]
        assert all(abs(id_millis(id_) / 1000 - time.time()) < OFF_S / 2 for id_ in ids)


async def test_a_server_whose_clock_is_ahead_is_not_ready_and_says_why(template: Path) -> None:
    async with system(template) as made:
        server = await made.serve(module="tests.faults.off_clock", until_ready=False)
        await eventually(lambda: clock_is_ahead(server), within_s=PATIENCE_S)


async def clock_is_ahead(server: Served) -> bool:
    return "clock of this machine is 600 s ahead" in await unready(server)
