"""
What tries the lists of attacks in ``tests/cases``, and one line for each at the end: tried, as expected, wrong.

A test is of a list by its mark ``attacks("LIST")`` and tries one of its cases.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests import servers


@pytest.fixture(scope="session")
def postgres() -> Iterator[servers.Postgres]:
    with servers.postgres() as server:
        yield server


@pytest.fixture(autouse=True)
def _listed(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> None:
    if mark := request.node.get_closest_marker("attacks"):
        record_property("attacks", mark.args[0])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    counts = {state: Counter[str]() for state in ("passed", "failed", "error")}
    for state, count in counts.items():
        for report in terminalreporter.stats.get(state, []):
            count.update(str(value) for name, value in report.user_properties if name == "attacks")
    wrong = counts["failed"] + counts["error"]
    lists = sorted(counts["passed"] | wrong)
    if lists:
        terminalreporter.section("lists of attacks")
        line = "{:<46} {:>7} {:>11} {:>7}"
        terminalreporter.write_line(line.format("list", "tried", "as expected", "wrong"))
        for name in lists:
            as_expected = counts["passed"][name]
            terminalreporter.write_line(line.format(name, as_expected + wrong[name], as_expected, wrong[name]))
