"""The parser of the commands: what it lists, what it imports, how it refuses."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from importlib import import_module

import pytest

from monitor import cli

HEAVY = (
    "aiohttp", "alembic", "asyncio", "asyncpg", "litestar", "prometheus_client", "redis", "rich", "sqlalchemy",
    "structlog", "uvicorn", "uvloop",
)  # fmt: skip
IMPORTED = """
import json, sys
from monitor.cli import main
try:
    main(sys.argv[1:])
finally:
    print(json.dumps(sorted(sys.modules)))
"""
KEYS = json.dumps([{"kid": "a", "alg": "HS256", "key": base64.urlsafe_b64encode(os.urandom(32)).decode()}])


def imported_by(*arguments: str) -> set[str]:
    """Return what a process has imported after a command with *arguments* exited with 0."""
    ran = subprocess.run(
        [sys.executable, "-c", IMPORTED, *arguments],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": os.pathsep.join(sys.path), "MONITOR_JWT__KEYS": KEYS},
        timeout=60,
    )
    return set(json.loads(ran.stdout.splitlines()[-1]))


@pytest.mark.parametrize("arguments", [("--version",), ("--help",)])
def test_version_and_help_import_no_command(arguments: tuple[str, ...]) -> None:
    imported = imported_by(*arguments)
    assert not imported & {"cryptography", "jwt", *HEAVY}
    assert not imported & {f"monitor.cli.{name}" for name in cli.COMMANDS}


def test_making_a_token_imports_no_server_and_no_database() -> None:
    imported = imported_by("token", "--role", "viewer", "--subject", "ci")
    assert not imported & set(HEAVY)


def test_help_lists_the_first_line_of_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    # As wide as the terminal is, lines are wrapped.
    shown = " ".join(capsys.readouterr().out.split())
    for name in cli.COMMANDS:
        summary = (import_module(f"monitor.cli.{name}").__doc__ or "").splitlines()[0]
        assert f"{name} {summary}" in shown


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("up", "--prot", "8001"), "unrecognized arguments: --prot 8001"),
        (("up", "--port", "http"), "'http' is not a port; give a number from 1 to 65535"),
        (("serve", "--processes", "0"), "'0' is not a count; give a whole number from 1"),
        (("work", "--concurrency", "many"), "'many' is not a count; give a whole number from 1"),
    ],
)
def test_a_wrong_argument_is_refused_with_the_usage_of_its_command(
    arguments: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    shown = capsys.readouterr().err
    assert ended.value.code == 2
    assert shown.startswith(f"usage: monitor {arguments[0]} ")
    assert says in shown
