"""What ``monitor up`` prints."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from monitor.adapters.local_keys import LocalKey, LocalKeys
from monitor.cli.up import local_settings, program, quiet
from monitor.settings.schema import Db, Log, Settings


@pytest.mark.parametrize("style", ["console", "json", "auto"])
def test_only_warnings_follow_the_dashboards_link_in_a_terminal_and_in_a_pipe(
    style: Literal["console", "json", "auto"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MONITOR_LOG__LEVEL", raising=False)
    assert quiet(Settings(log=Log(format=style))).log == Log(level="warning", format=style)


def test_a_level_that_was_chosen_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITOR_LOG__LEVEL", "info")
    assert quiet(Settings(log=Log(format="console"))).log.level == "info"


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


def test_the_page_is_at_the_commands_own_address_unless_another_is_set() -> None:
    keys = LocalKeys(token=LocalKey("a", "x" * 43), secrets=LocalKey("b", "y" * 43))
    own = "http://127.0.0.1:8000/"
    assert local_settings(Settings(), "postgresql:///x", keys, own).public_url == own
    chosen = Settings(public_url="https://monitor.example.com/")
    assert local_settings(chosen, "postgresql:///x", keys, own).public_url == "https://monitor.example.com/"


def test_a_pooler_of_another_database_is_left_out() -> None:
    keys = LocalKeys(token=LocalKey("a", "x" * 43), secrets=LocalKey("b", "y" * 43))
    behind = Settings(db=Db(read_pool=3, direct_url="postgresql://db.internal/monitor"))
    assert local_settings(behind, "postgresql:///x", keys, "http://127.0.0.1:8000/").db == Db(read_pool=3)
