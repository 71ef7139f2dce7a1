"""Everything here is what `nox -s deploy` runs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.settings.document import describe
from tests import servers

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"

KNOWN = frozenset(setting.name for setting in describe())
"""The names of all settings."""


def output(*command: str) -> str:
    """Run *command*; return what it prints, and fail with that if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.deploy)


@pytest.fixture(scope="session")
def postgres() -> Iterator[servers.Postgres]:
    with servers.postgres() as server:
        yield server
