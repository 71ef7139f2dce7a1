"""
openapi-python-client reads the document without a warning, and its client calls and decodes every operation.

``nox -s clients`` installs it and says in CLIENT_GENERATOR where it is.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_type_hints
from uuid import UUID

import msgspec
import pytest

from monitor.bootstrap.container import Container
from monitor.domain.vocab import Role
from tests.clients.generation import run, write_document
from tests.integration.support import signer
from tests.integration.test_every_route import NOBODY, OPERATIONS, Operation, Stage

PACKAGE = "generated_monitor_client"
TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)")


@pytest.fixture(scope="module")
async def package(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    folder = tmp_path_factory.mktemp("python") / PACKAGE
    config = folder.with_name("config.json")
    config.write_bytes(msgspec.json.encode({"post_hooks": []}))
    generator, options = os.environ["CLIENT_GENERATOR"], ("--meta", "none", "--fail-on-warning", "--config", config)
    where = ("--path", write_document(folder.parent), "--output-path", folder)
    await run(generator, "generate", *where, *options, cwd=folder.parent)
    places = [str(folder)]
    spec = importlib.util.spec_from_file_location(PACKAGE, folder / "__init__.py", submodule_search_locations=places)
    assert spec is not None
    assert spec.loader is not None
    made = sys.modules[PACKAGE] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture
async def client(package: ModuleType, parts: Container, stage: Stage) -> AsyncIterator[Any]:
    url, token = str(stage.api.client.base_url), signer(parts)(Role.ADMIN, "ada")
    async with package.AuthenticatedClient(base_url=url, token=token) as client:
        yield client


async def test_every_operation_is_called_and_decoded(client: Any, stage: Stage) -> None:
    for operation in in_order():
        response = await called(operation, client, stage)
        assert response.status_code.value in {200, 201, 202, 204}, (operation.id, response.content)
        assert_decoded(operation, response)


async def test_the_other_answers_of_operations_that_have_two(client: Any, stage: Stage) -> None:
    for id_, changes in (
        ("replay", {"dry_run": True}),
        ("bulk_deliveries", {"dry_run": True}),
        ("publish", {"events": [{"type": "a.b", "payload": {"x": [1, None]}}]}),
    ):
        operation = next(operation for operation in OPERATIONS if operation.id == id_)
        whole = changes if id_ == "publish" else stage.bodies()[id_] | changes
        response = await called(operation, client, stage, body=whole)
        assert response.status_code.value in {200, 202}
        assert_decoded(operation, response)


async def test_an_error_is_decoded_as_a_problem(client: Any, package: ModuleType, stage: Stage) -> None:
    operation = next(operation for operation in OPERATIONS if operation.id == "get_webhook")
    stage.ids["webhook_id"] = NOBODY
    response = await called(operation, client, stage)
    problem = sys.modules[f"{PACKAGE}.models.problem"].Problem
    assert isinstance(response.parsed, problem)
    assert response.parsed.status == response.status_code.value == 404
    assert_decoded(operation, response)


async def test_a_schedule_is_a_list_of_numbers(client: Any, stage: Stage) -> None:
    create = next(operation for operation in OPERATIONS if operation.id == "create_webhook")
    schedule = [0, 2.5, 60]
    body = stage.bodies()["create_webhook"] | {"retry": {"schedule_s": schedule}}
    response = await called(create, client, stage, body=body)
    assert response.parsed.retry.schedule_s == schedule


def in_order() -> Iterator[Operation]:
    """Yield every operation; what ends a thing comes last."""
    last = ("resolve_alert", "cancel_delivery", "cancel_job", "end_silence", "delete_webhook")
    yield from sorted(OPERATIONS, key=lambda operation: last.index(operation.id) if operation.id in last else -1)


async def called(operation: Operation, client: Any, stage: Stage, body: Any = None) -> Any:
    """Call *operation* by its generated function, and return the response with what was ``parsed``."""
    function = function_of(operation)
    hints = get_type_hints(function)
    given: dict[str, Any] = {"client": client}
    for name in inspect.signature(function).parameters:
        if name in stage.ids:
            given[name] = UUID(stage.ids[name])
        elif name == "body":
            given[name] = decoded_body(hints[name], stage.bodies()[operation.id] if body is None else body)
        elif name == "limit":
            given[name] = 1
    return await function(**given)


def function_of(operation: Operation) -> Callable[..., Any]:
    (found,) = Path(sys.modules[PACKAGE].__path__[0], "api").glob(f"*/{operation.id}.py")
    module = importlib.import_module(f"{PACKAGE}.api.{found.parent.name}.{operation.id}")
    function: Callable[..., Any] = module.asyncio_detailed
    return function


def decoded_body(hint: Any, value: Any) -> Any:
    """Return *value* as the first type of *hint* that it fits."""
    types = [type_ for type_ in get_args(hint) or (hint,) if hasattr(type_, "from_dict")]
    assert types, hint
    for type_ in types:
        try:
            made = type_.from_dict(value)
        except KeyError:
            continue
        assert plain(made) == normal(value)
        return made
    raise AssertionError(f"{value} fits none of {types}")


def assert_decoded(operation: Operation, response: Any) -> None:
    """Check that what was parsed is all of what was sent, and nothing that the document does not name."""
    if response.status_code.value == 204:
        assert response.parsed is None
    elif operation.id == "metrics":
        assert response.parsed == response.content.decode()
    else:
        assert response.parsed is not None, operation.id
        assert plain(response.parsed) == normal(msgspec.json.decode(response.content)), operation.id
        assert undeclared(response.parsed) == [], operation.id


def plain(value: Any) -> Any:
    """Return a generated object as it goes over the wire."""
    return normal(value.to_dict() if hasattr(value, "to_dict") else value)


def normal(value: Any) -> Any:
    """Return *value* with times in one notation."""
    if isinstance(value, dict):
        return {name: normal(member) for name, member in value.items()}
    if isinstance(value, list):
        return [normal(member) for member in value]
    if isinstance(value, str) and TIME.fullmatch(value):
        return datetime.fromisoformat(value)
    return value


def undeclared(value: Any) -> list[str]:
    """Return the members that generated objects hold beside those that they declare."""
    if isinstance(value, list):
        return [name for item in value for name in undeclared(item)]
    fields = {field.name for field in getattr(type(value), "__attrs_attrs__", ())}
    declared = fields - {"additional_properties"}
    found = list(value.additional_properties) if declared and "additional_properties" in fields else []
    return found + [name for field in declared for name in undeclared(getattr(value, field))]
