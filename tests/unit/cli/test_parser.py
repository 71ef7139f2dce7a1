"""The commands as they are typed: what the parser lists, what each imports, how it refuses and completes."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from monitor import cli
from monitor.cli.commands import COMMANDS, SHELLS
from monitor.cli.completion import bash, fish, zsh

HEAVY = (
    "aiohttp", "alembic", "asyncio", "asyncpg", "litestar", "prometheus_client", "redis", "rich", "sqlalchemy",
    "structlog", "uvicorn", "uvloop", "websockets", "yaml",
)  # fmt: skip
CRYPTOGRAPHIC = ("cryptography", "jwt")
IMPORTED = """
import json, sys
from monitor.cli import main
try:
    code = main(sys.argv[1:])
except SystemExit as end:
    code = end.code
print(json.dumps([code, sorted(sys.modules)]))
"""
KEYS = json.dumps([{"kid": "a", "alg": "HS256", "key": base64.urlsafe_b64encode(os.urandom(32)).decode()}])
NAMES = [command.name for command in COMMANDS]


def imported_by(*arguments: str, code: int = 0, **settings: str) -> set[str]:
    """Return what a process has imported after a command with *arguments*, which exited with *code*."""
    ran = subprocess.run(
        [sys.executable, "-c", IMPORTED, *arguments],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": os.pathsep.join(sys.path), **{f"MONITOR_{name}": text for name, text in settings.items()}},
        timeout=60,
    )
    ended, modules = json.loads(ran.stdout.splitlines()[-1])
    assert ended == code, ran.stderr
    return set(modules)


@pytest.mark.parametrize("arguments", [("--version",), ("--help",), *((name, "--help") for name in NAMES)])
def test_version_and_help_import_nothing_that_a_command_needs(arguments: tuple[str, ...]) -> None:
    imported = imported_by(*arguments)
    assert not imported.intersection(HEAVY, CRYPTOGRAPHIC)
    assert not imported.intersection(f"monitor.cli.{name}" for name in NAMES)


@pytest.mark.parametrize("arguments", [("up", "--prot", "1"), ("ups",), ("serve",), ("work",), ("up",), ("doctor",)])
def test_what_is_refused_as_typed_or_configured_imports_nothing_either(arguments: tuple[str, ...]) -> None:
    imported = imported_by(*arguments, code=2, WORKER__RENEW_S="1e6")
    assert not imported.intersection(HEAVY, CRYPTOGRAPHIC)


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_imports_nothing_that_a_command_needs(shell: str) -> None:
    assert not imported_by("completion", shell).intersection(HEAVY, CRYPTOGRAPHIC)


def test_making_a_token_imports_no_server_and_no_database() -> None:
    assert not imported_by("token", "--role", "viewer", "--subject", "ci", JWT__KEYS=KEYS).intersection(HEAVY)


def test_migrate_and_doctor_import_no_server() -> None:
    for command, code in (("migrate", 2), ("doctor", 1)):
        imported = imported_by(command, code=code)
        assert not imported.intersection(("prometheus_client", "uvicorn", "uvloop"))
        assert not [name for name in imported if name.startswith(("monitor.http", "monitor.worker"))]


def test_help_lists_the_first_line_of_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    # As wide as the terminal is, lines are wrapped.
    shown = " ".join(capsys.readouterr().out.split())
    for command in COMMANDS:
        assert f"{command.name} {command.summary}" in shown


def test_every_command_has_its_module() -> None:
    for name in NAMES:
        assert callable(import_module(f"monitor.cli.{name}").run)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("up", "--prot", "8001"), "unrecognized arguments: --prot 8001; did you mean --port?"),
        (("up", "--prot=8001"), "unrecognized arguments: --prot=8001; did you mean --port?"),
        (("up", "now"), "unrecognized arguments: now\n"),
        (("token", "--role", "vewer"), "; did you mean viewer?"),
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


@pytest.mark.parametrize("command", ["diff", "apply"])
def test_an_error_is_no_difference(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--file", "x"])
    assert ended.value.code == 1
    assert cli.main([command, "x.yaml"]) == 1
    assert "no token" in capsys.readouterr().err


def test_a_command_that_is_nearly_one_is_suggested(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["sreve"])
    shown = capsys.readouterr().err
    assert ended.value.code == 2
    assert shown.startswith("usage: monitor ")
    assert shown.rstrip().endswith("; did you mean serve?")


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        (["u"], ["up"]),
        (["serve", "--p"], ["--port", "--processes"]),
        (["serve", "--inh"], []),
        (["token", "--role", "v"], ["viewer"]),
        (["token", "--subject", "v"], []),
        (["export", "deli"], ["deliveries"]),
        (["export", "--format", "c"], ["csv"]),
        (["apply", "--pr"], ["--prune"]),
        (["tail", "--topic", "anomalies"], ["anomalies"]),
        (["completion", "f"], ["fish"]),
        (["up", "--data-dir", "some"], ["some-data"]),
    ],
)
def test_bash_completes_commands_options_and_values(line: list[str], completed: list[str], tmp_path: Path) -> None:
    (tmp_path / "some-data").mkdir()
    words = " ".join(["monitor", *line])
    code = f'{bash()}\nCOMP_WORDS=({words}) COMP_CWORD={len(line)}\n_monitor\nprintf "%s\\n" "${{COMPREPLY[@]}}"'
    ran = subprocess.run(["bash", "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert ran.stdout.split() == completed


@pytest.mark.parametrize(("shell", "script"), [("bash", bash()), ("zsh", zsh()), ("fish", fish())])
def test_completion_prints_the_script_of_a_shell(shell: str, script: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", shell]) == 0
    assert capsys.readouterr().out == script
    for command in COMMANDS:
        assert command.name in script


def test_the_script_of_fish_names_each_option_with_its_help() -> None:
    lines = fish().splitlines()
    here = "complete -c monitor -n '__fish_seen_subcommand_from token'"
    assert f"{here} -l role -x -a 'viewer operator admin publisher' -d 'role of the token'" in lines
    assert f"{here} -l data-dir -r -F -d 'data directory of the `monitor up` that the token is for'" in lines
    assert not any("inherited" in line for line in lines)
