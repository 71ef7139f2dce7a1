"""The keys that ``monitor up`` keeps in its data directory."""

from __future__ import annotations

import base64
import os
import secrets
import tempfile
from pathlib import Path

import msgspec

FILE = "keys.json"


class LocalKey(msgspec.Struct, frozen=True):
    """32 random bytes as base64url text without padding, and their key id."""

    kid: str
    key: str

    def __repr__(self) -> str:
        return f"LocalKey({self.kid!r}, …)"


class LocalKeys(msgspec.Struct, frozen=True):
    """One key signs tokens (HS256), the other encrypts secrets (AES-256-GCM)."""

    token: LocalKey
    secrets: LocalKey


def load_keys(data_dir: Path) -> LocalKeys:
    """Read the keys. Raises ``FileNotFoundError`` if there are none yet, ``msgspec.DecodeError`` if damaged."""
    return msgspec.json.decode((data_dir / FILE).read_bytes(), type=LocalKeys)


def load_or_create_keys(data_dir: Path) -> LocalKeys:
    """Read the keys, making them the first time. The file is readable by its owner only and is never half-written."""
    try:
        return load_keys(data_dir)
    except FileNotFoundError:
        keys = LocalKeys(token=_new("local-token"), secrets=_new("local-secrets"))
    write_private(data_dir / FILE, msgspec.json.format(msgspec.json.encode(keys)))
    return keys


def write_private(path: Path, content: bytes) -> None:
    """Write *content* to a file that only its owner can read, and that is never half-written."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    Path(name).replace(path)


def _new(kid: str) -> LocalKey:
    return LocalKey(kid, base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode())
