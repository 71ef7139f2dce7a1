"""Rules about the code that no other tool checks."""

from __future__ import annotations

import ast
import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from advanced_alchemy.base import DefaultBase
from litestar import Litestar
from msgspec import Struct

import monitor
from monitor import cli
from monitor.bootstrap.container import Container
from monitor.bootstrap.server import build_app
from monitor.bootstrap.subscribers import INVALIDATION_RULES
from monitor.cli.commands import COMMANDS
from monitor.domain.errors import MonitorError
from monitor.domain.events import DomainEvent
from monitor.http.responses.problems import STATUS_OF
from monitor.settings.schema import Jwt, JwtKey, SecretKey, Secrets, Settings
from tests.unit.http.support import undeclared_routes

PACKAGE = Path(monitor.__file__).parent
DOMAIN = PACKAGE / "domain"
MIGRATIONS = PACKAGE / "migrations"
"""In an installed package alone; in a checkout they stand beside it."""
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if not path.is_relative_to(MIGRATIONS))
PURE = [path for path in SOURCES if path.is_relative_to(DOMAIN) and not path.is_relative_to(DOMAIN / "services")]
TESTS = Path(__file__).parents[1]
MAX_LINES = 400
WRITTEN = re.compile(r"\b(?:INSERT INTO|UPDATE|DELETE FROM|copy_records_to_table\()\s*\"?([a-z_]+)")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX)\b")


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def outside_protocols(node: ast.AST) -> Iterator[ast.AST]:
    """Walk everything but the bodies of Protocol classes."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef) and any(ast.unparse(base).startswith("Protocol") for base in child.bases):
            continue
        yield child
        yield from outside_protocols(child)


@pytest.mark.parametrize("path", PURE, ids=name_of)
def test_the_domain_decides_without_waiting(path: Path) -> None:
    waiting = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    found = [node for node in outside_protocols(ast.parse(path.read_text())) if isinstance(node, waiting)]
    assert [ast.unparse(node) for node in found] == []


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_file_can_be_read_in_one_go(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES


def test_a_file_of_tests_can_be_read_in_one_go() -> None:
    assert [path.name for path in TESTS.rglob("*.py") if len(path.read_text().splitlines()) > MAX_LINES] == []


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_nothing_is_left_for_later(path: Path) -> None:
    assert UNFINISHED.findall(path.read_text()) == []


def test_a_table_is_written_by_repositories_or_by_sql_and_never_by_both() -> None:
    """ADR 0002: what is configured is mapped and written through repositories; all else is not mapped."""
    mapped = {str(mapper.local_table) for mapper in DefaultBase.registry.mappers}
    assert mapped == {"webhooks", "webhook_secrets", "silences", "jobs"}
    written = {table for path in SOURCES for table in WRITTEN.findall(path.read_text())}
    assert {"deliveries", "attempts", "webhook_lanes"} < written
    assert mapped.isdisjoint(written)


def leaves(error: type[MonitorError]) -> Iterator[type[MonitorError]]:
    below = error.__subclasses__()
    if not below:
        yield error
    for child in below:
        yield from leaves(child)


@pytest.mark.parametrize("error", list(leaves(MonitorError)))
def test_every_error_has_a_status_of_its_own_or_its_parent(error: type[MonitorError]) -> None:
    assert any(parent in STATUS_OF for parent in error.__mro__)


@pytest.mark.parametrize("event", get_args(DomainEvent))
def test_every_event_has_a_subscriber_row(event: type[Struct]) -> None:
    assert event in INVALIDATION_RULES._rows


@pytest.fixture(scope="module")
def app() -> Litestar:
    # Routes do not depend on settings; these keys never sign or encrypt anything.
    unused = base64.urlsafe_b64encode(bytes(range(32))).decode()
    settings = Settings(
        database_url="postgresql://localhost/monitor",
        secrets=Secrets(keys=(SecretKey("unused", unused),)),
        jwt=Jwt(keys=(JwtKey("unused", "HS256", unused),)),
    )
    return build_app(Container(settings)).litestar


def test_every_route_declares_who_may_call_it(app: Litestar) -> None:
    assert undeclared_routes(app) == []


def test_few_routes_are_open(app: Litestar) -> None:
    open_paths = {
        f"{method} {route.path}"
        for route in app.routes
        for handler in getattr(route, "route_handlers", [])
        for method in handler.http_methods
        if method != "OPTIONS" and handler.opt.get("role", handler) is None
    }
    # It only removes a cookie, which may hold a token that is not good any more.
    assert {path for path in open_paths if " /api/" in path} == {"DELETE /api/v1/session"}


@pytest.mark.parametrize("command", [command.name for command in COMMANDS])
def test_every_command_explains_itself_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    assert f"usage: monitor {command}" in shown
    assert re.search(rf"^example: (\w+=\S+ )*monitor {command}\b", shown, re.MULTILINE)
