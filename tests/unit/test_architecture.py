"""The house rules that neither import-linter nor ruff can say. ADR 0001 tells why they exist."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.domain.errors import MonitorError
from monitor.http.problems import status_of

ROOT = Path(__file__).parents[2]
DOMAIN = ROOT / "src/monitor/domain"
SOURCES = sorted(
    path
    for folder in ("src", "tests", "benchmarks", "alembic")
    for path in (ROOT / folder).rglob("*.py")
    if path != Path(__file__)
)
DOMAIN_MODULES = sorted(DOMAIN.rglob("*.py"))

MAX_LINES = 400
FORBIDDEN_WORDS = ("TODO", "FIXME", "XXX", "unittest.mock", "except: pass")

# fmt: off
VALUE_MODULES = frozenset({
    "__future__", "abc", "base64", "binascii", "bisect", "collections", "dataclasses", "datetime", "decimal", "email",
    "enum", "fractions", "functools", "hashlib", "heapq", "hmac", "ipaddress", "itertools", "json", "math",
    "operator", "re", "statistics", "string", "types", "typing", "urllib", "uuid",
})
# fmt: on
"""Standard modules whose functions depend on their arguments alone."""


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imported_names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def async_outside_protocols(node: ast.AST) -> Iterator[ast.AST]:
    """Find what suspends. A Protocol only describes what the shell will do, so its methods may be coroutines."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef) and any("Protocol" in ast.unparse(base) for base in child.bases):
            continue
        if isinstance(child, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            yield child
        else:
            yield from async_outside_protocols(child)


@pytest.mark.parametrize("path", DOMAIN_MODULES, ids=relative)
def test_a_domain_module_imports_values_msgspec_and_the_domain(path: Path) -> None:
    foreign = {
        name
        for name in imported_names(ast.parse(path.read_text("utf-8")))
        if name.partition(".")[0] not in VALUE_MODULES | {"msgspec"} and not f"{name}.".startswith("monitor.domain.")
    }
    assert not foreign


@pytest.mark.parametrize("path", [p for p in DOMAIN_MODULES if DOMAIN / "services" not in p.parents], ids=relative)
def test_only_services_and_protocols_are_asynchronous(path: Path) -> None:
    lines = [getattr(node, "lineno", 0) for node in async_outside_protocols(ast.parse(path.read_text("utf-8")))]
    assert not lines


def test_every_error_has_a_problem_row() -> None:
    def leaves(error: type[MonitorError]) -> Iterator[type[MonitorError]]:
        for child in error.__subclasses__():
            yield child
            yield from leaves(child)

    ours = [error for error in leaves(MonitorError) if error.__module__.startswith("monitor.")]
    assert ours
    assert not [error.__name__ for error in ours if status_of(error) == 500]


def test_no_file_is_too_long_to_read() -> None:
    # A suite is a list of examples, read one at a time; it may be long.
    sizes = {
        relative(path): len(path.read_text("utf-8").splitlines())
        for path in SOURCES
        if not path.name.startswith("test_")
    }
    assert not {path: size for path, size in sizes.items() if size > MAX_LINES}


def test_nothing_is_put_off_or_mocked() -> None:
    found = [
        f"{relative(path)}: {word}" for path in SOURCES for word in FORBIDDEN_WORDS if word in path.read_text("utf-8")
    ]
    assert not found
