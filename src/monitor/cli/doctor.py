"""``monitor doctor``."""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import json

import msgspec

from monitor.adapters.clock import SystemClock
from monitor.adapters.egress.jwks import HttpKeySource
from monitor.adapters.postgres.engine import Database, DatabaseConfig, describe
from monitor.adapters.postgres.key_watch import KeyWatch
from monitor.adapters.postgres.migrate import is_newer, newest_revision, schema_problem
from monitor.adapters.postgres.queries.resources import PostgresQueries
from monitor.adapters.postgres.refusals import DATABASE_ERRORS, refusal
from monitor.adapters.postgres.replica import Lag, ReplicaReads, Trouble
from monitor.adapters.postgres.schema import StoredSchema, stored_schema
from monitor.adapters.redis.ping import RedisRefused, is_open_to_others, open_users, ping
from monitor.adapters.secret_box import SecretBox
from monitor.adapters.smtp.check import mail_problem
from monitor.auth.jwks import read_key_set
from monitor.auth.keys import KeyRing
from monitor.bootstrap.mail import mail_server, mail_tls
from monitor.bootstrap.outbound import outbound_tls
from monitor.bootstrap.token_keys import jwt_keys
from monitor.bootstrap.tracing import process_tracing
from monitor.cli.pooling import examine_pooler
from monitor.domain.errors import Unavailable
from monitor.settings.environment import missing_for_production
from monitor.settings.schema import Http, Settings

MAX_SKEW_S = 2.0
REDIS_ANSWER_S = 2.0
COLLECTOR_ANSWER_S = 3.0
MAIL_ANSWER_S = 10.0
"""Some mail servers greet late on purpose."""


REPLICA_REMEDIES: dict[Trouble | None, str] = {
    "unreachable": "it does not answer, or refuses the login; check host, port, user and password",
    "busy": "it has no connection left; raise max_connections of the server",
    "not_a_replica": "the server takes writes, or follows another primary; name a streaming replica of the database",
    "other_database": "it is another database than that of MONITOR_DATABASE_URL; name a streaming replica of that one",
    "privilege": "grant its user pg_control_system(), pg_control_recovery() and pg_control_checkpoint()",
    "no_primary": "the server of MONITOR_DATABASE_URL is a replica itself; name the primary there",
}
"""What to do about a replica that cannot be used."""


class Finding(msgspec.Struct, frozen=True):
    """One check: ``ok``, ``warning`` or ``error``, with its remedy."""

    check: str
    state: str
    text: str


def run(args: argparse.Namespace, settings: Settings) -> int:
    findings = asyncio.run(examine(settings))
    if args.json:
        print(json.dumps([msgspec.to_builtins(finding) for finding in findings]))
    else:
        marks = {"ok": "✓", "warning": "!", "error": "✗"}
        for finding in findings:
            print(f"{marks[finding.state]} {finding.check}: {finding.text}")
    return 1 if any(finding.state == "error" for finding in findings) else 0


async def examine(settings: Settings) -> list[Finding]:
    """Return every finding; never raises because of a failing check."""
    checks = [*_keys(settings), _page(settings), *_proxies(settings.http), *_tls_files(settings)]
    checks += await _provider_keys(settings)
    checks += [*await _mail(settings), *await _traces(settings)]
    return [*checks, *await _database(settings), *await _replica(settings), await _redis(settings)]


def _keys(settings: Settings) -> list[Finding]:
    missing = [text for text in missing_for_production(settings) if "DATABASE_URL" not in text]
    if missing:
        return [Finding("keys", "error", text) for text in missing]
    try:
        KeyRing(jwt_keys(settings), alone=settings.jwt.jwks_url is None)
        SecretBox([(key.kid, key.decoded()) for key in settings.secrets.keys])
    except (ValueError, OSError, msgspec.MsgspecError) as error:
        return [Finding("keys", "error", str(error))]
    return [Finding("keys", "ok", "token and encryption keys are valid")]


def _page(settings: Settings) -> Finding:
    if settings.public_url is None:
        return Finding("links", "warning", "MONITOR_PUBLIC_URL is not set; notifications have no links to the page")
    return Finding("links", "ok", f"notifications link to {settings.public_url}")


def _proxies(http: Http) -> list[Finding]:
    """Return what is wrong about the proxies in front, as far as settings show that there is one."""
    if not http.trusted_proxies:
        text = "MONITOR_HTTP__TRUSTED_PROXIES is not set; the log shows the proxy's address instead of its clients'"
        return [Finding("proxies", "warning", text)] if http.hsts else []
    everybody = [text for text in http.trusted_proxies if ipaddress.ip_network(text).prefixlen == 0]
    if everybody:
        text = f"{everybody[0]} lets every client choose its address; list the proxies alone"
        return [Finding("proxies", "warning", f"MONITOR_HTTP__TRUSTED_PROXIES: {text}")]
    return [Finding("proxies", "ok", f"forwarded addresses are read from {', '.join(http.trusted_proxies)} alone")]


def _tls_files(settings: Settings) -> list[Finding]:
    if not settings.egress.ca_file and not settings.egress.client_cert_file:
        return []
    try:
        outbound_tls(settings)
    except ValueError as error:
        return [Finding("tls", "error", str(error))]
    return [Finding("tls", "ok", "the certificates for outbound TLS can be used")]


async def _provider_keys(settings: Settings) -> list[Finding]:
    url = settings.jwt.jwks_url
    if url is None:
        return []
    try:
        tls = outbound_tls(settings)
    except ValueError:
        # Reported by the finding on the files themselves.
        return []
    try:
        found = read_key_set(await HttpKeySource(url, tls=tls)())
    except Unavailable as error:
        return [Finding("jwks", "error", f"MONITOR_JWT__JWKS_URL: {error.detail}; check the address and the network")]
    except ValueError as error:
        return [Finding("jwks", "error", f"MONITOR_JWT__JWKS_URL: {error}; check the address")]
    unused = "".join(f"; {key.kid!r} is not used: {key.reason}" for key in found.ignored)
    if not found.usable:
        return [
            Finding("jwks", "error", f"MONITOR_JWT__JWKS_URL publishes no RS256 or EdDSA key that can verify{unused}")
        ]
    kids = ", ".join(repr(key.kid) for key in found.usable)
    return [Finding("jwks", "ok", f"MONITOR_JWT__JWKS_URL publishes {kids}{unused}")]


async def _mail(settings: Settings) -> list[Finding]:
    server = mail_server(settings)
    if server is None:
        return []
    try:
        tls = mail_tls(settings)
    except ValueError as error:
        return [Finding("mail", "error", str(error))]
    where = f"{server.host}:{server.port}"
    problem = await mail_problem(server, tls, within_s=MAIL_ANSWER_S)
    if problem is not None:
        return [Finding("mail", "error", f"{where}: {problem}")]
    how = "without TLS" if server.tls == "none" else "over TLS"
    login = "" if server.username is None else " and takes the login"
    return [Finding("mail", "ok", f"{where} answers {how}{login}; mails come from {server.from_}")]


async def _traces(settings: Settings) -> list[Finding]:
    try:
        tracing = process_tracing(settings)
    except ValueError as error:
        return [Finding("traces", "error", str(error))]
    if tracing is None:
        return []
    await tracing.aclose()
    if await asyncio.to_thread(tracing.collector_answers, COLLECTOR_ANSWER_S):
        return [Finding("traces", "ok", "the collector takes spans")]
    return [Finding("traces", "warning", "the collector takes no spans; check OTEL_EXPORTER_OTLP_ENDPOINT")]


async def _database(settings: Settings) -> list[Finding]:
    if settings.database_url is None:
        return [Finding("database", "error", "set MONITOR_DATABASE_URL")]
    where = describe(settings.database_url)
    try:
        config = DatabaseConfig(dsn=settings.database_url, direct_dsn=settings.db.direct_url)
        async with Database(config) as database:
            queries = PostgresQueries(database, SecretBox([("-", bytes(32))]))
            ahead_s = (await queries.now() - SystemClock().now()).total_seconds()
            schema = await stored_schema(database)
            problem = schema_problem(schema)
            stored = [] if problem else await _stored_secrets(settings, database)
            with database.translating():
                pooler = await examine_pooler(database)
    except DATABASE_ERRORS as error:
        return [Finding("database", "error", f"{where}: {refusal(error)}")]
    return [
        Finding("database", "ok", f"{where} answers"),
        *([] if pooler is None else [Finding("pooler", pooler.state, pooler.text)]),
        Finding("clock", "ok", f"the database's clock is {ahead_s:+.3f} s from the host's")
        if abs(ahead_s) <= MAX_SKEW_S
        else Finding(
            "clock", "warning", f"the database's clock is {ahead_s:+.1f} s from the host's; synchronise both (NTP)"
        ),
        Finding("migrations", "error", problem) if problem is not None else _schema(schema),
        *stored,
    ]


async def _replica(settings: Settings) -> list[Finding]:
    """Try the replica as a server does."""
    url = settings.db.read_url
    if url is None or settings.database_url is None:
        return []
    where = f"MONITOR_DB__READ_URL, {describe(url)}"
    async with (
        Database(DatabaseConfig(dsn=settings.database_url)) as database,
        ReplicaReads(database, url) as reads,
    ):
        try:
            found = await reads.examine()
        except DATABASE_ERRORS:
            # Reported by the finding on the database itself.
            return []
    if found in REPLICA_REMEDIES:
        return [Finding("replica", "error", f"{where}: {REPLICA_REMEDIES[found]}")]
    lag = reads.lag or Lag(0, 0.0)
    behind = f"{lag.size_bytes} bytes and {lag.seconds:.1f} s behind the primary"
    if found is not None:
        return [Finding("replica", "warning", f"{where} is {behind}; reads go to the primary until it has caught up")]
    return [Finding("replica", "ok", f"{where} is a replica, {behind}")]


def _schema(schema: StoredSchema) -> Finding:
    """Return the finding about a schema that this version can work with."""
    if is_newer(schema):
        text = f"schema {schema.revision} is of a newer version; this one ({newest_revision()}) works with it"
        return Finding("migrations", "warning", f"{text}; finish the upgrade")
    return Finding("migrations", "ok", f"schema {schema.revision}")


async def _stored_secrets(settings: Settings, database: Database) -> list[Finding]:
    """Open one stored secret of each encryption key in use."""
    try:
        box = SecretBox([(key.kid, key.decoded()) for key in settings.secrets.keys])
    except ValueError:
        # Reported with the keys.
        return []
    found = await KeyWatch(database, box).examine()
    wrong = [
        Finding("secrets", "error", f"key {kid!r}: {trouble}; add the key that encrypted them to MONITOR_SECRETS__KEYS")
        for kid, trouble in found.items()
        if trouble is not None
    ]
    return wrong or [Finding("secrets", "ok", "stored secrets open with the encryption keys")]


async def _redis(settings: Settings) -> Finding:
    if settings.redis_url is None:
        return Finding("redis", "warning", "MONITOR_REDIS_URL is not set; required for more than one process")
    try:
        found = await ping(settings.redis_url, within_s=REDIS_ANSWER_S)
    except RedisRefused as error:
        return Finding("redis", "error", str(error))
    except Unavailable as error:
        return Finding("redis", "error", error.detail)
    users = await open_users(settings.redis_url, within_s=REDIS_ANSWER_S)
    if users and is_open_to_others(settings.redis_url):
        named = " and ".join(map(repr, users))
        text = f"{found}, and takes any password of {named}: whoever reaches it may read and change what it holds"
        remedy = "set requirepass for 'default', and a password by ACL SETUSER for another user"
        return Finding("redis", "warning", f"{text}; {remedy}, as in section 3 of DEPLOYMENT_CHECKLIST")
    return Finding("redis", "ok", found)
