"""
The OpenAPI document: what Litestar generates from the routes, with the schemas of the library that does the checking.

Litestar finds paths, parameters and declared statuses. The rest is added here. Schemas come from msgspec, which reads
every request body and writes every response body, so that documentation and behaviour cannot differ. Every operation
gets its role, examples (:mod:`monitor.http.openapi.examples`) and response headers; every error a problem of its own.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from types import NoneType
from typing import Any

import msgspec
from litestar import Litestar, Response
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from monitor.domain.errors import MonitorError
from monitor.domain.vocab import Role
from monitor.http.middleware.rate_limit import API_BODY_BYTES
from monitor.http.openapi.examples import PARAMETERS, REQUESTS, RESPONSES, RESPONSES_OF
from monitor.http.openapi.responses import MEDIA_TYPES, example_problem
from monitor.http.requests.body import JSON
from monitor.http.responses.problems import MEDIA_TYPE, Problem

REF = "#/components/schemas/"
DOCUMENTED_AS = "documented_as"
"""The ``opt`` of a route with a body of one of several types, while another type reads it."""

PATCHES = "patches"
"""The ``opt`` of a merge patch: what the patched resource must look like."""

_JOBS = {"replay", "resend_event"}
"""Operations that answer with a job."""

_TIMES = {"at", "as_of"}
"""Times with names that do not end with ``_at``."""

_HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-ID": {"description": "Names this request in the log.", "schema": {"type": "string"}},
    "ETag": {"description": "Names this version, for If-None-Match and If-Match.", "schema": {"type": "string"}},
    "Location": {"description": "Where the new resource is.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}},
    "WWW-Authenticate": {"description": "RFC 6750: what is wrong with the token.", "schema": {"type": "string"}},
}
_HEADERS_OF = {
    401: ("WWW-Authenticate",),
    403: ("WWW-Authenticate",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}


def complete(app: Litestar) -> dict[str, Any]:
    """Return the whole document of *app* as plain objects."""
    document: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(app.openapi_schema.to_schema()))
    operations = list(_operations(app, document))
    types = [*_types(operations), Problem]
    schemas, components = msgspec.json.schema_components(types, ref_template=REF + "{name}")
    schema_of = dict(zip(types, schemas, strict=True))
    inlined = document["components"]["schemas"]
    for path, operation, handler in operations:
        _describe(operation, handler)
        for parameter in operation.get("parameters", ()):
            _complete_parameter(parameter, inlined)
        _complete_request(operation, handler, schema_of, components)
        # Whatever a route does, a fault of ours may end it.
        operation["responses"].setdefault("500", {"description": MonitorError.title})
        for status, response in operation["responses"].items():
            response["headers"] = dict(_headers(int(status), operation))
            if int(status) >= HTTPStatus.BAD_REQUEST:
                response["content"] = _problem_content(int(status), path, handler, schema_of[Problem])
            elif int(status) == HTTPStatus.NO_CONTENT:
                # Of a route that sets headers itself, Litestar declares that it answers a text.
                response.pop("content", None)
            elif response.get("content"):
                _complete_response(int(status), operation, response, handler, schema_of)
    for schema in components.values():
        _tidy(schema)
    document["components"]["schemas"] = dict(sorted(components.items()))
    document["components"]["headers"] = _HEADERS
    return document


def role_of(handler: HTTPRouteHandler) -> Role | None:
    """Return the role that *handler* needs; ``None`` if it is open to all."""
    role: Role | None = handler.opt["role"]
    return role


def _operations(app: Litestar, document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], HTTPRouteHandler]]:
    """Yield path, documented operation and handler."""
    for route in app.routes:
        if isinstance(route, HTTPRoute) and route.path_format in document["paths"]:
            item = document["paths"][route.path_format]
            for handler in route.route_handlers:
                for method in sorted(handler.http_methods):
                    if method.lower() in item:
                        yield route.path_format, item[method.lower()], handler


def _types(operations: list[tuple[str, dict[str, Any], HTTPRouteHandler]]) -> list[Any]:
    found: dict[Any, None] = {}
    for _, _, handler in operations:
        for types in (_request_types(handler), *_response_types(handler).values()):
            found.update(dict.fromkeys(types))
    return list(found)


def _request_types(handler: HTTPRouteHandler) -> Sequence[Any]:
    field = handler.parsed_data_field
    if field is None:
        return ()
    if PATCHES in handler.opt:
        return (handler.opt[PATCHES],)
    types: Sequence[Any] = handler.opt.get(DOCUMENTED_AS, (field.annotation,))
    return types


def _response_types(handler: HTTPRouteHandler) -> dict[int, list[Any]]:
    """Return the types of JSON responses by status; several are alternatives."""
    field = handler.parsed_return_field
    returned = field.inner_types[0] if field.is_subclass_of(Response) else field
    found = {
        status: [spec.data_container]
        for status, spec in (handler.responses or {}).items()
        if status < HTTPStatus.MULTIPLE_CHOICES and spec.data_container is not None
    }
    elsewhere = [type_ for types in found.values() for type_ in types]
    members = [inner.annotation for inner in returned.inner_types] if returned.is_union else [returned.annotation]
    types = [type_ for type_ in members if type_ not in {None, NoneType, bytes, *elsewhere}]
    return {**found, handler.status_code: types} if types else found


def _describe(operation: dict[str, Any], handler: HTTPRouteHandler) -> None:
    role = role_of(handler)
    operation["x-role"] = None if role is None else role.value
    if role is None:
        operation["security"] = []
    operation.pop("deprecated", None)


def _complete_parameter(parameter: dict[str, Any], inlined: dict[str, Any]) -> None:
    """Leave out what cannot be sent: a query string and a header hold no null."""
    schema = parameter["schema"]
    options = [option for option in schema.pop("oneOf", ()) if option != {"type": "null"}]
    for option in options:
        schema |= option
    if "$ref" in schema:
        schema |= inlined[schema.pop("$ref").removeprefix(REF)]
        schema.pop("title", None)
    if schema.get("default", 0) is None:
        del schema["default"]
    schema.pop("description", None)
    for name in ("deprecated", "allowEmptyValue", "allowReserved"):
        parameter.pop(name, None)
    if parameter["name"] in PARAMETERS:
        parameter["example"] = PARAMETERS[parameter["name"]]
    if parameter["in"] == "path":
        parameter.setdefault("description", "The id.")


def _complete_request(
    operation: dict[str, Any], handler: HTTPRouteHandler, schema_of: dict[Any, Any], components: dict[str, Any]
) -> None:
    field = handler.parsed_data_field
    if field is None:
        return
    schema = _one_of([schema_of[type_] for type_ in _request_types(handler)])
    if PATCHES in handler.opt:
        schema = _patch_of(schema, components)
    if field.is_optional:
        operation["requestBody"]["required"] = False
    examples = {
        f"example-{i}": {"summary": summary, "value": value}
        for i, (summary, value) in enumerate(REQUESTS[operation["operationId"]].items(), 1)
    }
    medium = {"schema": schema, "examples": examples}
    content = operation["requestBody"]["content"]
    operation["requestBody"]["content"] = dict.fromkeys(sorted({*content, JSON}), medium)


def _patch_of(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a merge patch: nothing is required, and null means the default where there is one."""
    name = schema["$ref"].removeprefix(REF)
    whole = components[name]
    members = {
        member: {"anyOf": [_without_default(rules), {"type": "null"}]} if "default" in rules else rules
        for member, rules in whole["properties"].items()
    }
    patch = f"{name.removesuffix('Spec')}Patch"
    components[patch] = {
        "title": patch,
        "description": "What is to change. Null puts a member back to its default.",
        "type": "object",
        "properties": members,
        "additionalProperties": False,
    }
    return {"$ref": REF + patch}


def _without_default(rules: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in rules.items() if name != "default"}


def _complete_response(
    status: int,
    operation: dict[str, Any],
    response: dict[str, Any],
    handler: HTTPRouteHandler,
    schema_of: dict[Any, Any],
) -> None:
    response["description"] = f"{HTTPStatus(status).phrase}."
    types = _response_types(handler).get(status, [])
    own = RESPONSES_OF.get(operation["operationId"])
    if isinstance(own, msgspec.Struct) and type(own) not in types:
        # Of another status of the operation.
        own = None
    examples = [RESPONSES[type_] for type_ in types] if own is None else [own]
    schemas = [schema_of[type_] for type_ in types] or [{"type": "string"}]
    response["content"] = {
        media_type: {
            "schema": _one_of(schemas),
            "examples": {
                f"example-{i}": {"value": msgspec.json.decode(msgspec.json.encode(example))}
                for i, example in enumerate(examples, 1)
            },
        }
        for media_type in ((JSON,) if types else handler.opt.get(MEDIA_TYPES, ("text/plain",)))
    }


def _one_of(schemas: list[dict[str, Any]]) -> dict[str, Any]:
    return schemas[0] if len(schemas) == 1 else {"oneOf": schemas}


def _problem_content(status: int, path: str, handler: HTTPRouteHandler, schema: dict[str, Any]) -> dict[str, Any]:
    limit = handler.resolve_request_max_body_size()
    example = example_problem(
        status,
        role=role_of(handler),
        instance=path.format_map(PARAMETERS),
        noun=path.rsplit("{", maxsplit=1)[-1].partition("_id}")[0],
        limit_bytes=limit if isinstance(limit, int) else API_BODY_BYTES,
    )
    value = msgspec.to_builtins(example)
    return {MEDIA_TYPE: {"schema": schema, "examples": {"problem": {"summary": example.title, "value": value}}}}


def _headers(status: int, operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, str]]]:
    names = ["X-Request-ID", *_HEADERS_OF.get(status, ())]
    if "304" in operation["responses"] and status in {200, 304}:
        names.append("ETag")
    if status == HTTPStatus.CREATED or (status == HTTPStatus.ACCEPTED and operation["operationId"] in _JOBS):
        names.append("Location")
    for name in names:
        yield name, {"$ref": f"#/components/headers/{name}"}


def _tidy(schema: dict[str, Any]) -> None:
    """Write docstrings as Markdown, and mark texts that are times."""
    if "description" in schema:
        schema["description"] = inspect.cleandoc(schema["description"]).replace("``", "`")
    for member, rules in schema.get("properties", {}).items():
        if member.endswith("_at") or member in _TIMES:
            for option in rules.get("anyOf", [rules]):
                if option.get("type") == "string":
                    option["format"] = "date-time"
