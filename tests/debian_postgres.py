"""Debian's PostgreSQL on a loopback port, under its account: of another version than the embedded one, and with TLS."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.servers import FASTER, accepts, free_port, wait_for

PROGRAMS = Path("/usr/lib/postgresql")


def versions() -> list[Path]:
    """Return the folders of programs of the installed versions, the newest first."""
    found = [folder / "bin" for folder in PROGRAMS.glob("*") if (folder / "bin" / "initdb").exists()]
    return sorted(found, key=lambda folder: -float(folder.parent.name))


@contextmanager
def debian_postgres(
    files: Sequence[Path] = (), programs: Path | None = None, account_name: str = "postgres", **settings: str
) -> Iterator[str]:
    """
    Run the newest one, or that of *programs*; yield the URL of its database `postgres`.

    Args:
        files: copied into its data directory, readable by the server alone.
        account_name: whose process it is, if this one is root's.
        settings: of the server.
    """
    programs = programs or versions()[0]
    account = pwd.getpwnam(account_name)
    as_server = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
    as_server = as_server if os.geteuid() == 0 else []
    directory = Path(tempfile.mkdtemp(prefix="monitor-debian-", dir="/tmp"))
    data, port = directory / "data", free_port()
    try:
        if as_server:
            os.chown(directory, account.pw_uid, account.pw_gid)
        made = [str(programs / "initdb"), "-D", str(data), "-U", "postgres", "--auth=trust", "-E", "UTF8"]
        subprocess.run([*as_server, *made], check=True, stdout=subprocess.DEVNULL)
        for file in files:
            target = data / file.name
            target.write_bytes(file.read_bytes())
            target.chmod(0o600)
            if as_server:
                os.chown(target, account.pw_uid, account.pw_gid)
        given = [setting.replace(" ", "") for setting in FASTER] + [
            f"{name}={value}" for name, value in settings.items()
        ]
        options = [part for setting in given for part in ("-c", setting)]
        command = [str(programs / "postgres"), "-D", str(data), "-p", str(port), "-k", str(directory), *options]
        process = subprocess.Popen([*as_server, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(process, lambda: accepts(port))
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        finally:
            process.terminate()
            process.wait()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
