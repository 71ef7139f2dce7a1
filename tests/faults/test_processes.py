"""Processes that are told to end, or that just end: what others notice of it."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from websockets.asyncio.client import connect

from benchmarks.support import Figures
from tests.faults.system import SLACK, Served, system
from tests.integration.cache.processes import LONG
from tests.integration.live_support import Opening, Viewer, watching
from tests.integration.support import Received, Receiver, eventually, ok

DRAIN_S = 25.0 if LONG else 2.0
AGAIN_S = 10.0 if LONG else 25.0
"""Less than the 30 s that a lease lasts."""

SLOW, HANGING = 300, 5
WEBHOOKS = 5
NUMBERED = {"webhook_status_changed", "alert_new", "alert_updated", "anomaly_opened", "anomaly_closed"}


# A worker that is told to stop ------------------------------------------------------------------------------------


async def slowly(_: Received) -> web.Response:
    await asyncio.sleep(0.2)
    return web.Response()


async def never(_: Received) -> web.Response:
    await asyncio.get_running_loop().create_future()
    raise AssertionError


async def test_a_busy_worker_that_is_told_to_stop_ends_in_time_and_loses_nothing(
    template: Path, figures: Figures
) -> None:
    async with system(template) as made, Receiver(slowly) as slow, Receiver(never) as hanging:
        server, worker = await asyncio.gather(made.serve(), made.work(WORKER__DRAIN_S=str(DRAIN_S)))
        ids = await publish(server, slow, "slow", SLOW) + await publish(server, hanging, "hanging", HANGING)
        await eventually(lambda: slow.in_flight >= 20 and len(hanging.requests) == HANGING and len(slow.requests) > 50)
        told_at = time.monotonic()
        code = await worker.stop()
        took_s = time.monotonic() - told_at
        left = await made.held_by(worker)
        before = len(slow.requests)
        hanging.answer = ok
        heir_at = time.monotonic()
        await made.work()
        await hanging.takes(2 * HANGING, within_s=AGAIN_S + 10)
        again_s = hanging.requests[-1].at - heir_at
        await made.nothing_waits()
        figures.at_most(0, "SIGTERM: exit code of a busy worker", code, "")
        figures.at_most(DRAIN_S + 2 * SLACK, "SIGTERM: time to the exit, with attempts that never end", took_s, "s")
        figures.at_most(0, "SIGTERM: deliveries still leased afterwards", left, "deliveries")
        figures.at_most(AGAIN_S, "SIGTERM: start of another worker to the last it gave back", again_s, "s")
        figures.at_most(0, "SIGTERM: events lost", len(set(ids) - set(slow.ids) - set(hanging.ids)), "events")
        figures.at_most(0, "SIGTERM: sent twice, of what could end", len(slow.ids) - SLOW, "requests")
        assert before < SLOW
        assert len(hanging.ids) == 2 * HANGING
        assert made.errors() == []


async def publish(server: Served, receiver: Receiver, name: str, count: int) -> list[str]:
    webhook = {"name": name, "url": receiver.url, "event_types": [name], "timeout_s": 30, "max_concurrency": 40}
    assert (await server.client.call("POST", "webhooks", json=webhook)).status_code == 201
    batch = {"events": [{"type": name, "payload": n} for n in range(count)]}
    answer = await server.client.call("POST", "events", json=batch)
    assert answer.status_code == 202
    return [event["id"] for event in answer.json()["events"]]


# A server that is killed ------------------------------------------------------------------------------------------


async def test_a_killed_server_costs_the_other_nothing_and_the_live_feed_no_message(
    template: Path, figures: Figures
) -> None:
    async with system(template) as made:
        (victim, other), _ = await made.start(servers=2, workers=0)
        ids = [await register(other, i) for i in range(WEBHOOKS)]
        async with flipping(other, ids) as answers, watching(live(other, made.token)) as (beside, _):
            async with watching(live(victim, made.token)) as (viewer, _):
                await eventually(lambda: len(numbered(viewer)) >= 10 and len(numbered(beside)) >= 10)
                await victim.process.stop(signal.SIGKILL)
                killed_at = time.monotonic()
                await eventually(lambda: viewer.closed is not None)
            # What happens while it knows nobody is what it must not miss.
            seen = len(numbered(beside))
            await eventually(lambda: len(numbered(beside)) >= seen + 5)
            async with watching(live(other, made.token, viewer.query)) as (again, _):
                await eventually(lambda: len(numbered(again)) >= 20)
                back = len(numbered(again))
            await eventually(lambda: numbered(beside)[-1]["seq"] >= numbered(again)[-1]["seq"])
        judge_requests(figures, [answer for answer in answers if answer[0] >= killed_at])
        figures.at_least(15, "server killed: live messages after coming back", back, "messages")
        judge_feed(figures, numbered(viewer) + numbered(again), numbered(beside))
        assert not again.of("snapshot")
        assert made.errors() == []


def judge_requests(figures: Figures, answers: list[tuple[float, float, int]]) -> None:
    failed = [status for *_, status in answers if status != 202]
    figures.at_least(1, "server killed: requests to the other meanwhile", len(answers), "requests")
    figures.at_most(0, "server killed: of these, not answered 202", len(failed), "requests")
    figures.at_most(2.5 * SLACK, "server killed: slowest of these", max(took_s for _, took_s, _ in answers), "s")


def judge_feed(figures: Figures, told: list[dict[str, Any]], beside: list[dict[str, Any]]) -> None:
    """Hold what a viewer of both servers was told against what one of the survivor alone was."""
    expected = [frame for frame in beside if told[0]["seq"] <= frame["seq"] <= told[-1]["seq"]]
    missed = sum(frame not in told for frame in expected)
    figures.at_most(0, "server killed: live messages missed", missed, "messages")
    figures.at_most(0, "server killed: live messages told twice", len(told) + missed - len(expected), "messages")
    assert told == expected


def numbered(viewer: Viewer) -> list[dict[str, Any]]:
    return [frame for frame in viewer.frames if frame["type"] in NUMBERED]


def live(server: Served, token: str, query: str = "") -> Opening:
    url, headers = f"ws://127.0.0.1:{server.port}/ws/dashboard{query}", {"Authorization": f"Bearer {token}"}
    return connect(url, additional_headers=headers, proxy=None, compression=None)


async def register(server: Served, number: int) -> str:
    webhook = {"name": f"flipping {number}", "url": "http://127.0.0.1:9/hook"}
    answer = await server.client.call("POST", "webhooks", json=webhook)
    assert answer.status_code == 201, answer.text
    id_: str = answer.json()["id"]
    return id_


@asynccontextmanager
async def flipping(server: Served, ids: list[str]) -> AsyncIterator[list[tuple[float, float, int]]]:
    """Let webhooks fall ill and recover all the time; yields when each report was made, its seconds and its status."""
    answers: list[tuple[float, float, int]] = []

    async def flip(id_: str) -> None:
        while True:
            for statuses in ([503] * 5, [200] * 20):
                started = time.monotonic()
                at = (await server.client.read("dashboard/overview"))["as_of"]
                report = [{"delivered_at": at, "status_code": status, "latency_ms": 5} for status in statuses]
                answer = await server.client.call("POST", f"webhooks/{id_}/attempts", json={"attempts": report})
                answers.append((started, time.monotonic() - started, answer.status_code))

    flips = [asyncio.create_task(flip(id_)) for id_ in ids]
    try:
        yield answers
    finally:
        for task in flips:
            task.cancel()
        await asyncio.gather(*flips, return_exceptions=True)
