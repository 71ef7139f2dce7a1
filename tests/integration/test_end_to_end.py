"""``monitor up`` as a newcomer runs it, and as the power cut finds it."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import stat
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from aiohttp import web

from tests.integration.processes import Client, environment, processes_of, run, running
from tests.integration.support import Received, Receiver, eventually, ok, verify
from tests.servers import free_port

pytestmark = pytest.mark.processes

EVENTS = 200
BEFORE_THE_KILL = 60
TAKEOVER_S = 60
"""A lease of 30 s, and as much again for a machine that is busy."""


@pytest.fixture
async def directory() -> AsyncIterator[Path]:
    """A data directory; whatever a killed process left running on it is stopped."""
    directory = Path(tempfile.mkdtemp(prefix="monitor-up-", dir="/tmp"))
    try:
        yield directory / "data"
    finally:
        left = processes_of(directory)
        for process in left:
            process.terminate()
        psutil.wait_procs(left, timeout=10)
        shutil.rmtree(directory, ignore_errors=True)


async def token(directory: Path, role: str = "admin") -> str:
    made = await run("token", "--role", role, "--subject", "newcomer", "--ttl", "1h", "--data-dir", str(directory))
    assert made.code == 0, made.err
    assert made.out.count("\n") == 1
    return made.out.strip()


async def publish(publisher: Client) -> list[str]:
    """Post the events in two batches and return their ids."""
    accepted = []
    for half in range(2):
        batch = {"events": [{"type": "order.paid", "payload": {"half": half, "n": n}} for n in range(EVENTS // 2)]}
        response = await publisher.call("POST", "events", json=batch)
        assert response.status_code == 202
        accepted += [event["id"] for event in response.json()["events"]]
    return accepted


async def assert_refused(command: tuple[str, ...], owner: int) -> None:
    """Check that a second ``up`` on the same directory says in one line who is there and what to do."""
    refused = await run(*command)
    assert refused.code == 2
    assert f"in use by another `monitor up` (process {owner})" in refused.err
    assert "--data-dir" in refused.err
    assert len(refused.err.splitlines()) == 1


async def test_every_event_is_delivered_although_the_process_is_killed_in_the_middle(
    directory: Path, receiver: Receiver, tmp_path: Path
) -> None:
    forever = asyncio.Event()

    async def hang_after_some(received: Received) -> web.Response:
        if received.number > BEFORE_THE_KILL:
            await forever.wait()
        return web.Response()

    receiver.answer = hang_after_some
    port = free_port()
    command = ("up", "--data-dir", str(directory), "--port", str(port))
    async with running(*command, env=environment(), log=tmp_path / "first.log") as first:
        await first.says("Monitor is ready")
        client = Client(port, await token(directory))
        assert await client.ready()
        assert stat.S_IMODE((directory / "database-url").stat().st_mode) == 0o600
        created = (await client.call("POST", "webhooks", json={"name": "n", "url": receiver.url})).json()
        accepted = await publish(Client(port, await token(directory, "publisher")))
        await receiver.takes(BEFORE_THE_KILL + 5)
        await first.stop(signal.SIGKILL)
    killed_at = time.monotonic()
    unanswered = set(receiver.ids[BEFORE_THE_KILL:])

    receiver.answer = ok
    seen = len(receiver.requests)
    async with running(*command, env=environment(), log=tmp_path / "second.log") as second:
        await second.says("Monitor is ready")
        client = Client(port, await token(directory))

        async def is_done() -> bool:
            return bool((await client.read("dashboard/overview"))["queue"]["pending"] == 0)

        await eventually(is_done, within_s=TAKEOVER_S)
        assert set(receiver.ids) == set(accepted)
        # What was on its way when the process died is sent again, under the same id.
        again = receiver.requests[seen:]
        assert unanswered <= {request.id for request in again}
        assert max(request.at for request in again) - killed_at < TAKEOVER_S
        for request in receiver.requests:
            verify(created["secret"], request)
        assert Counter(Counter(receiver.ids).values()).keys() <= {1, 2}
        for event_id in accepted[:: EVENTS // 10]:
            assert (await client.read(f"events/{event_id}"))["deliveries"]["delivered"] == 1
        await assert_refused(command, second.pid)
        assert processes_of(directory)
        assert await second.stop() == 0
        assert processes_of(directory) == []
    for log in ("first.log", "second.log"):
        text = (tmp_path / log).read_text()
        assert created["secret"] not in text
        assert "Traceback" not in text


async def test_ctrl_c_during_the_demo_leaves_nothing_behind(directory: Path, tmp_path: Path) -> None:
    port = free_port()
    command = ("up", "--demo", "--data-dir", str(directory), "--port", str(port))
    async with running(*command, env=environment(), log=tmp_path / "up.log") as up:
        await up.says("Monitor is ready")
        assert await Client(port, "none").ready()
        client = Client(port, await token(directory, "viewer"))

        async def has_traffic() -> bool:
            overview = await client.read("dashboard/overview")
            return bool(overview["traffic"]["attempts"] > 10)

        await eventually(has_traffic, within_s=30)
        assert {row["name"] for row in (await client.read("webhooks"))["items"]} == {
            f"Demo: {kind}" for kind in ("healthy", "slow", "flaky", "recovering", "dead")
        }
        assert await up.stop(signal.SIGINT) == 0
    assert processes_of(directory) == []
    text = (tmp_path / "up.log").read_text()
    assert "Traceback" not in text
    assert "Open to" not in text
    # What is written to a pipe or a file is what a terminal shows: no line for each attempt and request.
    assert not [line for line in text.splitlines() if '"level":"info"' in line]


async def test_what_listens_beyond_loopback_says_what_it_opens_and_to_whom(directory: Path, tmp_path: Path) -> None:
    port = free_port()
    command = ("up", "--host", "0.0.0.0", "--data-dir", str(directory), "--port", str(port))
    async with running(*command, env=environment(), log=tmp_path / "up.log") as up:
        await up.says("Plain HTTP")
        _, ready, after = up.output.partition("Monitor is ready")
        assert ready
        opened = " ".join(after.partition("Open to")[2].split())
        assert opened.startswith(
            "every machine that reaches any address of this one."
            " Without a token: the page, probes, /schema (MONITOR_HTTP__SERVE_SCHEMA=false closes it)"
        )
        assert "With one: everything its role allows." in opened
        assert f"http://127.0.0.1:{port}/" in after
        assert await up.stop() == 0


def is_readable_by_others(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o066)


async def test_a_port_in_use_is_said_in_one_line(directory: Path, receiver: Receiver) -> None:
    port = receiver.url.split(":")[2].removesuffix("/hook")
    refused = await run("up", "--data-dir", str(directory), "--port", port)
    assert refused.code == 2
    problem = os.strerror(errno.EADDRINUSE)
    assert refused.err.startswith(f"monitor up: cannot listen on 127.0.0.1:{port}: {problem}; ")
    assert refused.err.count("\n") == 1
    assert not (directory / "postgres").exists(), "the database was started for nothing"
    assert processes_of(directory) == []
    # Under root the database's account has to pass through, but not to look.
    assert not is_readable_by_others(directory)
