"""Every statement has a line in docs/STATEMENTS.md that names what bounds its rows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[4]
ADAPTERS = ROOT / "src/monitor/adapters/postgres"
DOCUMENT = ROOT / "docs/STATEMENTS.md"

SQL = re.compile(r"\s*(?:--[^\n]*\n|\(|\s)*(?:SELECT|INSERT|UPDATE|DELETE|WITH|CREATE|DROP|ALTER|LOCK|SET|LISTEN)\b")
PART = re.compile(r"^\s*(?:DELETE FROM|INSERT INTO|UPDATE) \w", re.MULTILINE)
"""Where a statement begins with one that is composed into it."""
READS = {"get_one_or_none", "get_many", "delete_where", "scalars"}
WRITES = {"add", "update"}
REPOSITORIES = {"_webhooks", "_secrets", "_jobs", "_silences"}
"""Members that are repositories of SQLAlchemy, whose calls are statements without text."""

LINE = re.compile(
    r"^\| `adapters/postgres/(?P<file>[\w/]+\.py)` \| (?P<names>[^|]+) \| [^|]+ \| [^|]+ \|$",
    re.MULTILINE,
)


def text_of(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or "{}" for part in node.values)
    return ""


def is_statement(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant | ast.JoinedStr):
        return SQL.match(text_of(node)) is not None or PART.search(text_of(node)) is not None
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return False
    of = node.func.value
    is_repository = isinstance(of, ast.Attribute) and of.attr in REPOSITORIES
    return node.func.attr in READS or (node.func.attr in WRITES and is_repository)


def statements(node: ast.AST, owner: str = "") -> Iterator[str]:
    """Yield the constant, or the function or method, in which each statement stands."""
    for child in ast.iter_child_nodes(node):
        name = owner
        if not owner and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            name = child.name
        elif not owner and isinstance(child, ast.Assign) and isinstance(child.targets[0], ast.Name):
            name = child.targets[0].id
        if is_statement(child):
            yield name
        yield from statements(child, name)


def found() -> set[tuple[str, str]]:
    return {
        (str(file.relative_to(ADAPTERS)), name)
        for file in ADAPTERS.rglob("*.py")
        for name in statements(ast.parse(file.read_text()))
    }


def documented() -> list[tuple[str, str]]:
    lines = LINE.finditer(DOCUMENT.read_text())
    return [(line["file"], name) for line in lines for name in re.findall(r"`(\w+)`", line["names"])]


def test_each_statement_has_one_line_and_each_line_a_statement() -> None:
    lines = documented()
    assert len(lines) == len(set(lines))
    missing, gone = found() - set(lines), set(lines) - found()
    assert (missing, gone) == (set(), set())


def test_every_line_of_the_table_is_read() -> None:
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    assert len(rows) == len(LINE.findall(DOCUMENT.read_text()))


def test_a_statement_is_recognised_in_each_of_its_forms() -> None:
    source = '''
ONE = f"""
SELECT {x} FROM t"""
OTHER = f"""{ONE}, gone AS (
    DELETE FROM t)"""
class Store:
    async def two(self): await c.execute("DELETE FROM t")
    async def three(self): await self._jobs.add(row)
    async def four(self): return await session.scalars(query)
    def none(self): self._names.add("Select one.")
'''
    assert list(dict.fromkeys(statements(ast.parse(source)))) == ["ONE", "OTHER", "two", "three", "four"]
