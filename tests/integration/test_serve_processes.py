"""`monitor serve --processes`: a parent and its children, through deaths and signals."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import psutil
import pytest
from websockets.asyncio.client import ClientConnection, connect

from monitor.cli.addresses import listen
from monitor.cli.common import CommandError
from monitor.cli.processes import CANNOT_START, ProcessGroup, StartFailed, pause_s
from tests.integration.live_support import close_of, receive
from tests.integration.processes import Client, Running, production, run, running
from tests.integration.support import eventually
from tests.servers import free_port

pytestmark = pytest.mark.processes

Born = Callable[[], list[psutil.Process]]
RESTARTING = (1012, "restarting")


class Site:
    """A running `monitor serve` with its callers."""

    def __init__(self, server: Running, port: int, admin: str) -> None:
        self.server = server
        self.port = port
        self.admin = admin
        self.client = Client(port, admin)

    @property
    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.server.pid).children()

    def watch(self) -> connect:
        headers = {"Authorization": f"Bearer {self.admin}"}
        return connect(f"ws://127.0.0.1:{self.port}/ws/dashboard", additional_headers=headers, proxy=None)

    async def watch_all(self, stack: AsyncExitStack, count: int = 3) -> list[ClientConnection]:
        """Open sockets that have had their snapshot."""
        sockets = [await stack.enter_async_context(self.watch()) for _ in range(count)]
        assert {(await receive(socket))["type"] for socket in sockets} == {"snapshot"}
        return sockets


@asynccontextmanager
async def site(processes: int, database_url: str, own_redis_url: str, tmp_path: Path) -> AsyncIterator[Site]:
    env, port = production(database_url, REDIS_URL=own_redis_url), free_port()
    admin = (await run("token", "--role", "admin", "--subject", "ci", env=env)).out.strip()
    arguments = ("serve", "--port", str(port), "--processes", str(processes))
    async with running(*arguments, env=env, log=tmp_path / "serve.log") as server:
        it = Site(server, port, admin)
        await eventually(it.client.ready, within_s=60)
        family = it.children
        yield it
    await eventually(lambda: not any(child.is_running() for child in family), within_s=30)


@pytest.fixture
async def pair(database_url: str, own_redis_url: str, tmp_path: Path) -> AsyncIterator[Site]:
    async with site(2, database_url, own_redis_url, tmp_path) as it:
        yield it


async def test_children_of_a_parent_that_is_killed_say_good_bye_and_end(pair: Site, stack: AsyncExitStack) -> None:
    children = pair.children
    assert len(children) == 2
    sockets = await pair.watch_all(stack)
    pair.server.process.kill()
    assert {await close_of(socket) for socket in sockets} == {RESTARTING}
    await eventually(lambda: not any(child.is_running() for child in children), within_s=20)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", pair.port)


@pytest.mark.parametrize("processes", [1, 2])
async def test_a_stop_lets_requests_finish_and_sends_live_feeds_elsewhere(
    processes: int, database_url: str, own_redis_url: str, tmp_path: Path, stack: AsyncExitStack
) -> None:
    async with site(processes, database_url, own_redis_url, tmp_path) as it:
        sockets = await it.watch_all(stack)
        body = json.dumps({"type": "order.paid", "payload": {}}).encode()
        head = (
            f"POST /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {it.admin}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
        writer.write(head.encode())
        # The request is in flight: its route asks for the body.
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        it.server.process.send_signal(signal.SIGTERM)
        assert {await close_of(socket) for socket in sockets} == {RESTARTING}
        writer.write(body)
        async with asyncio.timeout(20):
            answer = await reader.read()
            assert await it.server.process.wait() == 0
        writer.close()
        assert answer.startswith(b"HTTP/1.1 202 ")
        assert "Traceback" not in it.server.output


async def test_a_child_that_dies_is_replaced_and_the_other_one_goes_on(pair: Site) -> None:
    victim, other = pair.children
    victim.kill()
    await eventually(lambda: len(pair.children) == 2 and victim not in pair.children)
    assert other in pair.children
    await eventually(lambda: "process_died" in pair.server.output)
    await eventually(pair.client.ready)
    (line,) = [json.loads(line) for line in pair.server.output.splitlines() if "process_died" in line]
    assert line["exit_code"] == -signal.SIGKILL
    other.terminate()
    (_,) = await asyncio.to_thread(lambda: psutil.wait_procs([other], timeout=20)[0])
    await eventually(lambda: len(pair.children) == 2)
    assert await pair.server.stop() == 0


async def test_signals_that_ask_others_to_read_again_do_no_harm(pair: Site) -> None:
    children = pair.children
    for process in (psutil.Process(pair.server.pid), *children):
        for name in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            process.send_signal(name)
    # One of them may still be filling its cache.
    for _ in range(5):
        await eventually(pair.client.ready)
    assert pair.children == children
    assert await pair.server.stop(signal.SIGINT) == 0


@pytest.mark.parametrize("processes", ["1", "2"])
async def test_a_port_that_is_taken_ends_the_command_with_one_line(processes: str, database_url: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        env = production(database_url, REDIS_URL="redis://127.0.0.1:1/0")
        refused = await run("serve", "--port", port, "--processes", processes, env=env)
    assert (refused.code, refused.out) == (2, "")
    problem = os.strerror(errno.EADDRINUSE)
    assert refused.err.startswith(f"monitor serve: cannot listen on 127.0.0.1:{port}: {problem}; ")
    assert refused.err.count("\n") == 1


async def test_a_host_that_does_not_exist_ends_the_command_with_one_line(database_url: str) -> None:
    for host in ("no-such-host.invalid", "x" * 70):
        refused = await run("serve", "--host", host, env=production(database_url))
        assert refused.code == 2
        assert refused.err.startswith(f"monitor serve: cannot listen on {host}:8000: ")
        assert len(refused.err.splitlines()) == 1


def test_every_address_of_a_host_is_listened_on_but_those_that_this_machine_does_not_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here, elsewhere, port = "127.0.0.1", "192.0.2.1", free_port()

    def resolve(*hosts: str) -> None:
        rows = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in (*hosts, hosts[0])]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: rows)

    resolve(elsewhere, here)
    (listener,) = listen("name", port)
    with listener:
        assert listener.getsockname() == (here, port)
        with pytest.raises(CommandError, match=os.strerror(errno.EADDRINUSE)):
            listen("name", port)
    resolve(elsewhere)
    with pytest.raises(CommandError, match=os.strerror(errno.EADDRNOTAVAIL)):
        listen("name", port)


# The process group, with children that are simpler than a server ------------------------------------------------------


@pytest.fixture
def born() -> Born:
    """Return the children of this process that the test made."""
    before = psutil.Process().children()
    return lambda: [process for process in psutil.Process().children() if process not in before]


def child(code: str) -> list[str]:
    return [sys.executable, "-c", code]


async def test_first_children_that_cannot_start_end_the_parent_and_their_siblings(tmp_path: Path, born: Born) -> None:
    lock = tmp_path / "lock"
    lock.touch()
    # One child of the two finds the file and cannot start, once the other one sleeps.
    code = (
        f"import os, sys, time, pathlib\n"
        f"try: os.unlink({str(lock)!r})\n"
        f"except FileNotFoundError: pathlib.Path({str(tmp_path / 'sleeps')!r}).touch(); time.sleep(600)\n"
        f"while not os.path.exists({str(tmp_path / 'sleeps')!r}): time.sleep(0.01)\n"
        f"sys.exit({CANNOT_START})"
    )
    with pytest.raises(StartFailed):
        await asyncio.wait_for(ProcessGroup(lambda *_: child(code), 2).run(), 20)
    assert not born()


async def test_a_replacement_that_cannot_start_is_tried_again(tmp_path: Path) -> None:
    count = tmp_path / "count"
    # The first one is killed, its replacement cannot start, the third one stays.
    code = (
        f"import os, signal, sys, time\n"
        f"file = open({str(count)!r}, 'a+'); file.write('x'); file.flush()\n"
        f"born = os.path.getsize({str(count)!r})\n"
        f"if born == 1: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"if born == 2: sys.exit({CANNOT_START})\n"
        f"time.sleep(600)"
    )
    group = ProcessGroup(lambda *_: child(code), 1)
    running = asyncio.create_task(group.run())
    await eventually(lambda: count.exists() and count.stat().st_size == 3)
    group.stop()
    assert await asyncio.wait_for(running, 20)


async def test_a_child_that_does_not_stop_is_killed(tmp_path: Path, born: Born) -> None:
    deaf = tmp_path / "deaf"
    code = (
        "import pathlib, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"pathlib.Path({str(deaf)!r}).touch()\n"
        "time.sleep(600)"
    )
    group = ProcessGroup(lambda *_: child(code), 1, stop_s=0.2)
    running = asyncio.create_task(group.run())
    await eventually(deaf.exists)
    group.stop()
    assert not await asyncio.wait_for(running, 20)
    assert not born()


async def test_children_that_are_told_to_stop_while_they_end_still_count_as_stopped_in_good_order(
    tmp_path: Path,
) -> None:
    code = (
        "import os, pathlib, signal, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: os._exit(0))\n"
        f"pathlib.Path({str(tmp_path)!r}, str(os.getpid())).touch()\n"
        "time.sleep(600)"
    )
    group = ProcessGroup(lambda *_: child(code), 8)
    running = asyncio.create_task(group.run())
    await eventually(lambda: len(list(tmp_path.iterdir())) == 8)
    while not running.done():
        group.stop()
        await asyncio.sleep(0)
    assert await running


async def test_only_the_parent_holds_the_other_end_of_the_lifeline(tmp_path: Path) -> None:
    """Else a sibling would keep the pipe open, and nobody would notice the parent's end."""
    seen = tmp_path / "seen"
    inherited, other = os.pipe()
    code = (
        "import os, pathlib, time\n"
        "def is_open(fd):\n"
        "    try: os.fstat(fd)\n"
        "    except OSError: return False\n"
        "    return True\n"
        f"pathlib.Path({str(seen)!r}).write_text(repr([fd for fd in range(3, 256) if is_open(fd)]))\n"
        "time.sleep(600)"
    )
    lifelines: list[int] = []

    def command(lifeline: int, _slot: int) -> list[str]:
        lifelines.append(lifeline)
        return child(code)

    group = ProcessGroup(command, 1, [inherited])
    running = asyncio.create_task(group.run())
    await eventually(lambda: seen.exists() and seen.read_text().endswith("]"))
    group.stop()
    assert await asyncio.wait_for(running, 20)
    assert json.loads(seen.read_text()) == sorted([inherited, *lifelines])
    os.close(inherited)
    os.close(other)


def test_the_pause_before_a_replacement_grows_to_half_a_minute() -> None:
    assert [pause_s(deaths) for deaths in (0, 1, 2, 3, 7, 10_000)] == [0.0, 0.5, 1.0, 2.0, 30.0, 30.0]
