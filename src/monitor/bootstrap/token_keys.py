"""Keys and policy of tokens from the settings. Light to import, since `monitor token` needs nothing else."""

from __future__ import annotations

from pathlib import Path

import msgspec

from monitor.auth.keys import Key
from monitor.auth.tokens import TokenPolicy
from monitor.settings.environment import weak_keys
from monitor.settings.schema import JwtKey, Settings


def token_policy(settings: Settings) -> TokenPolicy:
    jwt = settings.jwt
    return TokenPolicy(jwt.issuer, jwt.audience, float(jwt.leeway_s), float(jwt.max_lifetime_s))


def jwt_keys(settings: Settings) -> list[Key]:
    """
    Return the token keys from the settings or from their file.

    Raises:
        OSError, msgspec.DecodeError: the file cannot be read.
        ValueError: one of its keys is weak.
    """
    keys = settings.jwt.keys
    if settings.jwt.keys_file is not None:
        keys = msgspec.json.decode(Path(settings.jwt.keys_file).read_bytes(), type=tuple[JwtKey, ...])
        if problems := weak_keys("MONITOR_JWT__KEYS_FILE", keys):
            raise ValueError(" ".join(problems))
    return [Key(key.kid, key.alg, key.key) for key in keys]
