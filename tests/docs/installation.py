"""
An installation as the deployment checklist makes it: a PostgreSQL that asks for passwords, a Redis that has one, units.

Nothing else is played than systemd: ``systemctl`` is a program of ours that starts what the units of the document say.
"""

from __future__ import annotations

import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import redis

from monitor.adapters.embedded import EmbeddedPostgres
from tests import servers
from tests.docs.documents import ROOT

PASSWORDS = """
local all postgres trust
local all all scram-sha-256
"""
REDIS_PASSWORD = "redis-password"

SYSTEMCTL = r'''#!{python}
"""Starts and stops what units say. Of an environment file it reads what systemd and the shell read alike."""
import os, pathlib, re, subprocess, sys, time
import psutil

UNITS, LOGS = pathlib.Path("{units}"), pathlib.Path("{logs}")
LINE = re.compile(r"([A-Z_0-9]+)='([^'\\\n]*)'")


def setting(text, name):
    return re.search(rf"^{{name}}=(.*)$", text, re.MULTILINE)[1]


def start(unit):
    name, at, instance = unit.partition("@")
    text = (UNITS / f"{{name}}{{at}}.service").read_text().replace("%i", instance)
    lines = pathlib.Path(setting(text, "EnvironmentFile")).read_text().splitlines()
    env = {{"PATH": os.defpath, "PYTHONPATH": os.environ["PYTHONPATH"]}}
    env.update(LINE.fullmatch(line).groups() for line in lines)
    with (LOGS / unit).open("ab") as log:
        process = subprocess.Popen(setting(text, "ExecStart").split(), env=env, stdout=log, stderr=log, cwd="/")
    if "Type=oneshot" in text:
        sys.exit(process.wait())
    (UNITS / f"{{unit}}.pid").write_text(str(process.pid))


def stop(unit):
    file = UNITS / f"{{unit}}.pid"
    if file.exists():
        try:
            process = psutil.Process(int(file.read_text()))
            process.terminate()
            # Its parent is gone, and perhaps nothing collects it.
            while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.05)
        except psutil.NoSuchProcess:
            pass
        file.unlink()


verb, *units = [word for word in sys.argv[1:] if not word.startswith("-")]
for unit in units:
    if unit.endswith(".timer"):
        assert (UNITS / unit).exists()
        continue
    stop(unit)
    if verb != "stop":
        start(unit)
'''


@contextmanager
def postgres_with_passwords(directory: Path) -> Iterator[str]:
    """Run a PostgreSQL that asks everybody but its superuser for a password; what its URLs have behind the database."""
    server = EmbeddedPostgres(directory)
    dsn = servers.in_thread(server.start)
    try:
        (directory / "postgres" / "pg_hba.conf").write_text(PASSWORDS)
        server_url = servers.with_database(dsn, "postgres")
        servers.in_thread(lambda: _make_ready(server_url))
        yield urlsplit(dsn).query
    finally:
        servers.in_thread(server.stop)


@contextmanager
def redis_with_password() -> Iterator[str]:
    """Run a Redis with a password; its host and port."""
    with servers.own_redis() as url:
        client = redis.Redis.from_url(url)
        client.config_set("requirepass", REDIS_PASSWORD)
        client.close()
        yield urlsplit(url).netloc


def prepare(directory: Path) -> dict[str, str]:
    """Make the folders of an installation below *directory*, and return the real ones by those of the documents."""
    folders = {
        "/etc/monitor": "etc",
        "/etc/systemd/system": "units",
        "/opt/monitor/bin": ".venv/bin",
    }
    for folder in (*folders.values(), "logs"):
        (directory / folder).mkdir(parents=True, exist_ok=True)
    systemctl = directory / ".venv" / "bin" / "systemctl"
    text = SYSTEMCTL.format(python=sys.executable, units=directory / "units", logs=directory / "logs")
    systemctl.write_text(text)
    systemctl.chmod(systemctl.stat().st_mode | stat.S_IXUSR)
    server = Path(servers.redis_executable())
    (systemctl.parent / "redis-cli").symlink_to(server.with_name(server.name.replace("-server", "-cli")))
    return {shown: str(directory / folder) for shown, folder in folders.items()}


def put_units(directory: Path, adapt: Callable[[str], str]) -> None:
    """Put the units of ``deploy/systemd`` into *directory*, as in a checkout, with the paths and ports of *adapt*."""
    folder = directory / "deploy" / "systemd"
    folder.mkdir(parents=True)
    for unit in (ROOT / "deploy" / "systemd").iterdir():
        (folder / unit.name).write_text(adapt(unit.read_text()))


async def _make_ready(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        # The embedded server comes with it, and the checklist makes it.
        await connection.execute("DROP DATABASE monitor")
        await connection.execute("SELECT pg_reload_conf()")
    finally:
        await connection.close()
