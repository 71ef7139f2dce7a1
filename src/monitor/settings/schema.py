"""
Settings, from the environment only: ``MONITOR_DB__READ_POOL`` becomes ``Settings.db.read_pool``.

:func:`from_env` is the only reader of the environment. ``python -m monitor.settings`` prints docs/CONFIGURATION.md.
"""

from __future__ import annotations

import base64
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Positive = Annotated[int, Meta(ge=1)]
BodyBytes = Annotated[int, Meta(ge=5 * 1024 * 1024)]
"""Room for one body of the largest size."""

Seconds = Annotated[float, Meta(gt=0, le=1e9)]


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
        return decode_base64url(self.key)


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
            "URL of further keys of an identity provider (JWKS), RS256 and EdDSA, which only verify. HTTPS, or"
            " loopback. Fetched at start, every minute, and for an unknown `kid`, which may take 30 s."
        ),
    ] = None
    issuer: Annotated[str, doc("Expected and issued `iss`.")] = "monitor"
    audience: Annotated[str, doc("Expected and issued `aud`.")] = "monitor"
    max_lifetime_s: Annotated[Positive, doc("Maximum lifetime of a token.", "s")] = 30 * 86_400
    leeway_s: Annotated[int, Meta(ge=0, le=300), doc("Accepted clock difference.", "s")] = 10


class Secrets(msgspec.Struct, frozen=True):
    keys: Annotated[
        tuple[SecretKey, ...],
        doc('JSON list of {"kid", "key"}, 32 bytes in base64url. The first encrypts, all decrypt.'),
    ] = ()


class Egress(msgspec.Struct, frozen=True):
    profile: Annotated[
        Literal["public", "local"], doc("`public`: HTTPS to public addresses; `local`: also loopback and plain HTTP.")
    ] = "public"
    allow_cidrs: Annotated[tuple[str, ...], doc("Private networks to which deliveries are allowed.")] = ()
    self_hosts: Annotated[
        tuple[str, ...], doc("Host names and addresses of Monitor itself, which no webhook may reach.")
    ] = ()
    ca_file: Annotated[
        str | None, doc("PEM file of further certificate authorities, for receivers and the identity provider.")
    ] = None
    client_cert_file: Annotated[
        str | None, doc("PEM file of the client certificate for receivers that request one.")
    ] = None
    client_key_file: Annotated[
        str | None, doc("PEM file of its key, without a passphrase; not needed if the certificate's file holds it.")
    ] = None


class Smtp(_Private, frozen=True):
    host: Annotated[
        str | None, doc("Mail server that sends e-mail to webhooks with a `mailto:` URL; without it there are none.")
    ] = None
    port: Annotated[
        int, Meta(ge=1, le=65_535), doc("Its port: 587 as a rule, 465 for TLS from the start, 25 for a relay.")
    ] = 587
    tls: Annotated[
        Literal["starttls", "tls", "none"],
        doc("TLS with a certificate that is checked: begun by STARTTLS, or from the start. `none` on loopback only."),
    ] = "starttls"
    ca_file: Annotated[str | None, doc("PEM file of further certificate authorities, for the mail server.")] = None
    username: Annotated[str | None, doc("User name of the login; without it there is none.")] = None
    password: Annotated[str | None, doc("Password of the login.")] = None
    from_: Annotated[
        str | None, doc("Sender of the mails, as monitor@example.org or Monitor <monitor@example.org>.")
    ] = msgspec.field(default=None, name="from")


class Db(_Private, frozen=True):
    read_pool: Annotated[Positive, doc("Connections for reads, per process.", "connections")] = 8
    write_pool: Annotated[Positive, doc("Connections for writes, per process.", "connections")] = 8
    statement_timeout_ms: Annotated[Positive, doc("Maximum duration of one statement.", "ms")] = 5_000
    acquire_timeout_s: Annotated[Seconds, doc("Maximum wait for a connection before the response is 503.", "s")] = 2.0
    direct_url: Annotated[
        str | None,
        doc(
            "PostgreSQL itself, when MONITOR_DATABASE_URL leads to PgBouncer in transaction mode: for `monitor migrate`"
            " and `maintain`, and one connection of each worker."
        ),
    ] = None
    read_url: Annotated[
        str | None,
        doc("A streaming replica, as MONITOR_DATABASE_URL: it serves heavy reads of `serve` while it is up to date."),
    ] = None


class Http(msgspec.Struct, frozen=True):
    cors_origins: Annotated[
        tuple[str, ...], doc("Origins of pages that may call the API; without any, CORS is off.")
    ] = ()
    rate_limit_per_s: Annotated[
        Seconds, doc("Requests per second of one subject, on average over all processes on one Redis.", "1/s")
    ] = 200.0
    rate_burst: Annotated[Positive, doc("Requests of one subject at once, over the same processes.", "requests")] = 1000
    subject_body_bytes: Annotated[
        BodyBytes, doc("Request bodies in flight of one subject in each process; beyond, the response is 503.", "bytes")
    ] = 32 * 1024 * 1024
    process_body_bytes: Annotated[
        BodyBytes, doc("Request bodies in flight in each process; beyond, the response is 503.", "bytes")
    ] = 128 * 1024 * 1024
    body_bytes_per_s: Annotated[
        int, Meta(ge=0), doc("Least rate of a request body over any five seconds; a slower one is 408.", "bytes/s")
    ] = 4096
    max_connections: Annotated[
        Positive,
        doc("Open connections of each process, live feeds too; beyond, the response is 503.", "connections"),
    ] = 10_000
    allowed_hosts: Annotated[
        tuple[str, ...],
        doc(
            "Hosts that requests may name, as monitor.example.com or *.example.com, or * for all; others are 421."
            " Without any: those of loopback, when listening there alone and without MONITOR_HTTP__HSTS; else all."
        ),
    ] = ()
    root_path: Annotated[
        str,
        Meta(pattern=r"^(/[A-Za-z0-9._~-]+)*$", max_length=256),
        doc("Path prefix under which a proxy serves Monitor, as `/monitor`; the proxy may strip it or not."),
    ] = ""
    trusted_proxies: Annotated[
        tuple[str, ...],
        doc(
            "Networks of the proxies in front, as 10.1.0.0/16 or 127.0.0.1: `X-Forwarded-For` and `X-Forwarded-Proto`"
            " are read from them alone. Without any, nobody's are."
        ),
    ] = ()
    serve_schema: Annotated[bool, doc("Serve the OpenAPI document and its page at /schema, without a token.")] = True
    metrics_open: Annotated[bool, doc("Serve /metrics without a token.")] = False
    hsts: Annotated[
        bool,
        doc("A proxy terminates TLS in front of Monitor: send Strict-Transport-Security, and cookies that are Secure."),
    ] = False


class Ws(msgspec.Struct, frozen=True):
    allowed_origins: Annotated[tuple[str, ...], doc("Origins of other pages that may open the live feed.")] = ()
    max_per_user: Annotated[Positive, doc("Open live feeds of one subject in each process.", "sockets")] = 5


class Worker(msgspec.Struct, frozen=True):
    concurrency: Annotated[Positive, doc("Concurrent attempts of one worker.", "attempts")] = 100
    lease_s: Annotated[Seconds, doc("Lease of a claimed delivery.", "s")] = 30.0
    renew_s: Annotated[Seconds, doc("Interval at which leases are renewed.", "s")] = 10.0
    poll_s: Annotated[Seconds, doc("Interval at which the queue is polled without a wake-up.", "s")] = 1.0
    drain_s: Annotated[Seconds, doc("How long a worker waits for attempts in flight after SIGTERM.", "s")] = 25.0


class RetentionDays(msgspec.Struct, frozen=True):
    events_d: Annotated[
        Positive, doc("Events with their payloads, and until the last delivery is finished; at least 4.", "days")
    ] = 30
    deliveries_d: Annotated[Positive, doc("Finished deliveries.", "days")] = 30
    attempts_d: Annotated[Positive, doc("Attempts, and changes of health.", "days")] = 14
    minutes_d: Annotated[Positive, doc("Per-minute rollups.", "days")] = 14
    hours_d: Annotated[Positive, doc("Per-hour rollups, dropped by calendar month.", "days")] = 90
    days_d: Annotated[Positive, doc("Per-day rollups, dropped by calendar month.", "days")] = 730
    audit_d: Annotated[Positive, doc("Audit rows.", "days")] = 365
    alerts_d: Annotated[
        Positive, doc("Resolved alerts with their history, closed anomalies, ended silences, finished jobs.", "days")
    ] = 365


class Alerts(msgspec.Struct, frozen=True):
    action_links: Annotated[
        bool,
        doc(
            "Put links into notifications that acknowledge the alert or silence it, once and within a day, without"
            " signing in. Whoever reads the message may use them. Without MONITOR_PUBLIC_URL there are none."
        ),
    ] = True


class Tracing(msgspec.Struct, frozen=True):
    enabled: Annotated[
        bool,
        doc(
            "Make spans of what is published and of every attempt, and send them by OTLP over HTTP. Needs the extra"
            " `webhook-monitor[otel]`; where to, how many and as whom say the standard variables OTEL_…."
        ),
    ] = False


class Metrics(msgspec.Struct, frozen=True):
    per_webhook: Annotated[
        int,
        Meta(ge=0, le=1_000),
        doc("Webhooks with series of their own at /metrics of `serve`: those with most attempts in the last hour."),
    ] = 0


class Log(msgspec.Struct, frozen=True):
    level: Annotated[Literal["debug", "info", "warning", "error"], doc("Lowest severity that is written.")] = "info"
    format: Annotated[Literal["json", "console", "auto"], doc("`auto`: console on a terminal, else JSON.")] = "auto"


class Settings(msgspec.Struct, frozen=True):
    """All settings of one process."""

    def __repr__(self) -> str:
        # The URLs of PostgreSQL and Redis contain passwords.
        return "Settings(…)"

    database_url: Annotated[
        str | None,
        doc("PostgreSQL, as postgresql://user:password@host:port/database; several hosts as host:port,host:port."),
    ] = None
    redis_url: Annotated[
        str | None,
        doc(
            "Redis, as redis://host:port/0, redis+sentinel://host:port,host:port/master-name/0 or"
            " redis+cluster://host:port,host:port; rediss for TLS. Needed when more than one process runs."
        ),
    ] = None
    public_url: Annotated[
        str | None,
        doc(
            "URL of the page as people open it, with its path prefix: https://monitor.example.com/. Notifications link"
            " to it; without it they have no links. `monitor up` takes its own address."
        ),
    ] = None
    jwt: Jwt = Jwt()
    secrets: Secrets = Secrets()
    egress: Egress = Egress()
    smtp: Smtp = Smtp()
    db: Db = Db()
    http: Http = Http()
    ws: Ws = Ws()
    worker: Worker = Worker()
    retention: RetentionDays = RetentionDays()
    alerts: Alerts = Alerts()
    metrics: Metrics = Metrics()
    tracing: Tracing = Tracing()
    log: Log = Log()


def decode_base64url(text: str) -> bytes:
    text = text.strip().rstrip("=")
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
