"""What the fault proof measures, told as a table at its end, and the database that its systems are copied from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.support import Figure, Figures, scratch
from benchmarks.written import Run, line, machine, write_run
from tests.faults.system import make_template
from tests.integration.cache.processes import LONG
from tests.servers import in_thread

COMMAND = "MONITOR_TEST_LONG=1 nox -s faults" if LONG else "nox -s faults"
MEASURED = pytest.StashKey[list[Figure]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--figures", type=Path, metavar="FILE", help="write what the fault proof measured here, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[MEASURED] = []


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Iterator[Figures]:
    """Collects what a test measures, and fails it if a bar is missed."""
    made = Figures("faults")
    yield made
    request.config.stash[MEASURED] += made.all
    missed = [figure for figure in made.all if figure.holds is False]
    assert not missed


@pytest.fixture(scope="session")
def template() -> Iterator[Path]:
    """A migrated database at rest."""
    with scratch() as directory:
        in_thread(lambda: make_template(directory / "template"))
        yield directory / "template"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    measured = config.stash[MEASURED]
    if not measured:
        return
    terminalreporter.section("faults")
    for figure in measured:
        terminalreporter.write_line(line(figure))
    if (file := config.getoption("figures", None)) is not None:
        write_run(file, Run("Faults", COMMAND, machine(), measured))
