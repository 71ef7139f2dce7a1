"""``monitor up``."""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import shutil
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import msgspec
import structlog
import uvloop

from monitor import log as logs
from monitor.adapters.embedded import EmbeddedError, EmbeddedPostgres
from monitor.adapters.local_keys import LocalKeys, load_or_create_keys, write_private
from monitor.adapters.postgres.migrate import upgrade
from monitor.bootstrap.container import Container
from monitor.bootstrap.loops import freeze_gc
from monitor.bootstrap.retention import retention
from monitor.bootstrap.server import build_app, build_services, http_bounds, readiness, served_hosts
from monitor.bootstrap.supervise import Loop
from monitor.bootstrap.token_keys import jwt_keys
from monitor.bootstrap.worker import build_fan_outs, build_figures, build_scheduler, build_worker
from monitor.cli.addresses import bound_addresses, link_authority, listen
from monitor.cli.common import CommandError, database_file, local_jwt_key, local_secret_key
from monitor.cli.demo import Demo
from monitor.cli.doors import database_errors
from monitor.cli.reach import reach
from monitor.cli.start import build_container, check_servers
from monitor.cli.token import make
from monitor.cli.token_records import command_line, write_issue
from monitor.cli.work import worker_name
from monitor.domain.errors import Unavailable
from monitor.http.server.server import Server
from monitor.log import LogStream
from monitor.settings.schema import Settings

TOKEN_TTL_S = 12 * 3600
READY_TICK_S = 0.05
LATE_S = 15.0
"""After this time the log names what keeps the server from being ready."""

log = structlog.get_logger(__name__)


def run(args: argparse.Namespace, settings: Settings) -> int:
    settings = quiet(settings)
    stream = logs.configure(settings.log.level, settings.log.format)
    try:
        return uvloop.run(_up(args, settings, stream))
    except EmbeddedError as error:
        raise CommandError(str(error)) from None


async def _up(args: argparse.Namespace, settings: Settings, stream: LogStream) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopping.set)
    postgres = EmbeddedPostgres(args.data_dir)
    try:
        postgres.claim()
        sockets = listen(args.host, args.port)  # Before the database: its first start takes seconds.
        if postgres.is_new:
            print(f"Making a database in {args.data_dir}, which takes some seconds the first time …", flush=True)
        dsn = await postgres.start()
        link = link_authority(args.host, args.port, sockets)
        settings = local_settings(settings, dsn, load_or_create_keys(args.data_dir), f"http://{link}/")
        with database_errors(dsn):
            await upgrade(dsn, retention=retention(settings))
        write_private(database_file(args.data_dir), dsn.encode())
        await check_servers(settings)
        async with build_container(settings, stream, "up") as container:
            await _run(args, container, sockets, stopping)
    finally:
        await postgres.stop()
    return 0


async def _run(
    args: argparse.Namespace, container: Container, sockets: list[socket.socket], stopping: asyncio.Event
) -> None:
    hosts = served_hosts(container.settings, args.host, bound_addresses(sockets))
    figures = build_figures(container)
    app = build_app(container, owns_container=False, hosts=hosts, worker_report=figures)
    http = container.settings.http
    server = Server(app, container.hub.drain, bounds=http_bounds(http), trusted_proxies=http.trusted_proxies)
    fan_outs = build_fan_outs(container)
    worker = build_worker(container, name=worker_name(), fan_outs=fan_outs, figures=figures)
    loops = {**worker.loops(), **fan_outs.loops(), **build_scheduler(container).loops()}
    if args.demo:
        loops["demo"] = demo(container, server)
    async with container.supervisor.running(loops):
        serving = asyncio.create_task(server.serve(sockets), name="server")
        working = asyncio.create_task(worker.run(), name="worker")
        waiting = asyncio.create_task(stopping.wait(), name="signal")
        announcing = asyncio.create_task(_announce_when_ready(args, container, server, sockets), name="announcement")
        try:
            await asyncio.wait({serving, working, waiting, announcing}, return_when=asyncio.FIRST_COMPLETED)
            if announcing.done() and announcing.exception() is None:
                await asyncio.wait({serving, working, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            worker.stop()
            server.stop()
            waiting.cancel()
            announcing.cancel()
            results = await asyncio.gather(serving, working, announcing, return_exceptions=True)
    if not server.started:
        raise CommandError("the server could not start; the log has the reason.")
    for result in results:
        if isinstance(result, Exception):
            raise result


async def _announce_when_ready(
    args: argparse.Namespace, container: Container, server: Server, sockets: list[socket.socket]
) -> None:
    while not server.started:  # noqa: ASYNC110 - uvicorn offers this flag alone
        await asyncio.sleep(READY_TICK_S)
    freeze_gc()
    link = link_authority(args.host, args.port, sockets)
    address, late_at = sockets[0].getsockname(), asyncio.get_running_loop().time() + LATE_S
    while not await is_ready(address, link):
        await asyncio.sleep(READY_TICK_S)
        if asyncio.get_running_loop().time() > late_at:
            log.warning("not_ready_yet", reasons=await readiness(container))
            late_at = math.inf
    _announce(args, container, f"http://{link}", await sign_in_token(container))
    print(reach(bound_addresses(sockets), container.settings.http), end="", flush=True)


async def is_ready(address: tuple[Any, ...], name: str) -> bool:
    """Whether the server on *address* answers ``/health/ready`` with 200, called by *name* as in its link."""
    try:
        reader, writer = await asyncio.open_connection(*address[:2])
    except OSError:
        return False
    try:
        writer.write(f"GET /health/ready HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        return (await reader.readline()).split()[1:2] == [b"200"]
    except OSError:
        return False
    finally:
        writer.close()


def demo(container: Container, server: Server) -> Loop:
    """Return the loop of the demo: receivers on loopback and live traffic."""
    services = build_services(container)

    async def loop() -> None:
        while not server.started:  # noqa: ASYNC110 - uvicorn offers this flag alone
            await asyncio.sleep(0.05)
        await Demo(services.registry, services.publisher, services.queries).run()

    return loop


def quiet(settings: Settings) -> Settings:
    """
    Return *settings* with warnings only, unless a level was chosen: a line for each attempt and request would carry the
    dashboard's link away, also where the output is read through a pipe or later.
    """
    if "MONITOR_LOG__LEVEL" in os.environ:
        return settings
    return msgspec.structs.replace(settings, log=msgspec.structs.replace(settings.log, level="warning"))


def local_settings(settings: Settings, dsn: str, keys: LocalKeys, page: str) -> Settings:
    """Return *settings* with the embedded database, the local keys and, unless configured, the local egress and
    *page*, the URL of the page."""
    egress = settings.egress
    if "MONITOR_EGRESS__PROFILE" not in os.environ:
        egress = msgspec.structs.replace(egress, profile="local")
    return msgspec.structs.replace(
        settings,
        database_url=dsn,
        db=msgspec.structs.replace(settings.db, direct_url=None),
        jwt=msgspec.structs.replace(settings.jwt, keys=(local_jwt_key(keys),), keys_file=None),
        secrets=msgspec.structs.replace(settings.secrets, keys=(local_secret_key(keys), *settings.secrets.keys)),
        egress=egress,
        public_url=settings.public_url or page,
    )


def program() -> str:
    """Return what to type for this command once more: where it is not on PATH, the way by which it was started."""
    started = Path(sys.argv[0])
    return str(started) if started.name == "monitor" and shutil.which("monitor") is None else "monitor"


async def sign_in_token(container: Container) -> str:
    """Return a token for the dashboard, with its row in the audit log."""
    token, issued = make(jwt_keys(container.settings), container.settings, "admin", "local", TOKEN_TTL_S)
    try:
        await write_issue(build_services(container).tokens, issued, command_line())
    except Unavailable as error:
        log.warning("token_not_recorded", jti=issued.jti, detail=error.detail)
    return token


def _announce(args: argparse.Namespace, container: Container, base: str, token: str) -> None:
    reference = f"  (reference: {base}/schema/swagger)" if container.settings.http.serve_schema else ""
    where = "loopback and public addresses" if container.settings.egress.profile == "local" else "public addresses only"
    print(
        f"\nMonitor is ready.\n"
        f"  Dashboard  {base}/#token={token}\n"
        f"  API        {base}/api/v1{reference}\n"
        f"  Token      {token}\n"
        f"             admin, valid for 12 hours; create others with:\n"
        f"             {program()} token --role viewer --subject NAME --data-dir {args.data_dir}\n"
        f"  Data       {args.data_dir.resolve()}\n"
        f"  Egress     {container.settings.egress.profile}: may deliver to {where}\n"
        f"Stop with Ctrl-C.\n",
        flush=True,
    )
