"""
Settings, from the environment only: ``MONITOR_DB__READ_POOL`` becomes ``Settings.db.read_pool``.

:func:`from_env` is the only reader of the environment. ``python -m monitor.settings`` prints docs/CONFIGURATION.md.
"""

from __future__ import annotations

import base64
import difflib
import ipaddress
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

PREFIX = "MONITOR_"
IGNORED_PREFIX = "MONITOR_TEST_"
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d{1,5})?|https?://\[[0-9a-f:]+\](:\d{1,5})?")
_JWKS_URL = re.compile(
    r"(https://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])|http://(localhost|127\.0\.0\.1|\[::1\]))(:\d{1,5})?(/[!-~]*)?"
)
MIN_SECRET_BYTES = 32

Positive = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0, le=1e9)]

KNOWN_KEYS = frozenset(
    {
        b"a-string-secret-at-least-256-bits-long",
        b"a-valid-string-secret-that-is-at-least-512-bits-long-which-is-very-long",
        bytes(range(32)),
    }
)
"""Example keys of jwt.io, and counting: long enough, known to everyone."""


class SettingsError(Exception):
    """One line that names the variable and says what it should hold; never the value of a secret."""


class _Private(msgspec.Struct, frozen=True):
    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class JwtKey(_Private, frozen=True, forbid_unknown_fields=True):
    kid: str
    alg: Literal["HS256", "RS256", "EdDSA"]
    key: str


class SecretKey(_Private, frozen=True, forbid_unknown_fields=True):
    kid: str
    key: str

    def decoded(self) -> bytes:
        """Return the key's bytes. Raises ``ValueError``."""
        return _unbase64(self.key)


def doc(text: str, unit: str = "") -> Meta:
    return Meta(description=text, extra={"unit": unit})


class Jwt(msgspec.Struct, frozen=True):
    keys: Annotated[
        tuple[JwtKey, ...],
        doc('JSON list of {"kid", "alg", "key"}: PEM for RS256 and EdDSA, base64url for HS256. The first signs.'),
    ] = ()
    keys_file: Annotated[str | None, doc("File with the same list instead, read again when it changes.")] = None
    jwks_url: Annotated[
        str | None,
        doc(
            "Where an identity provider publishes further keys (JWKS), RS256 and EdDSA, which only verify. HTTPS, or"
            " loopback. Fetched at start, every 10 minutes, and for an unknown `kid`, which may take 30 s."
        ),
    ] = None
    issuer: Annotated[str, doc("Expected and issued `iss`.")] = "monitor"
    audience: Annotated[str, doc("Expected and issued `aud`.")] = "monitor"
    max_lifetime_s: Annotated[Positive, doc("Longest life of a token.", "s")] = 30 * 86_400
    leeway_s: Annotated[int, Meta(ge=0, le=300), doc("Clock difference that is forgiven.", "s")] = 10


class Secrets(msgspec.Struct, frozen=True):
    keys: Annotated[
        tuple[SecretKey, ...],
        doc('JSON list of {"kid", "key"}, 32 bytes in base64url. The first encrypts, all decrypt.'),
    ] = ()


class Egress(msgspec.Struct, frozen=True):
    profile: Annotated[
        Literal["public", "local"], doc("`public`: HTTPS to public addresses; `local`: also loopback and plain HTTP.")
    ] = "public"
    allow_cidrs: Annotated[tuple[str, ...], doc("Networks that may be delivered to although they are not public.")] = ()
    self_hosts: Annotated[tuple[str, ...], doc("Our own host names and addresses, which no webhook may reach.")] = ()


class Db(msgspec.Struct, frozen=True):
    read_pool: Annotated[Positive, doc("Connections for reads, per process.", "connections")] = 8
    write_pool: Annotated[Positive, doc("Connections for writes, per process.", "connections")] = 8
    statement_timeout_ms: Annotated[Positive, doc("Longest single statement.", "ms")] = 5_000
    acquire_timeout_s: Annotated[Seconds, doc("Longest wait for a connection before answering 503.", "s")] = 2.0


class Http(msgspec.Struct, frozen=True):
    cors_origins: Annotated[tuple[str, ...], doc("Origins that browsers may call from; none switches CORS off.")] = ()
    rate_limit_per_s: Annotated[
        Seconds, doc("Requests a second of one subject on average, at all processes on one Redis together.", "1/s")
    ] = 200.0
    rate_burst: Annotated[Positive, doc("Requests of one subject at once, counted likewise.", "requests")] = 1000
    metrics_open: Annotated[bool, doc("Answer /metrics without a token.")] = False
    hsts: Annotated[bool, doc("Send Strict-Transport-Security; set it where TLS ends in front of Monitor.")] = False


class Ws(msgspec.Struct, frozen=True):
    allowed_origins: Annotated[tuple[str, ...], doc("Origins that may open the live feed besides our own.")] = ()
    max_per_user: Annotated[Positive, doc("Live feeds one subject may hold in each process.", "sockets")] = 5


class Worker(msgspec.Struct, frozen=True):
    concurrency: Annotated[Positive, doc("Attempts that run at once in one worker.", "attempts")] = 100
    lease_s: Annotated[Seconds, doc("How long a claimed delivery stays with its worker.", "s")] = 30.0
    renew_s: Annotated[Seconds, doc("How often leases are renewed.", "s")] = 10.0
    poll_s: Annotated[Seconds, doc("How often the queue is looked at without a wake-up.", "s")] = 1.0
    drain_s: Annotated[Seconds, doc("How long SIGTERM waits for attempts in flight.", "s")] = 25.0


class RetentionDays(msgspec.Struct, frozen=True):
    events_d: Annotated[Positive, doc("Events with their payloads.", "days")] = 30
    deliveries_d: Annotated[Positive, doc("Finished deliveries.", "days")] = 30
    attempts_d: Annotated[Positive, doc("Attempts.", "days")] = 14
    minutes_d: Annotated[Positive, doc("Per-minute rollups.", "days")] = 14
    hours_d: Annotated[Positive, doc("Per-hour rollups, dropped by calendar month.", "days")] = 90
    days_d: Annotated[Positive, doc("Per-day rollups, dropped by calendar month.", "days")] = 730
    audit_d: Annotated[Positive, doc("Audit rows.", "days")] = 365
    alerts_d: Annotated[
        Positive, doc("Resolved alerts with their history, closed anomalies, ended silences, replays.", "days")
    ] = 365


class Log(msgspec.Struct, frozen=True):
    level: Annotated[Literal["debug", "info", "warning", "error"], doc("Least severity that is written.")] = "info"
    format: Annotated[Literal["json", "console", "auto"], doc("`auto`: console on a terminal, else JSON.")] = "auto"


class Settings(msgspec.Struct, frozen=True):
    """All settings of one process."""

    def __repr__(self) -> str:
        # The addresses of PostgreSQL and Redis carry passwords.
        return "Settings(…)"

    database_url: Annotated[str | None, doc("PostgreSQL, as postgresql://user:password@host:port/database.")] = None
    redis_url: Annotated[str | None, doc("Redis, as redis://host:port/0. Needed when more than one process runs.")] = (
        None
    )
    jwt: Jwt = Jwt()
    secrets: Secrets = Secrets()
    egress: Egress = Egress()
    db: Db = Db()
    http: Http = Http()
    ws: Ws = Ws()
    worker: Worker = Worker()
    retention: RetentionDays = RetentionDays()
    log: Log = Log()


class Known(msgspec.Struct, frozen=True):
    """One setting as people see it."""

    name: str
    type_text: str
    unit: str
    default: str
    description: str
    path: tuple[str, ...]
    json: bool
    list_: bool
    optional: bool


def from_env(environ: Mapping[str, str]) -> Settings:
    """
    Build the settings.

    Raises:
        SettingsError: a ``MONITOR_`` name is unknown or a value does not fit.
    """
    known = {setting.name: setting for setting in describe()}
    tree: dict[str, Any] = {}
    for name, text in sorted(environ.items()):
        if not name.startswith(PREFIX) or name.startswith(IGNORED_PREFIX):
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
    """Refuse what fits its type and still cannot work. Raises ``SettingsError``."""
    if settings.jwt.keys and settings.jwt.keys_file:
        raise SettingsError("Set MONITOR_JWT__KEYS or MONITOR_JWT__KEYS_FILE, not both.")
    if settings.worker.renew_s >= settings.worker.lease_s:
        raise SettingsError("MONITOR_WORKER__RENEW_S must be less than MONITOR_WORKER__LEASE_S.")
    _check_url("MONITOR_DATABASE_URL", settings.database_url, ("postgresql", "postgres", "postgresql+asyncpg"))
    _check_url("MONITOR_REDIS_URL", settings.redis_url, ("redis", "rediss", "unix"))
    for name, origins in (
        ("MONITOR_WS__ALLOWED_ORIGINS", settings.ws.allowed_origins),
        ("MONITOR_HTTP__CORS_ORIGINS", settings.http.cors_origins),
    ):
        if not all(_ORIGIN.fullmatch(origin) for origin in origins):
            raise SettingsError(f"{name}: expected origins like https://example.com, without a path or `*`.")
    for cidr in settings.egress.allow_cidrs:
        try:
            ipaddress.ip_network(cidr)
        except ValueError:
            raise SettingsError("MONITOR_EGRESS__ALLOW_CIDRS: expected networks like 10.1.0.0/16.") from None
    if settings.jwt.jwks_url is not None and not _JWKS_URL.fullmatch(settings.jwt.jwks_url):
        raise SettingsError("MONITOR_JWT__JWKS_URL: expected https://host/path without a user, or http:// on loopback.")
    _check_kids("MONITOR_JWT__KEYS", settings.jwt.keys)
    _check_kids("MONITOR_SECRETS__KEYS", settings.secrets.keys)


def _check_url(name: str, url: str | None, schemes: tuple[str, ...]) -> None:
    if url is not None and url.partition("://")[0] not in schemes:
        raise SettingsError(f"{name}: expected a URL that starts with {schemes[0]}://.")


def _check_kids(name: str, keys: tuple[JwtKey, ...] | tuple[SecretKey, ...]) -> None:
    kids = [key.kid for key in keys]
    if "" in kids or len(set(kids)) < len(kids):
        raise SettingsError(f"{name}: every key needs a kid of its own.")


def missing_for_production(settings: Settings) -> list[str]:
    """Return what ``serve`` and ``work`` refuse to start without, one line each."""
    problems = []
    if not settings.database_url:
        problems.append("MONITOR_DATABASE_URL is not set; give the PostgreSQL to use.")
    if not settings.jwt.keys and not settings.jwt.keys_file and not settings.jwt.jwks_url:
        problems.append(
            "MONITOR_JWT__KEYS is not set; give at least one key, for HS256 32 random bytes or more, or"
            " MONITOR_JWT__JWKS_URL."
        )
    if not settings.secrets.keys:
        problems.append("MONITOR_SECRETS__KEYS is not set; give at least one key of 32 random bytes.")
    problems += weak_keys("MONITOR_JWT__KEYS", settings.jwt.keys)
    for i, secret in enumerate(settings.secrets.keys):
        if _is_weak(secret.key) or len(secret.decoded()) != MIN_SECRET_BYTES:
            problems.append(f"MONITOR_SECRETS__KEYS[{i}] is weak; use 32 random bytes in base64url.")
    return problems


def weak_keys(name: str, keys: Sequence[JwtKey]) -> list[str]:
    """Return one line for each of *keys*, which *name* gave, that can be guessed."""
    return [
        f"{name}[{i}] is weak; use 32 random bytes or more in base64url."
        for i, key in enumerate(keys)
        if key.alg == "HS256" and _is_weak(key.key)
    ]


def describe(struct: type = Settings, path: tuple[str, ...] = ()) -> Iterator[Known]:
    """Yield every setting with its type, unit and default, in the order of the code."""
    hints = typing.get_type_hints(struct, include_extras=True)
    for field in msgspec.structs.fields(struct):
        hint = hints[field.name]
        here = (*path, field.name)
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            yield from describe(hint, here)
            continue
        base, metas = _strip(hint)
        texts = [meta for meta in metas if meta.description]
        origin = typing.get_origin(base)
        yield Known(
            name=PREFIX + "__".join(here).upper(),
            type_text=_type_text(base),
            unit=(texts[0].extra or {}).get("unit", "") if texts else "",
            default=_default_text(field.default),
            description=texts[0].description or "" if texts else "",
            path=here,
            json=origin is tuple and typing.get_args(base)[0] is not str,
            list_=origin is tuple,
            optional=isinstance(base, types.UnionType),
        )


def document() -> str:
    """Return docs/CONFIGURATION.md."""
    lines = [
        "# Configuration",
        "",
        "Generated by `python -m monitor.settings`; do not edit. Settings come from the environment and flags only.",
        "An unknown `MONITOR_` name or a bad value stops the start with one line. Lists are JSON or comma-separated.",
        "",
        "| name | type | unit | default | what it does |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| `{s.name}` | {s.type_text} | {s.unit or '–'} | {s.default} | {s.description} |".replace("\n", " ")
        for s in describe()
    ]
    return "\n".join(lines) + "\n"


def _value(setting: Known, text: str) -> Any:
    if not setting.list_:
        # Compose files and CI write an empty text for "not set".
        return None if setting.optional and not text else text
    if not text:
        return []
    if setting.json or text.lstrip().startswith("["):
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            raise SettingsError(f"{setting.name} is not a JSON list.") from None
    return [part.strip() for part in text.split(",") if part.strip()]


def _explain(error: str, known: Mapping[str, Known]) -> str:
    message, _, pointer = error.rpartition(" - at `$.")
    path = pointer.rstrip("`")
    head = path.partition("[")[0]
    name = f"{PREFIX}{head.replace('.', '__').upper()}"
    # msgspec repeats a value that is none of the allowed ones; it may be a secret in the wrong place.
    told = _allowed(known.get(name)) if message.startswith("Invalid enum") else message
    return f"{name}{path[len(head) :]}: {told[0].lower()}{told[1:]}."


def _allowed(setting: Known | None) -> str:
    if setting is None or setting.json:
        return "not one of the values that docs/CONFIGURATION.md lists"
    return f"expected {setting.type_text.replace('`', '')}"


def _suggestion(name: str, known: Mapping[str, Known]) -> str:
    # What all names begin with says nothing about which one was meant.
    bare = {other.removeprefix(PREFIX): other for other in known}
    close = [bare[found] for found in difflib.get_close_matches(name.removeprefix(PREFIX), bare, n=1)]
    return f" Did you mean {close[0]}?" if close else " See docs/CONFIGURATION.md."


def _is_weak(key: str) -> bool:
    try:
        raw = _unbase64(key)
    except ValueError:
        return True
    return len(raw) < MIN_SECRET_BYTES or len(set(raw)) < 8 or raw in KNOWN_KEYS


def _unbase64(text: str) -> bytes:
    text = text.strip().rstrip("=")
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _strip(hint: Any) -> tuple[Any, list[Meta]]:
    metas: list[Meta] = []
    while typing.get_origin(hint) is Annotated:
        hint, *more = typing.get_args(hint)
        metas += [meta for meta in more if isinstance(meta, Meta)]
    return hint, metas


def _type_text(hint: Any) -> str:
    if typing.get_origin(hint) is Literal:
        return " or ".join(f"`{value}`" for value in typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        return "list" if typing.get_args(hint)[0] is str else "JSON list"
    if isinstance(hint, types.UnionType):
        return _type_text(next(arg for arg in typing.get_args(hint) if arg is not type(None)))
    return {str: "text", int: "integer", float: "number", bool: "`true` or `false`"}[hint]


def _default_text(default: Any) -> str:
    if default is None or default == ():
        return "–"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


if __name__ == "__main__":
    print(document(), end="")
