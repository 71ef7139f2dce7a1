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
        ValueError: the file cannot be read, or one of its keys is weak.
    """
    keys = settings.jwt.keys
    if settings.jwt.keys_file is not None:
        keys = _keys_of(Path(settings.jwt.keys_file))
        if problems := weak_keys("MONITOR_JWT__KEYS_FILE", keys):
            raise ValueError(" ".join(problems))
    return [Key(key.kid, key.alg, key.key) for key in keys]


def _keys_of(file: Path) -> tuple[JwtKey, ...]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=tuple[JwtKey, ...])
    except OSError as error:
        problem = f"{error.strerror}; correct the path, or let this user read the file"
    except msgspec.ValidationError:
        # Its own words may repeat a key.
        problem = "not a list of keys, each with kid, alg and key"
    except msgspec.DecodeError:
        problem = "not a JSON list"
    raise ValueError(f"MONITOR_JWT__KEYS_FILE: {file}: {problem}.")
