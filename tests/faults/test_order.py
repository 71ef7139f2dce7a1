"""
Ordered webhooks keep their order while workers are killed and fan-outs run.

One webhook is ordered by key, one as a whole. Some events are for so many webhooks that workers make their deliveries,
between others of the same keys which a request made. What counts is the receivers' journal of first successes.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

from aiohttp import web

from benchmarks.support import Figures
from tests.faults.system import PATIENCE_S, Served, System, system
from tests.integration.cache.processes import LONG
from tests.integration.fan_out_support import MADE, SUBSCRIBE
from tests.integration.processes import Running
from tests.integration.support import Received, Receiver, eventually

KEYS = 50
EVENTS = 3_000 if LONG else 120
BATCH = 10
KILLS = 20 if LONG else 3
WORKERS = 2
AHEAD = 100
"""How many events the publisher may be ahead of the slower receiver: there is always work, and never a long backlog."""

STUCK_EVERY, REFUSALS = 17, 3
"""Each so many-th event is refused so many times at first, while others of its key come in behind it."""

LARGE_EVERY = 50
SUBSCRIBERS = 1_500
LEASES = {"WORKER__LEASE_S": "4", "WORKER__RENEW_S": "1"}
RETRY = {"schedule_s": [0] + [0.3] * 20, "jitter_ratio": 0}

WAITING = "SELECT count(*) FROM deliveries WHERE webhook_id = ANY($1::uuid[])"
FANNING_OUT = "SELECT count(*) FROM fan_outs"


class Journal:
    """First successes in the order of the answers; refuses an event with 422, which opens no breaker."""

    def __init__(self) -> None:
        self.serials: list[int] = []
        self.requests: Counter[int] = Counter()
        self._succeeded: set[int] = set()

    async def answer(self, received: Received) -> web.Response:
        serial: int = json.loads(received.body)["serial"]
        self.requests[serial] += 1
        await asyncio.sleep(0.005)
        if serial % STUCK_EVERY == 0 and self.requests[serial] <= REFUSALS:
            return web.Response(status=422)
        if serial not in self._succeeded:
            self._succeeded.add(serial)
            self.serials.append(serial)
        return web.Response()

    def overtakings(self, lines: int) -> int:
        """Count the first successes before that of an earlier event of the same line."""
        return sum(
            later < earlier
            for line in range(lines)
            for of_line in [[serial for serial in self.serials if serial % lines == line]]
            for earlier, later in itertools.pairwise(of_line)
        )


async def test_order_survives_kills_of_workers_beside_fan_outs(template: Path, figures: Figures) -> None:
    by_key, whole = Journal(), Journal()
    async with system(template, **LEASES) as made, Receiver(by_key.answer) as one, Receiver(whole.answer) as other:
        (server,), workers = await made.start(1, WORKERS)
        ids = [await subscribe(server, one.url, ordered="key"), await subscribe(server, other.url, ordered=True)]
        model = await subscribe(server, other.url, event_types=["nothing.at_all"])
        await made.database.fetch(SUBSCRIBE, model, SUBSCRIBERS, "order.large")
        enough = asyncio.Event()
        publishing = asyncio.create_task(publish(server, [by_key, whole], enough))
        try:
            held = await kill_workers(made, workers, [by_key, whole])
            enough.set()
            events, large = await publishing
        finally:
            publishing.cancel()

        async def rests() -> bool:
            await asyncio.sleep(0.05)
            return not await made.database.value(FANNING_OUT) and not await made.database.value(WAITING, ids)

        await eventually(rests, within_s=2 * PATIENCE_S)
        (stored,) = await made.database.fetch(f"{MADE} WHERE webhook_id <> ALL($1::uuid[])", ids)
        errors = made.errors()
    figures.at_least(1, "order: deliveries in the hands of killed workers", held, "deliveries")
    figures.at_most(0, f"order: overtakings in {KEYS} keys", by_key.overtakings(KEYS), "events")
    figures.at_most(0, "order: overtakings in a webhook ordered as a whole", whole.overtakings(1), "events")
    for name, journal in (("by key", by_key), ("as a whole", whole)):
        figures.at_least(events, f"order: events delivered, {name}", len(journal.serials), "events")
        figures.note(f"order: requests, {name}", journal.requests.total(), "requests")
    assert tuple(stored) == (large * SUBSCRIBERS, large * SUBSCRIBERS, SUBSCRIBERS)
    assert errors == []


async def subscribe(server: Served, url: str, **members: Any) -> UUID:
    webhook = {"name": "ordered", "url": url, "event_types": ["order.*"], "retry": RETRY, **members}
    answer = await server.client.call("POST", "webhooks", json=webhook)
    assert answer.status_code == 201, answer.text
    return UUID(answer.json()["id"])


async def publish(server: Served, journals: list[Journal], enough: asyncio.Event) -> tuple[int, int]:
    """
    Post events, one request after the other, so that their order is known: at least so many, and until it is enough.

    Returns how many there are, and how many of them are for many webhooks.
    """
    events = large = 0
    while events < EVENTS or not enough.is_set():
        batch = [
            {"type": "order.paid", "order_key": str(n % KEYS), "payload": {"serial": n}}
            for n in range(events, events + BATCH)
        ]
        if events < EVENTS and events % LARGE_EVERY == 0:
            batch[-1]["type"] = "order.large"
            large += 1
        answer = await server.client.call("POST", "events", json={"events": batch})
        assert answer.status_code == 202, answer.text
        events += BATCH

        async def keeps_up(events: int = events) -> bool:
            return min(len(journal.serials) for journal in journals) >= events - AHEAD

        await eventually(keeps_up, within_s=2 * PATIENCE_S)
    return events, large


async def kill_workers(made: System, workers: list[Running], journals: list[Journal]) -> int:
    """Kill a worker that holds deliveries after each further share of the successes; return how many they held."""

    def successes() -> int:
        return sum(len(journal.serials) for journal in journals)

    held = 0
    for _ in range(KILLS):
        until = successes() + len(journals) * EVENTS // (KILLS + 1)

        async def reached(until: int = until) -> bool:
            return successes() >= until

        await eventually(reached, within_s=2 * PATIENCE_S)

        async def holder() -> Running | None:
            for worker in workers:
                if await made.held_by(worker):
                    return worker
            return None

        victim = await eventually(holder, within_s=PATIENCE_S)
        await victim.stop(signal.SIGKILL)
        workers.remove(victim)
        held += await made.held_by(victim)
        workers.append(await made.work())
    return held
