"""A database or a Redis that cannot be used: one line with the server's own words and what to do, and no traceback."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Iterator

import asyncpg
import pytest
from structlog.testing import capture_logs

from monitor.adapters.postgres.migrate import newest_revision, upgrade
from monitor.adapters.redis.ping import ping
from monitor.cli.doors import check_database
from monitor.cli.start import check_redis
from tests.integration.processes import Invoke, Result, production, run, run_inside
from tests.integration.support import WITHIN_S
from tests.servers import free_port, with_database

TLS_REQUEST = 80877103
TOKEN = ("token", "--revoke", "some-jti")


class Refusing:
    """
    A server that refuses every login as PostgreSQL does, with one code and message, and has no TLS.

    Its own, since the real server of the tests trusts everyone and listens on no port.
    """

    def __init__(self, code: str = "", message: str = "", *, reply: bytes | None = None) -> None:
        fields = b"".join(
            name + text.encode() + b"\0" for name, text in ((b"S", "FATAL"), (b"C", code), (b"M", message))
        )
        self._reply = b"E" + (len(fields) + 5).to_bytes(4) + fields + b"\0" if reply is None else reply
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client, contextlib.suppress(OSError):
                    while True:
                        length = int.from_bytes(client.recv(4))
                        if length < 8:
                            raise ConnectionResetError
                        if int.from_bytes(client.recv(length - 4)[:4]) != TLS_REQUEST:
                            break
                        client.sendall(b"N")
                    client.sendall(self._reply)


@contextlib.contextmanager
def refusing(code: str = "", message: str = "") -> Iterator[str]:
    """Yield the URL of a server that refuses."""
    server = Refusing(code, message)
    try:
        yield f"postgresql://ada:hunter2@127.0.0.1:{server.port}/m"
    finally:
        server.close()


def assert_one_line(result: Result, command: str, *words: str) -> None:
    lines = [line for line in result.err.splitlines() if not line.startswith("migrating ")]
    assert len(lines) == 1, result.err
    assert lines[0].startswith(f"monitor {command}: ")
    for word in words:
        assert word in lines[0]
    assert lines[0].endswith(".")
    assert "hunter2" not in result.err + result.out
    assert (result.code, result.out) == (2, "")


def finding(result: Result, check: str) -> str:
    """Return the text of an error that the doctor found."""
    assert result.err == ""
    assert "hunter2" not in result.out
    (row,) = [row for row in json.loads(result.out) if row["check"] == check]
    assert (result.code, row["state"]) == (1, "error")
    text: str = row["text"]
    return text


REFUSALS = [
    ("28P01", 'password authentication failed for user "ada"', "correct user and password in MONITOR_DATABASE_URL"),
    ("28000", 'no pg_hba.conf entry for host "10.0.0.1", user "ada", no encryption', "allow it in pg_hba.conf"),
    ("3D000", 'database "m" does not exist', "or create the database"),
    ("42501", "permission denied for database m", "grant it to the user of MONITOR_DATABASE_URL"),
    ("53300", 'too many connections for role "ada"', "raise max_connections"),
    ("57P03", "the database system is starting up", "try again in a moment"),
    ("08P01", "unsupported startup parameter: jit", "set MONITOR_DB__DIRECT_URL"),
    ("XX000", "something unforeseen", "see the log of the server"),
]


@pytest.mark.parametrize(("code", "words", "remedy"), REFUSALS)
def test_a_refusal_is_told_in_the_words_of_the_server(invoke: Invoke, code: str, words: str, remedy: str) -> None:
    with refusing(code, words) as dsn:
        env = production(dsn)
        where = dsn.partition("@")[2]
        for command in (("migrate",), TOKEN):
            assert_one_line(invoke(*command, env=env), command[0], f"{where}: {words}; ", remedy)
        found = finding(invoke("doctor", "--json", env=env), "database")
        assert found.startswith(f"{where}: {words}; ")
        assert remedy in found


def test_a_server_without_tls_is_named_so_where_tls_is_asked_for(invoke: Invoke) -> None:
    with refusing() as dsn:
        env = production(f"{dsn}?sslmode=require")
        for command in (("migrate",), TOKEN):
            assert_one_line(invoke(*command, env=env), command[0], "rejected SSL upgrade; ", "sslmode")
        assert "rejected SSL upgrade; " in finding(invoke("doctor", "--json", env=env), "database")


@pytest.mark.parametrize(
    ("rest", "words", "remedy"),
    [
        ("?sslmode=always", "`sslmode` parameter must be one of", "; correct MONITOR_DATABASE_URL"),
        ("?sslmode=verify-full&sslrootcert=/no", "No such file or directory", "certificates"),
    ],
)
def test_tls_settings_that_cannot_be_are_named(invoke: Invoke, rest: str, words: str, remedy: str) -> None:
    env = production(f"postgresql://ada:hunter2@127.0.0.1:{free_port()}/m{rest}")
    for command in (("migrate",), TOKEN):
        assert_one_line(invoke(*command, env=env), command[0], words, remedy)
    assert words in finding(invoke("doctor", "--json", env=env), "database")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "no-such-host.invalid"])
def test_a_host_that_is_not_reached_is_named_with_the_systems_words(invoke: Invoke, host: str) -> None:
    env = production(f"postgresql://ada:hunter2@{host}:{free_port()}/m")
    for command in (("migrate",), TOKEN):
        assert_one_line(
            invoke(*command, env=env), command[0], f"{host}:", "check host and port in MONITOR_DATABASE_URL"
        )
    assert "check host and port" in finding(invoke("doctor", "--json", env=env), "database")
    if host == "127.0.0.1":
        assert "Connection refused; " in invoke("migrate", env=env).err


def test_a_name_that_the_real_server_does_not_have(invoke: Invoke, database_url: str) -> None:
    env = production(with_database(database_url, "no_such"))
    for command in (("migrate",), TOKEN):
        assert_one_line(invoke(*command, env=env), command[0], 'database "no_such" does not exist; ')
    assert 'database "no_such" does not exist; ' in finding(invoke("doctor", "--json", env=env), "database")


async def test_a_role_without_ddl_cannot_migrate_and_the_words_say_who_can(empty_database_url: str) -> None:
    connection = await asyncpg.connect(empty_database_url)
    role = "writes_rows_alone"
    env = production(empty_database_url.replace("//postgres@", f"//{role}@"))
    await connection.execute(f"CREATE ROLE {role} LOGIN")
    try:
        nothing = await run("migrate", env=env)
        assert_one_line(nothing, "migrate", "permission denied for schema public; ")
        assert f'as its owner, run GRANT USAGE, CREATE ON SCHEMA public TO "{role}"; or ' in nothing.err
        await upgrade(empty_database_url, revision="0027")
        await connection.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}")
        rows = await run("migrate", env=env)
        assert_one_line(rows, "migrate", "must be owner of table audit_log; ", "is no right to grant")
        assert "run `monitor migrate` with the URL of the role that owns the tables." in rows.err
        # What it says is enough, where nothing was migrated before.
        await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        await connection.execute(f"GRANT USAGE, CREATE ON SCHEMA public TO {role}")
        migrated = await run("migrate", env=env)
        assert migrated.code == 0, migrated.err
    finally:
        await connection.execute(f"DROP OWNED BY {role}")
        await connection.execute(f"DROP ROLE {role}")
        await connection.close()


async def test_a_privilege_that_is_missing(invoke: Invoke, empty_database_url: str) -> None:
    connection = await asyncpg.connect(empty_database_url)
    role = "lacks_everything"
    await connection.execute(f"CREATE ROLE {role} LOGIN")
    try:
        env = production(empty_database_url.replace("//postgres@", f"//{role}@"))
        refused = await run_inside(invoke, "migrate", env=env)
        assert_one_line(refused, "migrate", "permission denied for schema public; ", "GRANT USAGE, CREATE ON SCHEMA")
        await connection.execute("CREATE TABLE alembic_version (version_num text)")
        refused = await run_inside(invoke, *TOKEN, env=env)
        assert_one_line(refused, "token", 'relation "revoked_tokens" does not exist; run `monitor migrate`')
        await connection.execute(
            "CREATE TABLE revoked_tokens (jti text PRIMARY KEY, revoked_at timestamptz, expires_at timestamptz)"
        )
        assert_one_line(
            await run_inside(invoke, *TOKEN, env=env), "token", "permission denied for table revoked_tokens; "
        )
        found = finding(await run_inside(invoke, "doctor", "--json", env=env), "database")
        assert "permission denied for table alembic_version; grant it to the user" in found
    finally:
        await connection.execute(f"DROP OWNED BY {role}")
        await connection.execute(f"DROP ROLE {role}")
        await connection.close()


async def newer(dsn: str) -> None:
    """Let the database be one that a newer version migrated."""
    connection = await asyncpg.connect(dsn)
    await connection.execute(
        "CREATE TABLE alembic_version (version_num text, compatible_from text);"
        " INSERT INTO alembic_version VALUES ('9999', '9999')"
    )
    await connection.close()


async def test_a_newer_schema_asks_for_a_newer_monitor_and_not_to_migrate(
    invoke: Invoke, empty_database_url: str
) -> None:
    await newer(empty_database_url)
    env = production(empty_database_url)
    refused = await run_inside(invoke, "migrate", env=env)
    words = ("schema is 9999, which is newer than this Monitor", "the version that migrated it, or a later one")
    assert_one_line(refused, "migrate", *words)
    found = finding(await run_inside(invoke, "doctor", "--json", env=env), "migrations")
    assert "which is newer than this Monitor" in found
    assert "run `monitor migrate`" not in found
    assert_one_line(await run_inside(invoke, "maintain", env=env), "maintain", *words)


async def test_a_newer_schema_that_this_version_can_work_with_is_a_warning(
    invoke: Invoke, empty_database_url: str
) -> None:
    await upgrade(empty_database_url)
    connection = await asyncpg.connect(empty_database_url)
    await connection.execute("UPDATE alembic_version SET version_num = '9999'")
    await connection.close()
    env = production(empty_database_url)
    found = json.loads((await run_inside(invoke, "doctor", "--json", env=env)).out)
    (row,) = [row for row in found if row["check"] == "migrations"]
    assert (row["state"], row["text"]) == (
        "warning",
        f"schema 9999 is of a newer version; this one ({newest_revision()}) works with it; finish the upgrade",
    )
    await check_database(empty_database_url)
    assert_one_line(
        await run_inside(invoke, "migrate", env=env), "migrate", "only the version that migrated it, or a later one"
    )


@pytest.mark.processes
@pytest.mark.parametrize("command", ["serve", "work"])
async def test_a_process_does_not_start_on_a_database_that_refuses(command: str, empty_database_url: str) -> None:
    arguments = (command, "--port", str(free_port())) if command == "serve" else (command,)
    missing = production(with_database(empty_database_url, "no_such"))
    assert_one_line(await run(*arguments, env=missing), command, 'database "no_such" does not exist; ')
    with refusing("28P01", "password authentication failed") as dsn:
        assert_one_line(await run(*arguments, env=production(dsn)), command, "password authentication failed; ")
    refused = await run(*arguments, env=production(f"postgresql://ada:hunter2@127.0.0.1:{free_port()}/m"))
    assert_one_line(refused, command, "Connection refused; check host and port")
    await newer(empty_database_url)
    refused = await run(*arguments, env=production(empty_database_url))
    assert_one_line(refused, command, "which is newer than this Monitor")


async def test_an_older_schema_asks_to_migrate(invoke: Invoke, empty_database_url: str) -> None:
    found = finding(await run_inside(invoke, "doctor", "--json", env=production(empty_database_url)), "migrations")
    missing = f"The database schema is missing, this version needs {newest_revision()}; run `monitor migrate`."
    assert found == missing
    assert_one_line(await run_inside(invoke, "maintain", env=production(empty_database_url)), "maintain", missing)


# Redis ----------------------------------------------------------------------------------------------------------------


async def test_a_start_beside_a_redis_that_does_not_answer_is_a_warning_in_the_log() -> None:
    with capture_logs() as logs:
        await check_redis(f"redis://127.0.0.1:{free_port()}/0")
    assert [(line["event"], line["log_level"]) for line in logs] == [("redis_unavailable", "warning")]


def redis_finding(invoke: Invoke, url: str) -> str:
    result = invoke("doctor", "--json", env=production(f"postgresql://127.0.0.1:{free_port()}/m", REDIS_URL=url))
    return finding(result, "redis")


def test_a_redis_that_refuses_is_told_in_its_words(invoke: Invoke, redis_url: str) -> None:
    host = redis_url.removeprefix("redis://").removesuffix("/0")
    assert redis_finding(invoke, f"redis://{host}/999999").startswith("MONITOR_REDIS_URL: ")
    assert "index" in redis_finding(invoke, f"redis://{host}/999999")
    assert "password" in redis_finding(invoke, f"redis://ada:hunter2@{host}/0")
    assert "has TLS" in redis_finding(invoke, f"rediss://{host}/0")


async def test_many_that_start_at_once_do_not_refuse_redis_for_each_other(redis_url: str) -> None:
    found = await asyncio.gather(*(ping(redis_url, within_s=WITHIN_S) for _ in range(32)))
    assert set(found) == {"answers"}


def test_a_redis_that_is_not_reached_is_named_with_the_systems_words(invoke: Invoke) -> None:
    port = free_port()
    text = redis_finding(invoke, f"redis://ada:hunter2@127.0.0.1:{port}/0")
    assert text.startswith("MONITOR_REDIS_URL: ")
    assert f"127.0.0.1:{port}" in text
    assert "Connection refused" in text


@pytest.mark.processes
@pytest.mark.parametrize("command", ["serve", "work"])
async def test_a_process_does_not_start_on_a_redis_that_refuses(
    command: str, database_url: str, redis_url: str
) -> None:
    arguments = (command, "--port", str(free_port())) if command == "serve" else (command,)
    url = f"redis://ada:hunter2@{redis_url.removeprefix('redis://')}"
    refused = await run(*arguments, env=production(database_url, REDIS_URL=url))
    assert_one_line(refused, command, "MONITOR_REDIS_URL: ", "correct its user and password")
