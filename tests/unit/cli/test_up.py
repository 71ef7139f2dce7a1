"""``monitor up`` where a person reads along."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.cli.up import program, quiet_for_people
from monitor.settings.schema import Log, Settings


def test_on_a_terminal_only_warnings_follow_the_dashboards_link(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MONITOR_LOG__LEVEL", raising=False)
    assert quiet_for_people(Settings(log=Log(format="console"))).log.level == "warning"


def test_a_level_that_was_chosen_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITOR_LOG__LEVEL", "info")
    assert quiet_for_people(Settings(log=Log(format="console"))).log.level == "info"


def test_what_is_not_a_terminal_gets_a_line_for_each_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MONITOR_LOG__LEVEL", raising=False)
    assert quiet_for_people(Settings(log=Log(format="json"))).log.level == "info"


def test_the_hint_names_the_command_as_it_can_be_typed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.argv", [".venv/bin/monitor", "up"])
    assert program() == ".venv/bin/monitor"
    monkeypatch.setattr("sys.argv", ["src/monitor/__main__.py", "up"])
    assert program() == "monitor"
    installed = tmp_path / "monitor"
    installed.touch(mode=0o755)
    monkeypatch.setattr("sys.argv", [str(installed), "up"])
    assert program() == "monitor"
