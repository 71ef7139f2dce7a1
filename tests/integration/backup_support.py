"""A PostgreSQL of the system with a folder for backups, and the commands of the checklist, as they stand there."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.docs.documents import ROOT, Block, adapted, blocks
from tests.servers import free_port

CHECKLIST = ROOT / "docs" / "DEPLOYMENT_CHECKLIST.md"
SYSTEMCTL = """#!/bin/sh
# Of the services of the document only PostgreSQL; a test runs the processes of Monitor itself.
[ "$2" = postgresql ] || exit 0
case $1 in stop|restart) pg_ctl -D '{data}' stop -m fast -s;; esac
case $1 in start|restart) pg_ctl -D '{data}' start -w -s -l '{log}';; esac
"""


def section(title: str) -> list[Block]:
    """Return the commands of one section of the checklist."""
    lines = CHECKLIST.read_text().splitlines()
    first = lines.index(f"## {title}") + 1
    last = next((n for n, line in enumerate(lines[first:], first) if line.startswith("## ")), len(lines))
    return [block for block in blocks(CHECKLIST) if block.language == "sh" and first < block.line <= last]


def programs() -> Path:
    """Return the folder with the programs of the newest PostgreSQL of the system."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if found:
        return found[-1].parent
    if (initdb := shutil.which("initdb")) is None:
        pytest.skip("there is no PostgreSQL server on this system")
    return Path(initdb).resolve().parent


class Machine:
    """The machine of the database: a data directory, a backup disk, and a shell for the user of the server."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.data = directory / "main"
        self.directory = directory
        self._bin = directory / "bin"
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:
            # PostgreSQL does not run as root.
            nobody = pwd.getpwnam("nobody")
            os.chown(directory, nobody.pw_uid, nobody.pw_gid)
            self._user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        self._bin.mkdir()
        self._program("systemctl", SYSTEMCTL.format(data=self.data, log=directory / "postgres.log"))
        self._program("monitor", f'#!/bin/sh\nexec {sys.executable} -m monitor "$@"\n')
        self._values = {
            "/etc/postgresql/15/main": str(self.data),
            "/var/lib/postgresql/15/main": str(self.data),
            "/var/lib/postgresql/15/damaged": str(directory / "damaged"),
            "/backup": str(directory / "backup"),
            "db.internal": f"127.0.0.1:{self.port}",
        }
        self.as_server("initdb -D main -U postgres --auth=trust -E UTF8 > /dev/null; mkdir backup")
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(f"port = {self.port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{directory}'\n")
        self.as_server("systemctl start postgresql")

    def url(self, user: str, database: str = "monitor") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def as_server(self, text: str, **values: str) -> str:
        """Run commands as the user of the server, who sees its data and backups alone."""
        return self._run(text, {"HOME": str(self.directory)}, values, **self._user)

    def as_root(self, text: str, env: Mapping[str, str]) -> str:
        """Run commands in the shell in which Monitor was installed."""
        return self._run(text, env, {})

    def stop(self) -> None:
        self.as_server("systemctl stop postgresql || true")

    def _run(self, text: str, env: Mapping[str, str], values: Mapping[str, str], **user: Any) -> str:
        where = {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": "postgres"}
        path = os.pathsep.join(map(str, (self._bin, programs(), os.defpath)))
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", adapted(text, {}, {**values, **self._values})],
            cwd=self.directory,
            env={**env, **where, "PATH": path, "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            **user,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        printed: str = done.stdout
        return printed

    def _program(self, name: str, text: str) -> None:
        path = self._bin / name
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


@contextmanager
def machine() -> Iterator[Machine]:
    """Run a server with the users of the checklist and an empty database; nothing of it is left."""
    with tempfile.TemporaryDirectory(prefix="monitor-backup-", dir="/tmp", ignore_cleanup_errors=True) as directory:
        made = Machine(Path(directory))
        try:
            made.as_server(
                "psql -qc 'CREATE USER monitor_owner' -c 'CREATE USER monitor_app'"
                " -c 'CREATE DATABASE monitor OWNER monitor_owner' postgres"
            )
            yield made
        finally:
            made.stop()
