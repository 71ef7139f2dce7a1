"""
The image: by its linter, and, in the long form, built without a registry and run as containers run it.

The long form needs root, buildah and mmdebstrap, which Debian has: the base is made of Debian's own packages.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import monitor
from tests import servers
from tests.deploy.conftest import DEPLOY, ROOT, output
from tests.integration.processes import production
from tests.integration.support import eventually
from tests.proxy import Proxy

FILE = DEPLOY / "Dockerfile"
LINES = re.sub(r"\\\n\s*", " ", FILE.read_text()).splitlines()
SOURCES = "/etc/apt/sources.list.d/debian.sources"
CERTIFICATES = Path("/etc/ssl/certs")

is_possible = os.geteuid() == 0 and shutil.which("buildah") and shutil.which("mmdebstrap") and Path(SOURCES).exists()
long = pytest.mark.skipif(
    "MONITOR_TEST_LONG" not in os.environ or not is_possible,
    reason="the long form (MONITOR_TEST_LONG=1) needs root, buildah and mmdebstrap on Debian",
)


def instructions(name: str) -> list[str]:
    return [line.removeprefix(name).strip() for line in LINES if line.startswith(f"{name} ")]


def test_its_linter_takes_it() -> None:
    assert not output(str(Path(sys.executable).with_name("hadolint")), "--failure-threshold", "style", str(FILE))


def test_it_is_run_by_no_root_and_gets_signals() -> None:
    (user,) = instructions("USER")
    assert all(part.isdecimal() and int(part) > 0 for part in user.split(":"))
    assert json.loads(instructions("ENTRYPOINT")[0]) == ["monitor"]
    assert isinstance(json.loads(instructions("CMD")[0]), list)
    # Both stages are of one base, and the last one installs nothing.
    assert instructions("FROM") == ["${BASE} AS build", "${BASE}"]
    last = LINES[max(number for number, line in enumerate(LINES) if line.startswith("FROM")) :]
    assert not any(line.startswith("RUN") for line in last)


def test_nothing_but_the_package_and_its_pins_gets_in() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    admitted = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert "*" in ignored
    copied = {name for line in instructions("COPY") if "--from" not in line for name in line.split()[:-1]}
    assert copied == admitted
    assert all((ROOT / name).exists() for name in admitted)


class Image(NamedTuple):
    """A built image: its configuration, and the folder in which its files are mounted."""

    config: dict[str, Any]
    root: Path


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    folder = tmp_path_factory.mktemp("image")
    store = ("--root", str(folder / "store"), "--runroot", str(folder / "run"), "--storage-driver", "vfs")

    def buildah(*arguments: str) -> str:
        return output("buildah", *store, *arguments).strip()

    packages = "--include=python3,python3-venv,ca-certificates"
    output("mmdebstrap", "--variant=minbase", packages, "bookworm", str(folder / "base.tar"), SOURCES)
    base = buildah("from", "scratch")
    buildah("add", "--quiet", base, str(folder / "base.tar"), "/")
    buildah("commit", "--quiet", base, "localhost/base")
    buildah("rm", base)
    # This machine's authorities, for an index of packages that is reached by a proxy.
    (folder / "pip.conf").write_text(f"[global]\ncert = {CERTIFICATES}/ca-certificates.crt\n")
    mounts = (f"{CERTIFICATES}:{CERTIFICATES}:ro", f"{folder}/pip.conf:/etc/pip.conf:ro")
    volumes = [part for mount in mounts for part in ("--volume", mount)]
    # Docker's format is the one with a HEALTHCHECK; a chroot is the isolation that works inside containers, too.
    how = ("--isolation", "chroot", "--format", "docker", "--build-arg", "BASE=localhost/base")
    buildah("bud", *how, *volumes, "--file", str(FILE), "--tag", "localhost/monitor", str(ROOT))
    container = buildah("from", "localhost/monitor")
    try:
        described = json.loads(buildah("inspect", "--type", "image", "localhost/monitor"))
        yield Image(described["Docker"]["config"], Path(buildah("mount", container)))
    finally:
        buildah("rm", container)
        shutil.rmtree(folder, ignore_errors=True)


def contained(image: Image, *command: str) -> list[str]:
    """Return the command line that runs *command* as the image's user, on a read-only root with a writable /tmp."""
    root, (user, _, group) = image.root, image.config["User"].partition(":")
    mounts = (
        f"mount --bind {root} {root}",
        f"mount -o remount,ro,bind {root}",
        f"mount -t tmpfs -o mode=1777 tmpfs {root}/tmp",
        f"mount -t proc proc {root}/proc",
    )
    script = " && ".join(mounts) + f' && exec chroot --userspec={user}:{group} {root} "$@"'
    variables = [value for value in image.config["Env"] if not value.startswith("HEALTHCHECK_PORT=")]
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", "env", *variables, *command]


@long
def test_what_the_image_says_of_itself(image: Image) -> None:
    config = image.config
    assert (config["User"], config["Entrypoint"], config["StopSignal"]) == ("10001:10001", ["monitor"], "SIGTERM")
    assert config["Labels"]["org.opencontainers.image.title"] == "Monitor"
    assert config["Healthcheck"]["Test"][0] == "CMD"
    assert not any("MONITOR_" in variable for variable in config["Env"])
    assert output(*contained(image, "monitor", "--version")).strip().endswith(monitor.__version__)


@long
def test_its_root_is_read_only_and_it_is_no_root(image: Image) -> None:
    script = "id -u; touch /tmp/a && echo tmp; touch /opt/monitor/a 2> /dev/null || echo closed"
    assert output(*contained(image, "sh", "-c", script)).split() == ["10001", "tmp", "closed"]


@long
async def test_it_serves_is_healthy_and_stops_at_once(image: Image, postgres: servers.Postgres) -> None:
    # By TCP, since the user of the image may not enter the folder of the server's socket.
    async with postgres.database() as dsn, Proxy(dsn) as database:
        port = servers.free_port()
        env = production(database.url) | {"HEALTHCHECK_PORT": str(port)}
        env.pop("PYTHONPATH")
        command = contained(image, *image.config["Entrypoint"], "serve", "--port", str(port))
        process = await asyncio.create_subprocess_exec(*command, env=env, stdout=subprocess.DEVNULL)
        check_command = contained(image, *image.config["Healthcheck"]["Test"][1:])

        async def is_healthy() -> bool:
            check = await asyncio.create_subprocess_exec(*check_command, env=env, stderr=subprocess.DEVNULL)
            return await check.wait() == 0

        try:
            await eventually(is_healthy)
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(30):
                assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
        # Its end is the end of what is healthy.
        assert not await is_healthy()
