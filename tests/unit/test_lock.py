"""The lock fits pyproject.toml; `nox -s lock` resolves it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DEPENDENCIES = [Requirement(text) for text in PROJECT["project"]["dependencies"]]
GROUPS = [
    Requirement(text) for group in PROJECT["dependency-groups"].values() for text in group if isinstance(text, str)
]
BOUNDED = {"asyncpg", "dogpile.cache", "litestar", "sqlalchemy", "uvicorn"}
"""Libraries of which we subclass or call what they may change without notice."""
LOWEST = {"litestar": "2.23.0"}
"""Bounds that are easily set too low: no earlier Litestar can be imported by what we use of it."""


def pins(file: str) -> dict[str, list[str]]:
    """Return the versions of each package in a lock: one, or several with a marker each."""
    found: dict[str, list[str]] = {}
    for name, version in re.findall(
        r"^([^\s#=]+)==([^\s;\\]+)", (ROOT / "requirements" / file).read_text(), re.MULTILINE
    ):
        found.setdefault(name, []).append(version)
    return found


@pytest.mark.parametrize(
    ("file", "requirements"),
    [("lock.txt", DEPENDENCIES), ("ci.txt", DEPENDENCIES + GROUPS)],
    ids=["lock.txt", "ci.txt"],
)
def test_every_dependency_is_pinned_within_its_bounds(file: str, requirements: list[Requirement]) -> None:
    locked = pins(file)
    for requirement in requirements:
        versions = locked.get(canonicalize_name(requirement.name))
        assert versions, f"{requirement.name} is not in {file}"
        assert all(requirement.specifier.contains(version) for version in versions), requirement


def test_ci_tests_the_versions_that_deployments_install() -> None:
    assert pins("lock.txt").items() <= pins("ci.txt").items()


def test_every_dependency_has_a_lower_bound_and_those_we_reach_into_an_upper_one() -> None:
    for requirement in DEPENDENCIES:
        operators = {one.operator for one in requirement.specifier}
        assert operators == ({">=", "<"} if requirement.name in BOUNDED else {">="}), requirement


def test_no_lower_bound_allows_what_does_not_start() -> None:
    for name, lowest in LOWEST.items():
        (requirement,) = [one for one in DEPENDENCIES if one.name == name]
        (bound,) = [one.version for one in requirement.specifier if one.operator == ">="]
        assert Version(bound) >= Version(lowest), f"{requirement}: {lowest} is the first that starts"


def test_every_tool_of_the_tests_has_a_lower_bound() -> None:
    # `nox -s lowest` installs them at theirs.
    for requirement in GROUPS:
        assert [one.operator for one in requirement.specifier].count(">=") == 1, requirement
