"""What the commands share."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

from monitor.adapters.local_keys import LocalKeys, load_keys
from monitor.settings.environment import from_env, missing_for_production
from monitor.settings.schema import JwtKey, SecretKey, Settings

DEFAULT_DATA_DIR = Path("monitor-data")
DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
DEFAULT_URL = f"http://{DEFAULT_HOST}:{DEFAULT_PORT}"
DEFAULT_PARALLEL = 8
MAX_PARALLEL = 32
"""Requests of one command in flight; a server bounds those of a subject per second."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class CommandError(Exception):
    """A command cannot continue; the text is one line with reason and remedy."""


def add_address(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--host", default=DEFAULT_HOST, help=f"address to listen on (default {DEFAULT_HOST})")
    sub.add_argument("--port", type=port, default=DEFAULT_PORT, help=f"port to listen on (default {DEFAULT_PORT})")


def add_json(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--json", action="store_true", help="print JSON for scripts")


def add_server(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--url", help=f"server to call (default MONITOR_URL, or {DEFAULT_URL})")
    sub.add_argument("--token-file", type=Path, metavar="FILE", help="file with the token (default MONITOR_TOKEN)")
    sub.add_argument("--data-dir", type=Path, help="instead of a token: data directory of a `monitor up` here")


def environment() -> Settings:
    """Read the settings. Raises ``SettingsError``."""
    return from_env(os.environ)


def production() -> Settings:
    """Read the settings of a production process. Raises :class:`CommandError` naming all that is missing or weak."""
    settings = environment()
    if problems := missing_for_production(settings):
        raise CommandError("cannot start:\n  " + "\n  ".join(problems))
    return settings


def count(text: str) -> int:
    """Read how many of something there are, at least one."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a count; give a whole number from 1")
    return int(text)


def parallel(text: str) -> int:
    """Read how many requests may be in flight."""
    if not text.isdecimal() or not 1 <= int(text) <= MAX_PARALLEL:
        raise argparse.ArgumentTypeError(f"{text!r} is out of range; give a number from 1 to {MAX_PARALLEL}")
    return int(text)


def port(text: str) -> int:
    """Read a port."""
    if not text.isdecimal() or not 1 <= int(text) <= 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; give a number from 1 to 65535")
    return int(text)


def database_url(settings: Settings) -> str:
    """Return the database to use. Raises :class:`CommandError` if none is set."""
    if settings.database_url is None:
        raise CommandError("MONITOR_DATABASE_URL is not set; it needs the URL of PostgreSQL.")
    return settings.database_url


def session_url(settings: Settings) -> str:
    """Return the database for a command that ends: past a pooler. Raises :class:`CommandError` if none is set."""
    return settings.db.direct_url or database_url(settings)


def session_setting(settings: Settings) -> str:
    """Return the name of the setting that :func:`session_url` reads."""
    return "MONITOR_DB__DIRECT_URL" if settings.db.direct_url else "MONITOR_DATABASE_URL"


def local_jwt_key(keys: LocalKeys) -> JwtKey:
    return JwtKey(keys.token.kid, "HS256", keys.token.key)


def local_secret_key(keys: LocalKeys) -> SecretKey:
    return SecretKey(keys.secrets.kid, keys.secrets.key)


def read_local_keys(data_dir: Path) -> LocalKeys:
    """Read the keys of a ``monitor up``. Raises :class:`CommandError` if there are none."""
    try:
        return load_keys(data_dir)
    except FileNotFoundError:
        raise CommandError(f"{data_dir} holds no keys; run `monitor up --data-dir {data_dir}` first.") from None
    except PermissionError:
        raise CommandError(
            f"the keys in {data_dir} belong to another user; run this as the user of `monitor up`."
        ) from None


def database_file(data_dir: Path) -> Path:
    """Return the file with the database of a running ``monitor up``; only its user can open that database."""
    return data_dir / "database-url"


def local_database_url(data_dir: Path) -> str:
    """Return the database of the ``monitor up`` on *data_dir*. Raises :class:`CommandError` if there is none."""
    try:
        return database_file(data_dir).read_text()
    except OSError:
        raise CommandError(f"there is no running `monitor up` on {data_dir}.") from None


def seconds(text: str) -> float:
    """Read a duration: 90s, 15m, 1h or 30d."""
    match = _DURATION.fullmatch(text)
    if match is None or float(match[1]) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration; write 90s, 15m, 1h or 30d")
    return float(match[1]) * _UNIT_S[match[2]]
