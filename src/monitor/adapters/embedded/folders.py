"""Accounts, permissions and socket folders of the embedded server."""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import stat
import subprocess
import tempfile
from pathlib import Path

SYSTEM_USER = "pgserver"
"""Runs the server when we are root, which PostgreSQL refuses to be."""

_SOCKET_PATH_MAX_BYTES = 100
"""Linux allows 107, macOS 103."""

_PLAIN_PATH = re.compile(r"[A-Za-z0-9_./-]+")
"""What needs quoting neither in ``unix_socket_directories`` nor in a DSN's list of hosts."""


class EmbeddedError(Exception):
    """The embedded database cannot be used; the text says what to do."""


def run_as(pgdata: Path) -> pwd.struct_passwd | None:
    """Return the account for the server when we are root: the owner of the data, else our own system account."""
    if os.geteuid() != 0:
        return None
    if pgdata.exists() and pgdata.stat().st_uid != 0:
        return pwd.getpwuid(pgdata.stat().st_uid)
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603
        return pwd.getpwnam(SYSTEM_USER)


def let_through(path: Path) -> None:
    """Let every account pass (not list) the folders above *path*."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def let_read(folder: Path) -> None:
    """Open an installation that a strict umask closed to other accounts."""
    if folder.stat().st_mode & stat.S_IROTH and (folder / "bin" / "postgres").stat().st_mode & stat.S_IXOTH:
        return
    for path in (folder, *folder.rglob("*")):
        mode = path.stat().st_mode
        passable = stat.S_IXOTH if mode & stat.S_IXUSR else 0
        path.chmod(stat.S_IMODE(mode) | stat.S_IROTH | passable)


def socket_dir(pgdata: Path, user: pwd.struct_passwd | None, port: int) -> Path:
    """Return the data directory, or a private short one if its path is too long or needs quoting.

    Raises:
        EmbeddedError: someone else made the short one first.
    """
    if len(os.fsencode(pgdata / f".s.PGSQL.{port}")) <= _SOCKET_PATH_MAX_BYTES and _PLAIN_PATH.fullmatch(str(pgdata)):
        return pgdata
    uid = os.geteuid() if user is None else user.pw_uid
    digest = hashlib.sha256(os.fsencode(pgdata)).hexdigest()[:12]
    short = Path(tempfile.gettempdir()) / f"monitor-{uid}-{digest}"
    if not short.is_symlink() and not short.exists():
        short.mkdir(mode=0o700)
        os.chown(short, uid, -1)
    found = short.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or found.st_mode & 0o077:
        raise EmbeddedError(f"{short} is not a private folder of user {uid}; remove it or choose a shorter --data-dir.")
    return short
