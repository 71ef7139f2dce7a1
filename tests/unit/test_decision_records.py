"""The checks that the decision records of ``docs/adr`` name exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECORDS = sorted((ROOT / "docs" / "adr").glob("0*.md"))
LINTER = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
CONTRACTS = {contract["name"]: contract for contract in LINTER["contracts"]}
SESSIONS = (ROOT / "noxfile.py").read_text(encoding="utf-8")


def named(pattern: str, record: Path) -> set[str]:
    """Return the words of all matches of *pattern*, which has one group."""
    return {word for found in re.findall(pattern, record.read_text(encoding="utf-8")) for word in found.split()}


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_a_contract_that_a_record_names_exists(record: Path) -> None:
    rows = re.findall(r"^\|.*\|$", record.read_text(encoding="utf-8"), re.MULTILINE)
    contracts = [name for row in rows for name in re.findall(r'"([^"`]+)"', row)]
    assert set(contracts) - CONTRACTS.keys() == set()


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_a_session_that_a_record_names_exists(record: Path) -> None:
    sessions = set(re.findall(r"^def (\w+)\(session", SESSIONS, re.MULTILINE)) | set(
        re.findall(r'name="(\w+)"', SESSIONS)
    )
    assert named(r"`nox -s ([\w ]+)`", record) - sessions == set()


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_a_benchmark_that_a_record_names_exists(record: Path) -> None:
    benchmarks = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
    assert named(r"`python -m benchmarks ([\w ]+)`", record) - benchmarks == set()


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_a_test_that_a_record_names_exists(record: Path) -> None:
    paths = named(r"`(tests/[\w/]+\.py)`", record)
    assert {path for path in paths if not (ROOT / path).exists()} == set()


def test_the_contract_of_the_pure_domain_covers_all_of_it_but_the_services() -> None:
    contract = CONTRACTS["The pure domain neither waits, reads the environment, nor logs"]
    domain = ROOT / "src" / "monitor" / "domain"
    parts = {path.stem for path in domain.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    covered = {module.removeprefix("monitor.domain.") for module in contract["source_modules"]}
    assert covered == parts - {"__init__", "services"}
