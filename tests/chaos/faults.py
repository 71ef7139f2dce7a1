"""The faults, each with its end: after the last one everything is as it was."""

from __future__ import annotations

import asyncio
import math
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

import asyncpg
import psutil

from monitor.domain.ids import uuid7
from tests.chaos.people import People, Registered
from tests.chaos.plan import Step
from tests.chaos.proxy import Link, Proxy
from tests.chaos.receivers import Hook
from tests.faults.system import PATIENCE_S, Served, System
from tests.integration.processes import Running
from tests.integration.support import eventually
from tests.pgbouncer import PgBouncer

T = TypeVar("T")

LEASE_S = 4.0
AWAY_S = 1.0
BAD_S = 2.0
READ_ONLY_S = 3.0
POISONED_S = 4.0
UNLOGGED_CONNECTIONS = 3
BYTES_NOBODY_READS = b"\xc1 not a message"


@dataclass
class Chaos:
    """Everything that a fault can meet."""

    system: System
    servers: list[Served]
    workers: list[Running]
    database_proxy: Proxy
    redis_proxy: Proxy
    people: People
    hostile: list[Hook]
    pooler: PgBouncer | None = None
    done: Counter[str] = field(default_factory=Counter)
    unlogged: Running | None = None
    exits: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def database_ports(self) -> set[int]:
        """Where processes of the product connect to the database, by both of their URLs."""
        return {self.database_proxy.port, *([] if self.pooler is None else [self.pooler.port])}

    async def do(self, step: Step) -> None:
        self.done[step.name] += 1
        if step.lane in {"processes", "stores"}:
            print(f"{datetime.now(UTC):%H:%M:%S}  {step.name}", flush=True)
        if step.lane == "moods":
            self.hostile[step.number % len(self.hostile)].mood = step.name
        elif step.lane == "people":
            await self.people.do(step)
        else:
            await getattr(self, step.name)(step.number)

    # Processes -------------------------------------------------------------------------------------------------------

    async def kill_worker(self, number: int) -> None:
        i = number % len(self.workers)
        await self.workers[i].stop(signal.SIGKILL)
        self.workers[i] = await self._started(self.system.work)

    async def kill_server(self, number: int) -> None:
        i = number % len(self.servers)
        port = self.servers[i].port
        await self.servers[i].process.stop(signal.SIGKILL)
        self.servers[i] = await self._started(lambda: self.system.serve(port))

    async def restart_worker(self, number: int) -> None:
        """End one as a deployment does; it gives back what it holds, and exits with 0."""
        i = number % len(self.workers)
        code = await self.workers[i].stop()
        assert code == 0, f"a worker that was told to end exited with {code}"
        self.workers[i] = await self._started(self.system.work)

    async def restart_server(self, number: int) -> None:
        i = number % len(self.servers)
        port = self.servers[i].port
        code = await self.servers[i].process.stop()
        assert code == 0, f"a server that was told to end exited with {code}"
        self.servers[i] = await self._started(lambda: self.system.serve(port))

    async def stop_worker(self, number: int) -> None:
        await self._asleep(self.workers[number % len(self.workers)], LEASE_S + 1.5)

    async def stop_server(self, number: int) -> None:
        await self._asleep(self.servers[number % len(self.servers)].process, 3.0)

    async def unwritable_log(self, number: int) -> None:
        if self.unlogged is None:
            self.unlogged = await self._started(self._work_unlogged)

    async def _work_unlogged(self) -> Running:
        """Start it and wait until it holds the connections of a worker: one more than it asks for the schema with."""
        worker = await self.system.work_unlogged()

        def works() -> bool:
            assert worker.process.returncode is None, "it ended"
            connections = psutil.Process(worker.pid).net_connections("tcp")
            ports = [c.raddr.port for c in connections if c.status == psutil.CONN_ESTABLISHED]
            return sum(map(ports.count, self.database_ports)) >= UNLOGGED_CONNECTIONS

        await eventually(works, within_s=PATIENCE_S)
        return worker

    async def _asleep(self, process: Running, for_s: float) -> None:
        process.process.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(for_s)
        finally:
            process.process.send_signal(signal.SIGCONT)

    async def _started(self, start: Callable[[], Awaitable[T]]) -> T:
        """Start a process as a supervisor does: again, if it ends because it begins during an outage."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return await start()
            except AssertionError:
                if time.monotonic() > deadline:
                    raise
                self.exits += 1
                await asyncio.sleep(0.5)

    # PostgreSQL ------------------------------------------------------------------------------------------------------

    async def crash_database(self, number: int) -> None:
        await self.system.database.stop(signal.SIGQUIT)
        await asyncio.sleep(AWAY_S)
        await self.system.database.start()

    async def read_only(self, number: int) -> None:
        await self._set("on")
        try:
            await asyncio.sleep(READ_ONLY_S)
        finally:
            await self._set("off")

    async def _set(self, value: str) -> None:
        await self.system.database.fetch(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
        await self.system.database.fetch("SELECT pg_reload_conf()")

    async def kill_pooler(self, number: int) -> None:
        assert self.pooler is not None
        self.pooler.stop()
        await asyncio.sleep(AWAY_S)
        await asyncio.to_thread(self.pooler.start)

    async def cut_database(self, number: int) -> None:
        self.database_proxy.cut()

    async def swallow_database(self, number: int) -> None:
        await self._spoiled(self.database_proxy, "swallow")

    async def cut_transaction(self, number: int) -> None:
        if (link := await self._in_transaction()) is not None:
            link.cut()

    async def swallow_transaction(self, number: int) -> None:
        if (link := await self._in_transaction()) is not None:
            link.swallowed = True

    async def _in_transaction(self) -> Link | None:
        link = await self.database_proxy.take_transaction(3.0)
        self.done["met inside a transaction"] += link is not None
        return link

    # Redis -----------------------------------------------------------------------------------------------------------

    async def kill_redis(self, number: int) -> None:
        await self.system.redis.kill()
        await asyncio.sleep(AWAY_S)
        await self.system.redis.start()

    async def stop_redis(self, number: int) -> None:
        self.system.redis.signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(BAD_S)
        finally:
            self.system.redis.signal(signal.SIGCONT)

    async def flush_redis(self, number: int) -> None:
        port = int(self.system.redis.url.rsplit(":", 1)[1].split("/", maxsplit=1)[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"FLUSHALL\r\n")
        await reader.readline()
        writer.close()

    async def cut_redis(self, number: int) -> None:
        self.redis_proxy.cut()

    async def garble_redis(self, number: int) -> None:
        await self._spoiled(self.redis_proxy, "garble")

    async def delay_redis(self, number: int) -> None:
        await self._spoiled(self.redis_proxy, "delay")

    async def swallow_redis(self, number: int) -> None:
        await self._spoiled(self.redis_proxy, "swallow")

    @staticmethod
    async def _spoiled(proxy: Proxy, mode: str) -> None:
        proxy.mode = mode
        try:
            await asyncio.sleep(BAD_S)
        finally:
            proxy.mode = "pass"

    # Rows of another version -----------------------------------------------------------------------------------------

    async def poison_retry(self, number: int) -> None:
        if (webhook := self.people.some(number, "plain")) is not None:
            await self._poisoned(
                webhook,
                """UPDATE webhooks SET retry = retry || '{"of_a_newer_version": 1}' WHERE id = $1""",
                "UPDATE webhooks SET retry = retry - 'of_a_newer_version' WHERE id = $1",
            )

    async def poison_labels(self, number: int) -> None:
        if (webhook := self.people.some(number, "plain")) is not None:
            began_at = time.monotonic()
            webhook.unsure.append((began_at, math.inf))
            await self._poisoned(
                webhook,
                """UPDATE webhooks SET labels = '{"number": 5}' WHERE id = $1""",
                "UPDATE webhooks SET labels = '{}' WHERE id = $1",
            )
            webhook.unsure[-1] = (began_at, time.monotonic())

    async def poison_lane(self, number: int) -> None:
        if (webhook := self.people.some(number, "plain")) is not None:
            await self._poisoned(
                webhook,
                "UPDATE webhook_lanes SET breaker_state = 'of_a_newer_version' WHERE webhook_id = $1",
                "UPDATE webhook_lanes SET breaker_state = 'closed' WHERE webhook_id = $1",
            )

    async def _poisoned(self, webhook: Registered, harm: str, heal: str) -> None:
        webhook.poisoned = True
        try:
            await self._sql(harm, webhook.id)
            await asyncio.sleep(POISONED_S)
        finally:
            await self._sql(heal, webhook.id)
            webhook.poisoned = False

    async def poison_job(self, number: int) -> None:
        insert = (
            "INSERT INTO jobs (id, kind, parameters, state, done, created_by, created_at, stepped_at)"
            " VALUES ($1, $2, jsonb_build_object('kind', $2::text), 'running', 0, 'x', now(), to_timestamp(0))"
        )
        await self._extra("jobs", insert, "of_a_newer_version")

    async def poison_notification(self, number: int) -> None:
        insert = "INSERT INTO alert_notifications (id, notification) VALUES ($1, $2)"
        await self._extra("alert_notifications", insert, BYTES_NOBODY_READS)

    async def poison_outbox(self, number: int) -> None:
        await self._extra("event_outbox", "INSERT INTO event_outbox (id, event) VALUES ($1, $2)", BYTES_NOBODY_READS)

    async def _extra(self, table: str, insert: str, value: object) -> None:
        """Add a row that no version of today reads, and take it away again."""
        id_ = str(uuid7(self.done.total()))
        await self._sql(insert, id_, value)
        await asyncio.sleep(POISONED_S)
        await self._sql(f"DELETE FROM {table} WHERE id = $1", id_)

    async def _sql(self, statement: str, *args: object) -> None:
        async def done() -> bool:
            try:
                await self.system.database.fetch(statement, *args)
            except (OSError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError):
                return False
            except asyncpg.TooManyConnectionsError:
                # Connections that a proxy swallowed are held until the database gives them up.
                return False
            return True

        await eventually(done)
