"""The commands of production, as processes on a database and a Redis of their own."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import pwd
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import asyncpg
import pytest

from monitor import __version__
from monitor.adapters.postgres.migrate import newest_revision
from monitor.cli.commands import COMMANDS
from tests.integration.processes import Client, Invoke, environment, jti_of, production, run, running
from tests.integration.support import Receiver, eventually, verify
from tests.pgbouncer import asked_for
from tests.servers import free_port

STOP_S = 5.0

POOLER = ("pooler",) if asked_for() else ()
"""What `doctor` examines besides."""


@pytest.mark.processes
async def test_serve_and_work_deliver_and_a_revoked_token_ends_within_5_s(
    database_url: str, receiver: Receiver, tmp_path: Path
) -> None:
    env, port = production(database_url), free_port()
    made = [
        await run("token", "--role", role, "--subject", "ci", "--ttl", "1h", env=env) for role in ("admin", "viewer")
    ]
    admin, viewer = (token.out.strip() for token in made)
    client, reader = Client(port, admin), Client(port, viewer)
    async with (
        running("serve", "--port", str(port), env=env, log=tmp_path / "serve.log") as serve,
        running("work", "--concurrency", "20", env=env, log=tmp_path / "work.log") as work,
    ):
        await eventually(client.ready)
        created = (await client.call("POST", "webhooks", json={"name": "n", "url": receiver.url})).json()
        answer = await client.call("POST", "events", json={"type": "a.b", "payload": {"x": 1}})
        assert answer.status_code == 202
        (request,) = await receiver.takes(1)
        assert request.id == answer.json()["id"]
        verify(created["secret"], request)

        assert (await reader.call("GET", "webhooks")).status_code == 200
        revoked = await run("token", "--revoke", viewer, env=env)
        assert (revoked.code, jti_of(viewer) in revoked.out) == (0, True)

        async def is_refused() -> bool:
            return (await reader.call("GET", "webhooks")).status_code == 401

        # The promise is 5 s, on a machine that has nothing else to do.
        await eventually(is_refused, within_s=30)
        assert (await client.call("GET", "webhooks")).status_code == 200
        assert await work.stop() == 0
        assert await serve.stop() == 0
    for log in ("serve.log", "work.log"):
        text = (tmp_path / log).read_text()
        for secret in (created["secret"], admin, viewer, "Traceback"):
            assert secret not in text
        # One line of JSON each, since nobody watches a terminal.
        for line in text.splitlines():
            assert json.loads(line)["event"]


@pytest.mark.processes
async def test_serve_runs_several_processes(database_url: str, tmp_path: Path) -> None:
    env, port = production(database_url), free_port()
    token = (await run("token", "--role", "viewer", "--subject", "ci", env=env)).out.strip()
    client = Client(port, token)
    arguments = ("serve", "--port", str(port), "--processes", "2")
    async with running(*arguments, env=env, log=tmp_path / "serve.log") as serve:
        await eventually(client.ready)
        assert "MONITOR_REDIS_URL" in serve.output
        assert await serve.stop() == 0


@pytest.mark.processes
@pytest.mark.parametrize("command", ["serve", "work", "up"])
async def test_an_idle_command_ends_soon_after_sigterm(command: str, database_url: str, tmp_path: Path) -> None:
    # On a machine that has nothing else to do it takes less than a second, so the best of three tries is asked for.
    took_s: list[float] = []
    # Not in tmp_path, whose name is too long for some sockets.
    with tempfile.TemporaryDirectory(prefix="monitor-", dir="/tmp") as folder:
        while not took_s or (took_s[-1] >= STOP_S and len(took_s) < 3):
            log = tmp_path / f"{len(took_s)}.log"
            took_s.append(await seconds_to_stop(command, database_url, Path(folder) / "data", log))
    assert min(took_s) < STOP_S, took_s


async def seconds_to_stop(command: str, dsn: str, data: Path, log: Path) -> float:
    """Return the time from SIGTERM to the end of *command*, which has done all that a start does."""
    port = free_port()
    client = Client(port, "none")
    arguments, env = {
        "serve": (("--port", str(port), "--processes", "2"), production(dsn)),
        "work": ((), production(dsn)),
        "up": (("--port", str(port), "--data-dir", str(data)), environment()),
    }[command]
    async with running(command, *arguments, env=env, log=log) as process:
        if command == "serve":
            # Which of the two answers is chance.
            for _ in range(10):
                await eventually(client.ready)
        else:
            await process.says("worker_started" if command == "work" else "Monitor is ready")
        stopped_at = time.monotonic()
        assert await process.stop() == 0, process.output
        return time.monotonic() - stopped_at


@pytest.mark.processes
async def test_a_start_beside_another_process_says_that_redis_is_missing(database_url: str, tmp_path: Path) -> None:
    env, port = production(database_url), free_port()
    async with running("work", env=env, log=tmp_path / "first.log") as first:
        await first.says("worker_started")
        assert "redis_missing" not in first.output
        async with (
            running("serve", "--port", str(port), env=env, log=tmp_path / "serve.log") as serve,
            running("work", env=env, log=tmp_path / "second.log") as second,
        ):
            for process in (serve, second):
                await process.says('"redis_missing"')
                (line,) = [json.loads(line) for line in process.output.splitlines() if '"redis_missing"' in line]
                assert (line["level"], line["setting"]) == ("warning", "MONITOR_REDIS_URL")


@pytest.mark.processes
async def test_migrate_brings_an_empty_database_to_the_newest_schema(empty_database_url: str) -> None:
    env = production(empty_database_url)
    first, second = [await run("migrate", "--json", env=env) for _ in range(2)]
    newest = newest_revision()
    assert json.loads(first.out) == {"before": None, "after": newest}
    assert json.loads(second.out) == {"before": newest, "after": newest}
    assert "nothing to do" in (await run("migrate", env=env)).out
    assert (await run("migrate")).err == (
        "monitor migrate: MONITOR_DATABASE_URL is not set; it needs the URL of PostgreSQL.\n"
    )


@pytest.mark.processes
async def test_work_refuses_a_database_that_is_not_migrated(empty_database_url: str) -> None:
    refused = await run("work", env=production(empty_database_url))
    assert refused.code == 2
    assert "run `monitor migrate`" in refused.err
    assert "Traceback" not in refused.err


@pytest.mark.parametrize("command", ["serve", "work"])
def test_production_names_every_key_that_is_missing_or_weak(invoke: Invoke, command: str) -> None:
    refused = invoke(command)
    assert refused.code == 2
    for name in ("MONITOR_DATABASE_URL", "MONITOR_JWT__KEYS", "MONITOR_SECRETS__KEYS"):
        assert f"{name} is not set" in refused.err
    weak = production("postgresql://127.0.0.1/x") | {
        "MONITOR_JWT__KEYS": '[{"kid": "a", "alg": "HS256", "key": "c2hvcnQ"}]',
        "MONITOR_SECRETS__KEYS": '[{"kid": "a", "key": "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE"}]',
    }
    refused = invoke(command, env=weak)
    assert refused.code == 2
    assert "MONITOR_JWT__KEYS[0] is weak" in refused.err
    assert "MONITOR_SECRETS__KEYS[0] is weak" in refused.err


def test_a_setting_that_does_not_exist_or_fit_stops_the_start_with_one_line(invoke: Invoke) -> None:
    for name, value, text in (
        ("DATABSE_URL", "x", "MONITOR_DATABSE_URL is not a setting of Monitor. Did you mean MONITOR_DATABASE_URL?"),
        ("DB__READ_POOL", "many", "MONITOR_DB__READ_POOL"),
        ("EGRESS__PROFILE", "open", "MONITOR_EGRESS__PROFILE: expected public or local."),
        ("JWT__KEYS", "{", "MONITOR_JWT__KEYS is not a JSON list."),
    ):
        refused = invoke("serve", env=environment(**{name: value}))
        assert refused.code == 2
        assert text in refused.err
        assert len(refused.err.splitlines()) == 1


def test_doctor_finds_everything_well(invoke: Invoke, database_url: str, redis_url: str) -> None:
    env = production(database_url, REDIS_URL=redis_url, PUBLIC_URL="https://monitor.example.com/")
    well = invoke("doctor", "--json", env=env)
    findings = {finding["check"]: finding for finding in json.loads(well.out)}
    examined = {"keys", "links", "database", "clock", "migrations", "secrets", "redis", *POOLER}
    assert {name: finding["state"] for name, finding in findings.items()} == dict.fromkeys(examined, "ok")
    assert well.code == 0
    people = invoke("doctor", env=env)
    assert people.out.count("✓") == len(examined)


@pytest.mark.parametrize(
    ("proxies", "state", "said"),
    [("10.1.0.0/16", "ok", "10.1.0.0/16"), ("", "warning", "the proxy's address"), ("::/0", "warning", "every client")],
)
def test_doctor_says_whose_forwarded_addresses_are_read(invoke: Invoke, proxies: str, state: str, said: str) -> None:
    told = invoke("doctor", "--json", env=environment(HTTP__HSTS="true", HTTP__TRUSTED_PROXIES=proxies))
    (finding,) = [finding for finding in json.loads(told.out) if finding["check"] == "proxies"]
    assert finding["state"] == state
    assert said in finding["text"]


def test_doctor_says_what_to_do_about_what_is_wrong(invoke: Invoke, empty_database_url: str) -> None:
    dead = f"redis://127.0.0.1:{free_port()}/0"
    ill = invoke("doctor", "--json", env=production(empty_database_url, REDIS_URL=dead))
    states = {finding["check"]: finding["state"] for finding in json.loads(ill.out)}
    assert ill.code == 1
    assert states == {
        "keys": "ok",
        "links": "warning",
        "database": "ok",
        "clock": "ok",
        "migrations": "error",
        "redis": "error",
        **dict.fromkeys(POOLER, "ok"),
    }
    alone = invoke("doctor", "--json", env=production(f"postgresql://u:hunter2@127.0.0.1:{free_port()}/x"))
    findings = {finding["check"]: finding for finding in json.loads(alone.out)}
    assert (findings["database"]["state"], findings["redis"]["state"]) == ("error", "warning")
    assert "hunter2" not in alone.out + alone.err
    lacking = invoke("doctor", "--json", env=environment(EGRESS__CA_FILE="/no/such.pem"))
    findings = {finding["check"]: finding for finding in json.loads(lacking.out)}
    assert findings["tls"]["state"] == "error"
    assert findings["tls"]["text"] == "MONITOR_EGRESS__CA_FILE cannot be read: no such file or directory"
    bare = invoke("doctor", "--json")
    assert bare.code == 1
    assert [finding["state"] for finding in json.loads(bare.out) if finding["check"] == "keys"] == ["error", "error"]


def test_a_token_that_nobody_would_accept_is_not_made(invoke: Invoke, tmp_path: Path) -> None:
    env = production("postgresql://127.0.0.1/x")
    for arguments, text in (
        (("--role", "viewer", "--subject", "a", "--ttl", "31d"), "a token lives more than 0 and at most"),
        (("--role", "viewer", "--subject", ""), "printable"),
        (("--role", "viewer"), "give --role and --subject"),
        (("--role", "root", "--subject", "a"), "invalid choice"),
        (("--role", "viewer", "--subject", "a", "--ttl", "soon"), "is not a duration"),
        (("--role", "viewer", "--subject", "a", "--data-dir", str(tmp_path)), "holds no keys"),
    ):
        refused = invoke("token", *arguments, env=env)
        assert (refused.code, refused.out) == (2, "")
        assert text in refused.err
        assert "Traceback" not in refused.err
    for text in ("", "eyJhbGciOiJIUzI1NiJ9.rubbish", "a\nb"):
        unread = invoke("token", "--revoke", text, env=env)
        assert (unread.code, unread.out) == (2, "")
        assert "`jti`" in unread.err
    assert "no signing key" in (invoke("token", "--role", "viewer", "--subject", "a")).err


def test_the_audit_log_shows_who_issued_and_revoked_a_token(invoke: Invoke, database_url: str) -> None:
    env = production(database_url)
    made = invoke("token", "--role", "viewer", "--subject", "ci", "--ttl", "1h", env=env)
    assert (made.code, made.err) == (0, "")
    jti = jti_of(made.out.strip())
    for _ in range(2):
        assert invoke("token", "--revoke", jti, env=env).code == 0
    rows = asyncio.run(audit_rows(database_url))
    assert [(row["action"], row["target"]) for row in rows] == [
        ("token.issue", f"token:{jti}"),
        ("token.revoke", f"token:{jti}"),
    ]
    assert {row["subject"] for row in rows} == {f"command line ({pwd.getpwuid(os.geteuid()).pw_name})"}
    issued = json.loads(rows[0]["after"])
    assert (issued["subject"], issued["role"]) == ("ci", "viewer")
    assert made.out.strip() not in str(rows)


async def audit_rows(dsn: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(dsn)
    try:
        return list(await connection.fetch("SELECT * FROM audit_log ORDER BY id"))
    finally:
        await connection.close()


def test_a_token_is_made_without_a_database_and_says_that_the_audit_log_lacks_it(
    invoke: Invoke, empty_database_url: str
) -> None:
    for dsn, cause in (
        (None, "MONITOR_DATABASE_URL is not set"),
        (f"postgresql://u:hunter2@127.0.0.1:{free_port()}/x", "Connection refused"),
        (empty_database_url, "run `monitor migrate`"),
    ):
        env = {name: value for name, value in production(dsn or "").items() if dsn or not name.endswith("DATABASE_URL")}
        made = invoke("token", "--role", "viewer", "--subject", "ci", env=env)
        assert made.code == 0
        assert jti_of(made.out.strip())
        (line,) = made.err.splitlines()
        assert line.startswith("monitor token: the audit log does not show this token: ")
        assert cause in line
        assert "hunter2" not in line


@pytest.mark.processes
def test_a_reader_who_has_seen_enough_gets_no_traceback() -> None:
    command = f"{shlex.quote(sys.executable)} -m monitor openapi | head -c 1"
    shown = subprocess.run(
        ["sh", "-c", command], check=True, env=environment(), capture_output=True, text=True, timeout=60
    )
    assert (shown.stdout, shown.stderr) == ("{", "")


@pytest.mark.processes
def test_a_full_disk_is_one_line() -> None:
    command = f"{shlex.quote(sys.executable)} -m monitor openapi > /dev/full"
    done = subprocess.run(
        ["sh", "-c", command], check=False, env=environment(), capture_output=True, text=True, timeout=60
    )
    problem = os.strerror(errno.ENOSPC)
    assert done.stderr == f"monitor openapi: {problem}; make room on the disk with its output and files.\n"
    assert done.returncode == 2


def test_openapi_needs_nothing_and_prints_the_document(invoke: Invoke) -> None:
    printed = invoke("openapi")
    assert printed.code == 0
    document = json.loads(printed.out)
    assert document["openapi"].startswith("3.1")
    assert document["info"]["version"] == __version__
    assert "/api/v1/webhooks" in document["paths"]


@pytest.mark.parametrize("command", [command.name for command in COMMANDS])
def test_every_command_helps_with_an_example(invoke: Invoke, command: str) -> None:
    help_ = invoke(command, "--help")
    assert help_.code == 0
    assert "example: " in help_.out
    assert f"monitor {command}" in help_.out


@pytest.mark.processes
async def test_a_worker_ends_with_0_when_interrupted(database_url: str, tmp_path: Path) -> None:
    async with running("work", env=production(database_url), log=tmp_path / "work.log") as work:
        await work.says("worker_started")
        assert await work.stop(signal.SIGINT) == 0
