"""The OpenAPI document: complete, true, committed, and readable in a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import jsonschema
import msgspec
import pytest

from monitor.cli.openapi import document
from monitor.http.openapi import reference
from monitor.http.openapi.reference import POLICY
from monitor.http.requests.query import TEXT
from tests.integration.support import API, Api, assert_problem
from tests.integration.test_authorization import routes

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.json"
DOCUMENT: dict[str, Any] = msgspec.json.decode(document())
OPERATIONS = [
    pytest.param(path, method, operation, id=f"{method.upper()} {path}")
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
]
NOBODY = "00000000-0000-7000-8000-000000000000"
EVERYWHERE = {"400", "401", "403", "429", "503"}


def test_the_committed_document_is_that_of_the_code() -> None:
    assert COMMITTED.read_bytes().strip() == document().strip(), "run: monitor openapi > docs/openapi.json"


async def test_the_served_document_is_that_of_the_routes(api: Api) -> None:
    served = await api.get("/schema/openapi.json", role=None)
    assert served.json() == DOCUMENT
    assert served.headers["content-encoding"] == "gzip"
    seen = {"if-none-match": served.headers["etag"]}
    assert (await api.client.get("/schema/openapi.json", headers=seen)).status_code == 304


async def test_without_a_stored_document_it_is_generated(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "STORED", ())
    assert (await api.get("/schema/openapi.json", role=None)).json() == DOCUMENT


def test_every_route_is_documented_with_its_role(api: Api) -> None:
    documented = {
        (method.upper(), path): operation["x-role"]
        for path, item in DOCUMENT["paths"].items()
        for method, operation in item.items()
    }
    assert documented == {
        (method, path): role for method, path, role in routes(api.app) if not re.match(r"/(schema|assets|$)", path)
    }


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_an_operation_is_documented_in_full(path: str, method: str, operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert "500" in operation["responses"]
    role = operation["x-role"]
    if path.startswith(API):
        assert ("Open to all" if role is None else f"Role: {role}.") in operation["description"]
        if role is not None:
            # Those need no database.
            unneeded = {"503"} if path in {f"{API}/system/stats", f"{API}/session"} else set()
            assert operation["responses"].keys() >= EVERYWHERE - unneeded
    if "requestBody" in operation:
        assert operation["responses"].keys() >= {"413", "415", "422"}
    if "{" in path:
        assert "404" in operation["responses"]
    for parameter in operation.get("parameters", ()):
        assert parameter["description"], parameter["name"]
        if parameter["schema"].get("format") == "date-time":
            # One without an offset can be read, but says no time.
            assert "422" in operation["responses"], parameter["name"]


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_every_example_is_what_its_schema_says(path: str, method: str, operation: dict[str, Any]) -> None:
    media = [("request", medium) for medium in operation.get("requestBody", {}).get("content", {}).values()]
    for status, response in operation["responses"].items():
        if status not in {"204", "304"}:
            media += [(status, medium) for medium in response["content"].values()]
    for where, medium in media:
        schema = {**medium["schema"], "components": DOCUMENT["components"]}
        values = [example["value"] for example in medium["examples"].values()]
        assert values, where
        for value in values:
            jsonschema.Draft202012Validator(schema).validate(value)
            if isinstance(value, dict) and where[0] in "45":
                assert value["status"] == int(where)


@pytest.mark.parametrize("schema", DOCUMENT["components"]["schemas"].items(), ids=lambda item: item[0])
def test_times_say_that_they_are_times(schema: tuple[str, dict[str, Any]]) -> None:
    for name, rules in schema[1].get("properties", {}).items():
        kinds = {kind.get("format") for kind in rules.get("anyOf", [rules]) if kind.get("type") == "string"}
        if name.endswith("_at") or name in {"at", "as_of"}:
            assert kinds == {"date-time"}, name


def test_lists_have_one_type_of_items_since_generators_of_clients_read_no_tuples() -> None:
    assert b"prefixItems" not in document()
    schedule = DOCUMENT["components"]["schemas"]["RetryPolicy"]["properties"]["schedule_s"]
    assert schedule["items"] == {"type": "number", "minimum": 0, "maximum": 2_592_000}
    assert "The first is 0." in schedule["description"]


def test_no_content_has_no_content() -> None:
    operations = [operation for item in DOCUMENT["paths"].values() for operation in item.values()]
    answers = [answers["204"] for answers in (one["responses"] for one in operations) if "204" in answers]
    assert answers
    assert [answer for answer in answers if "content" in answer] == []


async def test_the_page_loads_what_is_there_and_nothing_from_elsewhere(api: Api) -> None:
    page = await api.get("/schema/swagger", role=None)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"] == POLICY
    assert "unsafe" not in POLICY.replace("style-src 'self' 'unsafe-inline'", "")
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(addresses) == 4
    for address in addresses:
        # With and without a slash at the end, and below whatever prefix a proxy has.
        (path,) = {urljoin(f"{page.request.url.path}{slash}", address) for slash in ("", "/")}
        assert path.startswith("/schema/")
        # Not by api.get, which looks for secrets: the document shows what one looks like.
        assert (await api.client.get(path)).status_code == 200
    assert_problem(await api.get("/schema/assets/old/open.js", role=None), 404)
    assert_problem(await api.get("/schema/nothing", role=None), 404, "not_found")


async def test_an_address_names_all_its_methods(api: Api) -> None:
    methods: dict[str, set[str]] = {}
    for method, path, _ in routes(api.app):
        methods.setdefault(re.sub(r"\{[^}]*\}", NOBODY, path), {"OPTIONS"}).update(
            {method, "HEAD"} if method == "GET" else {method}
        )
    for address, expected in methods.items():
        options = await api.call("OPTIONS", address, role=None)
        assert (options.status_code, options.headers["allow"]) == (204, ", ".join(sorted(expected)))
        wrong = assert_problem(await api.call("TRACE", address, role=None), 405)
        assert wrong["type"].endswith("method_not_allowed")


def filters() -> Iterator[Any]:
    for path, item in DOCUMENT["paths"].items():
        for parameter in item.get("get", {}).get("parameters", ()):
            if parameter["in"] == "query":
                address = re.sub(r"\{[^}]*\}", NOBODY, path)
                yield pytest.param(address, parameter["name"], id=f"{path}?{parameter['name']}")


@pytest.mark.parametrize(("path", "name"), list(filters()))
async def test_a_filter_that_says_nothing_or_two_things_is_refused(path: str, name: str, api: Api) -> None:
    for query in (f"{name}=a&{name}=b", *(() if name in TEXT else (f"{name}=null",))):
        problem = assert_problem(await api.get(f"{path}?{query}"), 400, "malformed")
        assert f"/query/{name}" in {error["pointer"] for error in problem["errors"]}
