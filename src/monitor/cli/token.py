"""``monitor token``."""

from __future__ import annotations

import argparse
import json
import sys
import time
from base64 import urlsafe_b64decode
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from monitor.adapters.clock import SystemClock
from monitor.auth.keys import Key, KeyRing
from monitor.auth.tokens import Principal, TokenVerifier, is_name, issue
from monitor.bootstrap.token_keys import jwt_keys, token_policy
from monitor.cli.common import (
    CommandError,
    local_database_url,
    read_local_keys,
    session_url,
)
from monitor.domain.vocab import Role
from monitor.settings.schema import Settings


class _Named(msgspec.Struct):
    jti: str


def run(args: argparse.Namespace, settings: Settings) -> int:
    if args.revoke is not None:
        dsn = session_url(settings) if args.data_dir is None else local_database_url(args.data_dir)
        jti = jti_of(args.revoke)
        from monitor.cli.token_records import revoke  # noqa: PLC0415 - brings the database's libraries

        revoke(dsn, jti, token_policy(settings))
        print(json.dumps({"revoked": jti}) if args.json else f"revoked {jti}; refused everywhere within 5 s")
        return 0
    if args.role is None or args.subject is None:
        raise CommandError("give --role and --subject.")
    try:
        token, issued = make(signing_keys(settings, args.data_dir), settings, args.role, args.subject, args.ttl)
    except ValueError as error:
        raise CommandError(str(error)) from None
    try:
        _record(settings, args.data_dir, issued)
    except CommandError as error:
        # The holder of the key can sign without this command, so a refusal would protect nothing.
        print(f"monitor token: the audit log does not show this token: {error}", file=sys.stderr)
    print(json.dumps(_described(token, issued)) if args.json else token)
    return 0


def _described(token: str, issued: Principal) -> dict[str, Any]:
    expires_at = datetime.fromtimestamp(issued.expires_at, UTC).isoformat().replace("+00:00", "Z")
    return {
        "token": token,
        "jti": issued.jti,
        "subject": issued.subject,
        "role": issued.role,
        "expires_at": expires_at,
    }


def make(keys: list[Key], settings: Settings, role: str, subject: str, ttl_s: float) -> tuple[str, Principal]:
    """Return a signed token and its claims. Raises ``ValueError`` if the keys or the request are not acceptable."""
    ring, policy, now = KeyRing(keys), token_policy(settings), time.time()
    jti = SystemClock().new_id().hex
    token = issue(ring, policy, subject=subject, role=Role(role), ttl_s=ttl_s, now=now, jti=jti)
    return token, TokenVerifier(ring, policy, is_revoked=lambda _: False).verify(token, now)


def _record(settings: Settings, data_dir: Path | None, issued: Principal) -> None:
    """Write the audit row of a new token. Raises :class:`CommandError` if there is no database, or no answer of it."""
    dsn = session_url(settings) if data_dir is None else local_database_url(data_dir)
    from monitor.cli.token_records import record_issue  # noqa: PLC0415 - brings the database's libraries

    record_issue(dsn, issued, token_policy(settings))


def signing_keys(settings: Settings, data_dir: Path | None) -> list[Key]:
    """Return the keys to sign with. Raises :class:`CommandError` if there are none."""
    if data_dir is not None:
        local = read_local_keys(data_dir).token
        return [Key(local.kid, "HS256", local.key)]
    try:
        keys = jwt_keys(settings)
    except ValueError as error:
        raise CommandError(str(error)) from None
    if not keys and settings.jwt.jwks_url is not None:
        raise CommandError(
            "the keys of MONITOR_JWT__JWKS_URL verify tokens and cannot sign them; get the token from the identity"
            " provider, or set MONITOR_JWT__KEYS as well."
        )
    if not keys:
        raise CommandError("no signing key; give --data-dir or set MONITOR_JWT__KEYS.")
    return keys


def jti_of(text: str) -> str:
    """
    Return the ``jti`` to revoke, for *text* that is one or a token, with its signature or without.

    Raises:
        CommandError: it looks like a token and cannot be read, or no token can have such a ``jti``.
    """
    jti = text.strip().removeprefix("Bearer ")
    # A token begins with an encoded brace and quote.
    if jti.startswith("eyJ") and "." in jti:
        payload = jti.split(".")[1]
        try:
            jti = msgspec.json.decode(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)), type=_Named).jti
        except ValueError:
            raise CommandError("this token cannot be read; give the whole token or its `jti`.") from None
    if not is_name(jti):
        raise CommandError("this is neither a `jti` nor a token.")
    return jti
