"""The server that a command calls, and the token it calls it with."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from pathlib import Path

from monitor.cli.api_client import ApiClient
from monitor.cli.common import DEFAULT_URL, CommandError
from monitor.domain.vocab import Role
from monitor.settings.schema import Settings

MAX_TOKEN_BYTES = 8192
LOCAL_TTL_S = 3600.0


def connect(args: argparse.Namespace, settings: Settings, role: Role) -> ApiClient:
    """Return a client of the server that *args* name. Raises :class:`CommandError`."""
    return ApiClient(server_url(args), find_token(args, settings, role), notice=_say)


def server_url(args: argparse.Namespace) -> str:
    """Return --url, or MONITOR_URL, or the address of a `monitor up`."""
    return str(args.url or os.environ.get("MONITOR_URL") or DEFAULT_URL)


def find_token(args: argparse.Namespace, settings: Settings, role: Role) -> str:
    """
    Return the token of --token-file, of MONITOR_TOKEN, or a new one for *role* with the keys in --data-dir.

    Raises:
        CommandError: there is none, or it cannot be read.
    """
    if args.token_file is not None:
        return _read(args.token_file)
    if args.data_dir is not None:
        from monitor.cli.token import make, signing_keys  # noqa: PLC0415 - brings cryptography

        return make(signing_keys(settings, args.data_dir), settings, role, getpass.getuser(), LOCAL_TTL_S)[0]
    if token := os.environ.get("MONITOR_TOKEN", "").strip():
        return token
    raise CommandError(
        "no token; set MONITOR_TOKEN, or give --token-file FILE, or the --data-dir of a `monitor up` on this machine."
    )


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            token = file.read(MAX_TOKEN_BYTES + 1).decode("ascii").strip()
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}; give a file with a token.") from None
    except UnicodeDecodeError:
        token = ""
    if not token or len(token) > MAX_TOKEN_BYTES or len(token.split()) > 1:
        raise CommandError(f"{path} holds no token; write what `monitor token` prints into it.")
    return token


def _say(text: str) -> None:
    print(text, file=sys.stderr)
