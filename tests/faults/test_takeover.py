"""How long the deliveries of a killed worker wait for another one: a lease, and a moment."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

from aiohttp import web

from benchmarks.support import Figures
from tests.faults.system import SLACK, System, system
from tests.integration.cache.processes import LONG
from tests.integration.processes import Running
from tests.integration.support import Received, Receiver, eventually, ok

DELIVERIES = 50
LEASE_S, RENEW_S = (30.0, 10.0) if LONG else (6.0, 1.5)
"""The long form has the leases that production has by default."""

TAKEOVER_S = LEASE_S + 5.0 * SLACK


async def hang(_: Received) -> web.Response:
    await asyncio.get_running_loop().create_future()
    raise AssertionError


async def test_what_a_killed_worker_held_is_delivered_by_another(template: Path, figures: Figures) -> None:
    leases = {} if LONG else {"WORKER__LEASE_S": str(LEASE_S), "WORKER__RENEW_S": str(RENEW_S)}
    async with system(template, **leases) as made, Receiver(hang) as receiver:
        (server,), (victim,) = await made.start(servers=1, workers=1)
        webhook = {"name": "slow", "url": receiver.url, "timeout_s": 30, "max_concurrency": DELIVERIES}
        assert (await server.client.call("POST", "webhooks", json=webhook)).status_code == 201
        batch = {"events": [{"type": "order.paid", "payload": n} for n in range(DELIVERIES)]}
        assert (await server.client.call("POST", "events", json=batch)).status_code == 202
        await receiver.takes(DELIVERIES)
        heir = await made.work()
        held = await until_renewed(made, victim)
        await victim.stop(signal.SIGKILL)
        killed_at = time.monotonic()
        receiver.answer = ok
        requests = await receiver.takes(2 * DELIVERIES, within_s=TAKEOVER_S + 10)
        await made.nothing_waits()
        figures.at_least(DELIVERIES, "takeover: deliveries in the hands of the killed worker", held, "deliveries")
        figures.at_most(
            TAKEOVER_S, "takeover: kill to the last of them sent by another", requests[-1].at - killed_at, "s"
        )
        assert len(receiver.requests) == 2 * DELIVERIES
        assert heir.process.returncode is None
        assert made.errors() == []


async def until_renewed(made: System, worker: Running) -> int:
    """Wait for the worst moment to die, right after all leases were renewed; return how many there are."""

    async def fresh() -> bool:
        return bool(
            await made.database.value(
                "SELECT min(due_at) - now() > make_interval(secs => $1) FROM deliveries WHERE leased_by IS NOT NULL",
                LEASE_S - 0.5,
            )
        )

    await eventually(fresh)
    return await made.held_by(worker)
