"""Settings from the environment: the only reader of ``MONITOR_`` names."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from monitor.settings.document import PREFIX, DocumentedSetting, describe
from monitor.settings.schema import JwtKey, SecretKey, Settings, Smtp, decode_base64url

IGNORED_PREFIX = "MONITOR_TEST_"
CLIENT_NAMES = frozenset({"MONITOR_URL", "MONITOR_TOKEN"})
"""What the commands that call a server read themselves; no settings of one."""

_ORIGIN = re.compile(r"https?://([\w.-]+|\[[0-9a-f:]+\])(:\d{1,5})?", re.IGNORECASE)
_PUBLIC_URL = re.compile(r"https?://([\w.-]+|\[[0-9a-f:]+\])(:\d{1,5})?(/[A-Za-z0-9._~-]+)*/?", re.IGNORECASE)
_HOST = re.compile(r"\*|(\*\.)?[\w.-]+|\[[0-9a-f:.]+\]", re.IGNORECASE)
_JWKS_URL = re.compile(
    r"(https://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])|http://(localhost|127\.0\.0\.1|\[::1\]))(:\d{1,5})?(/[!-~]*)?"
)
_MAIL_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
_MAIL_FROM = re.compile(
    r"(?P<name>[^\x00-\x1f\x7f<>@\",;:\\()\[\]]{0,200}<)?[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9][A-Za-z0-9.-]*"
    r"[A-Za-z0-9](?(name)>)"
)

POSTGRESQL = ("postgresql", "postgres", "postgresql+asyncpg")
MIN_SECRET_BYTES = 32

LEAST_EVENTS_D = 4
"""Days of the standard schedule of retries with its jitter, rounded up: an event must outlive its deliveries."""

EXAMPLE_KEYS = frozenset(
    {
        b"a-string-secret-at-least-256-bits-long",
        b"a-valid-string-secret-that-is-at-least-512-bits-long-which-is-very-long",
        bytes(range(32)),
    }
)
"""Public example keys: of jwt.io, and the bytes 0 to 31."""


_REDIS_FORMS = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")
_TYPE_WORDS = {
    "int": "an integer", "float": "a number", "bool": "true or false", "str": "text", "array": "a list",
    "object": "an object",
}  # fmt: skip


class SettingsError(Exception):
    """One line with the name of the variable and the expected value; never the value of a secret."""


def from_env(environ: Mapping[str, str]) -> Settings:
    """
    Build the settings.

    Raises:
        SettingsError: a ``MONITOR_`` name is unknown or a value is invalid.
    """
    known = {setting.name: setting for setting in describe()}
    tree: dict[str, Any] = {}
    for name, text in sorted(environ.items()):
        if not name.startswith(PREFIX) or name.startswith(IGNORED_PREFIX) or name in CLIENT_NAMES:
            continue
        setting = known.get(name)
        if setting is None:
            raise SettingsError(f"{name} is not a setting of Monitor.{_suggestion(name, known)}")
        node = tree
        for part in setting.path[:-1]:
            node = node.setdefault(part, {})
        node[setting.path[-1]] = _value(setting, text)
    try:
        settings = msgspec.convert(tree, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(_explain(str(error), known)) from None
    _check(settings)
    return settings


def _check(settings: Settings) -> None:
    """Check the rules that the types do not express. Raises ``SettingsError``."""
    if settings.jwt.keys and settings.jwt.keys_file:
        raise SettingsError("Set MONITOR_JWT__KEYS or MONITOR_JWT__KEYS_FILE, not both.")
    if settings.worker.renew_s >= settings.worker.lease_s:
        raise SettingsError("MONITOR_WORKER__RENEW_S must be less than MONITOR_WORKER__LEASE_S.")
    _check_url("MONITOR_DATABASE_URL", settings.database_url, POSTGRESQL)
    _check_url("MONITOR_DB__DIRECT_URL", settings.db.direct_url, POSTGRESQL)
    _check_url("MONITOR_DB__READ_URL", settings.db.read_url, POSTGRESQL)
    _check_url("MONITOR_REDIS_URL", settings.redis_url, _REDIS_FORMS)
    if settings.public_url is not None and not _PUBLIC_URL.fullmatch(settings.public_url):
        raise SettingsError(
            "MONITOR_PUBLIC_URL: expected the URL of the page, like https://monitor.example.com/ or"
            " https://example.com/monitor, without a user, query or fragment."
        )
    _check_hosts(settings)
    for name, networks in (
        ("MONITOR_EGRESS__ALLOW_CIDRS", settings.egress.allow_cidrs),
        ("MONITOR_HTTP__TRUSTED_PROXIES", settings.http.trusted_proxies),
    ):
        if not all(map(_is_network, networks)):
            raise SettingsError(f"{name}: expected networks like 10.1.0.0/16.")
    if settings.retention.events_d < LEAST_EVENTS_D:
        raise SettingsError(
            f"MONITOR_RETENTION__EVENTS_D: at least {LEAST_EVENTS_D} days, since the standard schedule of retries takes"
            " more than three."
        )
    if settings.egress.client_key_file and not settings.egress.client_cert_file:
        raise SettingsError("MONITOR_EGRESS__CLIENT_KEY_FILE needs MONITOR_EGRESS__CLIENT_CERT_FILE.")
    if settings.jwt.jwks_url is not None and not _JWKS_URL.fullmatch(settings.jwt.jwks_url):
        raise SettingsError("MONITOR_JWT__JWKS_URL: expected https://host/path without a user, or http:// on loopback.")
    _check_smtp(settings.smtp)
    _check_kids("MONITOR_JWT__KEYS", settings.jwt.keys)
    _check_kids("MONITOR_SECRETS__KEYS", settings.secrets.keys)


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def _check_hosts(settings: Settings) -> None:
    for name, origins in (
        ("MONITOR_WS__ALLOWED_ORIGINS", settings.ws.allowed_origins),
        ("MONITOR_HTTP__CORS_ORIGINS", settings.http.cors_origins),
    ):
        if not all(_ORIGIN.fullmatch(origin) for origin in origins):
            raise SettingsError(f"{name}: expected origins like https://example.com, without a path or `*`.")
    if not all(_HOST.fullmatch(host) for host in settings.http.allowed_hosts):
        raise SettingsError(
            "MONITOR_HTTP__ALLOWED_HOSTS: expected hosts like monitor.example.com, *.example.com or [::1], without"
            " scheme, port or path, or `*`."
        )


def _check_smtp(smtp: Smtp) -> None:
    if smtp.host is None:
        if smtp.from_ or smtp.username or smtp.password:
            raise SettingsError("MONITOR_SMTP__HOST is not set; the other settings of MONITOR_SMTP need it.")
        return
    if not _MAIL_HOST.fullmatch(smtp.host):
        raise SettingsError("MONITOR_SMTP__HOST: expected a host name or an address, without port.")
    if smtp.from_ is None or not _MAIL_FROM.fullmatch(smtp.from_):
        raise SettingsError("MONITOR_SMTP__FROM: expected monitor@example.org or Monitor <monitor@example.org>.")
    if (smtp.username is None) != (smtp.password is None):
        raise SettingsError("Set MONITOR_SMTP__USERNAME and MONITOR_SMTP__PASSWORD, or neither.")
    if smtp.tls == "none" and not _is_loopback(smtp.host):
        raise SettingsError("MONITOR_SMTP__TLS: none is for a mail server on loopback; use starttls or tls.")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_url(name: str, url: str | None, schemes: tuple[str, ...]) -> None:
    if url is not None and url.partition("://")[0] not in schemes:
        raise SettingsError(f"{name}: expected a URL that starts with {schemes[0]}://.")
    if url is not None and not _is_readable(url):
        raise SettingsError(
            f"{name}: cannot be read as {schemes[0]}://user:password@host:port/name; write special characters of the"
            " password as in %40 for @."
        )


def _is_readable(url: str) -> bool:
    """Whether *url* falls into parts, none of which holds what seems to be the rest of a password."""
    try:
        authority = re.split("[/?#]", url.partition("://")[2], maxsplit=1)[0]
        user, at, hosts = authority.rpartition("@")
        for host in hosts.split(","):
            parts = urlsplit(url.replace(authority, f"{user}{at}{host}", 1))
            if parts.port == 0 or "@" in parts.path + parts.fragment:
                return False
        return True
    except ValueError:
        return False


def _check_kids(name: str, keys: tuple[JwtKey, ...] | tuple[SecretKey, ...]) -> None:
    kids = [key.kid for key in keys]
    if "" in kids or len(set(kids)) < len(kids):
        raise SettingsError(f"{name}: every key needs a different kid.")


def missing_for_production(settings: Settings) -> list[str]:
    """Return the missing settings without which ``serve`` and ``work`` do not start, one line each."""
    problems = []
    if not settings.database_url:
        problems.append("MONITOR_DATABASE_URL is not set; it needs the URL of PostgreSQL.")
    if not settings.jwt.keys and not settings.jwt.keys_file and not settings.jwt.jwks_url:
        problems.append(
            "MONITOR_JWT__KEYS is not set; it needs at least one key, for HS256 of 32 random bytes or more, or"
            " set MONITOR_JWT__JWKS_URL."
        )
    if not settings.secrets.keys:
        problems.append("MONITOR_SECRETS__KEYS is not set; it needs at least one key of 32 random bytes.")
    problems += weak_keys("MONITOR_JWT__KEYS", settings.jwt.keys)
    for i, secret in enumerate(settings.secrets.keys):
        if _is_weak(secret.key) or len(secret.decoded()) != MIN_SECRET_BYTES:
            problems.append(f"MONITOR_SECRETS__KEYS[{i}] is weak; use 32 random bytes in base64url.")
    return problems


def weak_keys(name: str, keys: Sequence[JwtKey]) -> list[str]:
    """Return one line for each guessable key of *keys*, the value of setting *name*."""
    return [
        f"{name}[{i}] is weak; use 32 random bytes or more in base64url."
        for i, key in enumerate(keys)
        if key.alg == "HS256" and _is_weak(key.key)
    ]


def _value(setting: DocumentedSetting, text: str) -> Any:
    if not setting.list_:
        # Compose files and CI pass an empty text for an unset variable.
        return None if setting.optional and not text else text
    if not text:
        return []
    if setting.json or text.lstrip().startswith("["):
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            raise SettingsError(f"{setting.name} is not a JSON list.") from None
    return [part.strip() for part in text.split(",") if part.strip()]


def _explain(error: str, known: Mapping[str, DocumentedSetting]) -> str:
    message, _, pointer = error.rpartition(" - at `$.")
    path = pointer.rstrip("`")
    head = path.partition("[")[0]
    name = f"{PREFIX}{head.replace('.', '__').upper()}"
    # For an enum msgspec includes the invalid value, which may be a secret set in the wrong place.
    text = _allowed(known.get(name)) if message.startswith("Invalid enum") else message
    text = re.sub(r"`(\w+)`", lambda type_: _TYPE_WORDS.get(type_[1], type_[0]), text)
    return f"{name}{path[len(head) :]}: {text[0].lower()}{text[1:]}."


def _allowed(setting: DocumentedSetting | None) -> str:
    if setting is None or setting.json:
        return "not one of the values that docs/CONFIGURATION.md lists"
    return f"expected {setting.type_text.replace('`', '')}"


def _suggestion(name: str, known: Mapping[str, DocumentedSetting]) -> str:
    # Without the common prefix, which would make all names similar.
    bare = {other.removeprefix(PREFIX): other for other in known}
    close = [bare[found] for found in difflib.get_close_matches(name.removeprefix(PREFIX), bare, n=1)]
    return f" Did you mean {close[0]}?" if close else " See docs/CONFIGURATION.md."


def _is_weak(key: str) -> bool:
    try:
        raw = decode_base64url(key)
    except ValueError:
        return True
    return len(raw) < MIN_SECRET_BYTES or len(set(raw)) < 8 or raw in EXAMPLE_KEYS
