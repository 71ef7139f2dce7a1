"""Accounts, permissions and socket folders of the embedded server."""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import shutil
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


_MADE_LAST = "keys.json"
_MADE_FIRST = {"lock", "postgres", "postgres.new", "postgres.log", "postgres.log.1"}
"""What a first start leaves that was ended before it made the keys."""

_HARMLESS = {"lost+found"}
"""In an empty file system."""

_CAPABILITIES = {"dac_read_search": 2, "dac_override": 1}
"""Bits of the capabilities that pass closed folders; the first allows no more than to read."""


class EmbeddedError(Exception):
    """The embedded database cannot be used; the text is what to do."""


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


def take(folder: Path) -> None:
    """
    Make *folder* the data directory, or find that it is one. Nothing that was there before is changed.

    Raises:
        EmbeddedError: it holds other things, or is a home directory or the root.
        OSError: it cannot be made or read.
    """
    if folder.is_dir():
        _check_ours(folder)
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    if os.geteuid() == 0:
        # The account of the server has to pass, and not to look.
        folder.chmod(0o711)


def _check_ours(folder: Path) -> None:
    found = {path.name for path in folder.iterdir() if not path.name.startswith(f".{_MADE_LAST}.")} - _HARMLESS
    if _MADE_LAST in found or (found and found <= _MADE_FIRST):
        return
    if folder in _homes() or folder == Path(folder.anchor):
        raise EmbeddedError(
            f"{folder} cannot be the data directory, since it is a home directory or the root; choose one inside, as"
            f" with --data-dir {folder / 'monitor-data'}."
        )
    if found:
        raise EmbeddedError(
            f"{folder} cannot be the data directory, since it holds other files; choose an empty or a new one with"
            " --data-dir."
        )


def is_passable(path: Path, user: pwd.struct_passwd) -> bool:
    """Whether *user* may pass all folders above *path*, as far as their modes show."""
    return all(_may(folder.stat(), user, stat.S_IXUSR) for folder in path.parents)


def is_usable(programs: Path, user: pwd.struct_passwd) -> bool:
    """Whether *user* may run the server in the folder *programs* and read what is installed beside it."""
    server = programs / "postgres"
    return (
        is_passable(server, user)
        and _may(server.stat(), user, stat.S_IXUSR)
        and _may(programs.parent.stat(), user, stat.S_IRUSR)
    )


def past_closed_folders() -> list[str]:
    """
    Return the command in front of a server's that runs it under another account and still lets it pass folders that are
    closed to that account, by a capability of ours. Changing the folders would open them to everyone.

    Returns:
        A command that ends before the name of the account; empty if this system has none.
    """
    program = shutil.which("setpriv")
    capability = next((name for name, bit in _CAPABILITIES.items() if _effective() >> bit & 1), None)
    if program is None or capability is None:
        return []
    capabilities = [f"--inh-caps=+{capability}", f"--ambient-caps=+{capability}"]
    # access(2), by which initdb looks for its neighbours, leaves capabilities out of account unless this bit is set.
    return [program, *capabilities, "--securebits=+no_setuid_fixup", "--clear-groups"]


def _may(found: os.stat_result, user: pwd.struct_passwd, owners_bit: int) -> bool:
    shift = 0 if found.st_uid == user.pw_uid else 3 if found.st_gid == user.pw_gid else 6
    return bool(found.st_mode & (owners_bit >> shift))


def _effective() -> int:
    """Return the effective capabilities of this process as bits; none where the system has no such thing."""
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return int(text.partition("CapEff:")[2].split(maxsplit=1)[0], 16)


def _homes() -> set[Path]:
    """Return the home directory of this user, and those of all accounts."""
    named = [Path(account.pw_dir) for account in pwd.getpwall()]
    return {path.resolve() for path in (Path("~").expanduser(), *named)}


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
