"""
Debian's PgBouncer in transaction mode, in front of a PostgreSQL of the suite.

``MONITOR_TEST_POOLER=pgbouncer`` puts it in front of the databases of the integration tests, of `faults` and of
`chaos`: their URLs name the server all the same, and :func:`through` turns one into those that the product is given.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

from monitor.adapters.embedded.folders import past_closed_folders
from monitor.adapters.postgres.engine import DatabaseConfig
from tests.servers import accepts, free_port, wait_for

POOLER = "MONITOR_TEST_POOLER"
"""Asks for a pooler: empty, or ``pgbouncer``."""

POOLED, POOLER_URL = "MONITOR_TEST_POOLED", "MONITOR_TEST_POOLER_URL"
"""Set while one runs: a URL of the server behind it, and the pooler's own."""

POOL_SIZE = 10

CONFIGURATION = """
[databases]
* = {server} connect_query='SET statement_timeout = 5000; SET jit = off'

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
admin_users = pgbouncer
pool_mode = {mode}
default_pool_size = {size}
max_client_conn = {clients}
server_reset_query_always = 0
ignore_startup_parameters = {ignored}
query_wait_timeout = {wait_s}
server_login_retry = 1
server_idle_timeout = 30
logfile = {directory}/log
pidfile = {directory}/pid
"""


class PgBouncer:
    """
    One PgBouncer at a port that outlives its process.

    Attributes:
        port: of its listener on loopback.
    """

    def __init__(self, server_url: str, directory: Path, **options: Any) -> None:
        """
        Args:
            server_url: any database of the server; its user is the one of every connection.
            options: ``mode``, ``size`` of the pool, ``clients`` at once, ``ignored`` startup parameters, ``wait_s``.
        """
        self.port = free_port()
        self._directory = directory
        self._user = _user(server_url)
        self._process: subprocess.Popen[bytes] | None = None
        defaults = {"mode": "transaction", "size": POOL_SIZE, "clients": 1000, "ignored": "", "wait_s": 120}
        self._options = {"port": self.port, "directory": directory} | defaults | options
        self._write(server_url)
        directory.chmod(0o755)
        if os.geteuid() == 0:
            os.chown(directory, self._user.pw_uid, self._user.pw_gid)

    def url(self, database: str) -> str:
        """Return the URL of *database*, or of the one that the URL *database* names, through the pooler."""
        name = urlsplit(database).path.lstrip("/") if "://" in database else database
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def lead_to(self, server_url: str) -> None:
        """Lead new connections to another server, and give up those to the one before as they become idle."""
        self._write(server_url)
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    def _write(self, server_url: str) -> None:
        text = CONFIGURATION.format(server=_server(server_url), **self._options)
        (self._directory / "pgbouncer.ini").write_text(text)

    def start(self) -> None:
        """Start it and wait until it listens. It does not run as root."""
        own = ["pgbouncer", "--quiet", str(self._directory / "pgbouncer.ini")]
        if os.geteuid() == 0:
            account = (f"--reuid={self._user.pw_uid}", f"--regid={self._user.pw_gid}")
            own = [*(past_closed_folders() or ["setpriv", "--clear-groups"]), *account, *own]
        self._process = subprocess.Popen(own, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self._process, lambda: accepts(self.port))

    def stop(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End it at once, or as *how* says; its clients lose their connections."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._process = None

    async def show(self, what: str) -> list[dict[str, Any]]:
        """Return the rows of ``SHOW`` *what* of its console."""
        arguments = ("-XAt", "-F", "\t", "-P", "tuples_only=off", "-P", "footer=off", "-c", f"SHOW {what}")
        url = f"postgresql://pgbouncer@127.0.0.1:{self.port}/pgbouncer"
        process = await asyncio.create_subprocess_exec(
            "psql", *arguments, url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await process.communicate()
        assert process.returncode == 0, err
        head, *lines = [line.split("\t") for line in out.decode().splitlines()]
        return [dict(zip(head, line, strict=True)) for line in lines]


@contextmanager
def pgbouncer(server_url: str, **options: Any) -> Iterator[PgBouncer]:
    """Run one in front of the server of *server_url*. Options are those of :class:`PgBouncer`."""
    directory = Path(tempfile.mkdtemp(prefix="monitor-pgbouncer-", dir="/tmp"))
    pooler = PgBouncer(server_url, directory, **options)
    try:
        pooler.start()
        yield pooler
    finally:
        pooler.stop()
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def if_asked_for(server_url: str, **options: Any) -> Iterator[PgBouncer | None]:
    """Run one if ``MONITOR_TEST_POOLER`` asks for it, for :func:`through`. Options are those of :class:`PgBouncer`."""
    if not asked_for():
        yield None
        return
    with pgbouncer(server_url, **options) as pooler:
        before = {name: os.environ.pop(name, "") for name in (POOLED, POOLER_URL)}
        os.environ |= {POOLED: server_url, POOLER_URL: pooler.url("")}
        try:
            yield pooler
        finally:
            os.environ |= before


def asked_for() -> bool:
    return bool(os.environ.get(POOLER))


def through(url: str) -> tuple[str, str | None]:
    """Return what the product is given for the database at *url*: its main URL, and the direct one if it needs one."""
    behind, pooler = (os.environ.get(name, "") for name in (POOLED, POOLER_URL))
    if not behind or _server_of(url) != _server_of(behind):
        return url, None
    return urlunsplit(urlsplit(pooler)._replace(path=urlsplit(url).path)), url


def database_config(dsn: str, **options: Any) -> DatabaseConfig:
    """Return what opens the database at *dsn* for a test of adapters."""
    url, direct_url = through(dsn)
    return DatabaseConfig(url, direct_dsn=direct_url, **options)


def _server_of(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.netloc, parts.query


def _server(url: str) -> str:
    parts = urlsplit(url)
    host = parse_qs(parts.query).get("host", [parts.hostname or "127.0.0.1"])[0]
    login = f"user={parts.username or 'postgres'}" + (f" password={parts.password}" if parts.password else "")
    return f"host={host} port={parts.port or 5432} {login}"


def _user(url: str) -> pwd.struct_passwd:
    """Return the user to run as: the owner of the folder of the server's socket, which may be closed to others."""
    folder = parse_qs(urlsplit(url).query).get("host", [""])[0]
    owner = Path(folder).stat().st_uid if folder.startswith("/") else 0
    return pwd.getpwuid(owner) if owner else pwd.getpwnam("nobody")
