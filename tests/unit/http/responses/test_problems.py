"""Every error is a problem, whoever raised it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

import msgspec
import pytest
from litestar import get
from litestar.exceptions import HTTPException, InternalServerException, NotAuthorizedException
from litestar.params import FromQuery
from litestar.testing import TestClient, create_test_client
from structlog.testing import capture_logs

from monitor.domain import errors
from monitor.domain.errors import MonitorError
from monitor.domain.vocab import Role
from monitor.http.middleware.stack import Application
from monitor.http.responses.problems import STATUS_OF, TYPE_PREFIX, exception_handlers, field_error, status_of


def leaves(cls: type[MonitorError] = MonitorError) -> Iterator[type[MonitorError]]:
    for sub in cls.__subclasses__():
        yield sub
        yield from leaves(sub)


def problem(response: Any, status: int, slug: str) -> dict[str, Any]:
    """Assert that *response* is the problem *slug* and return its members."""
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["type"] == TYPE_PREFIX + slug
    assert body["status"] == status
    assert body["request_id"] == response.headers["x-request-id"]
    assert body.keys() <= {"type", "title", "status", "detail", "instance", "request_id", "errors"}
    return body


@pytest.mark.parametrize("leaf", list(leaves()), ids=lambda leaf: leaf.__name__)
def test_every_error_of_ours_has_a_row(leaf: type[MonitorError]) -> None:
    assert any(cls in STATUS_OF for cls in leaf.__mro__)
    assert 400 <= status_of(leaf) < 600
    assert status_of(leaf) != 500


def test_the_base_error_is_no_answer_of_its_own() -> None:
    assert status_of(MonitorError) == 500


def test_an_error_of_ours_keeps_its_title_and_detail_apart(client: TestClient[Application]) -> None:
    assert problem(client.get("/missing?secret=1"), 404, "not_found") == {
        "type": "urn:monitor:problem:not_found",
        "title": errors.NotFound.title,
        "status": 404,
        "detail": "There is no such order.",
        "instance": "/missing",
        "request_id": "made-1",
    }


def test_unavailable_says_when_to_come_back_in_whole_seconds(client: TestClient[Application]) -> None:
    response = client.get("/down")
    problem(response, 503, "unavailable")
    assert response.headers["retry-after"] == "3"


def test_too_many_requests_say_when_to_come_back(client: TestClient[Application], token: Callable[..., str]) -> None:
    headers = {"Authorization": f"Bearer {token()}"}
    assert [client.get("/rows", headers=headers).status_code for _ in range(3)] == [200] * 3
    response = client.get("/rows", headers=headers)
    problem(response, 429, "too_many_requests")
    assert response.headers["retry-after"] == "3"


def test_an_unexpected_error_tells_the_log_everything_and_the_client_nothing(client: TestClient[Application]) -> None:
    with capture_logs() as logs:
        response = client.get("/broken", headers={"X-Request-ID": "r-1"})
    problem(response, 500, "internal")
    assert "hunter2" not in response.text
    assert "RuntimeError" not in response.text
    (line,) = [line for line in logs if line["log_level"] == "error"]
    assert line["event"] == "unexpected_error"
    assert line["request_id"] == "r-1"
    assert isinstance(line["exc_info"], RuntimeError)


@pytest.mark.parametrize("path", ["/nowhere", "/nowhere?token=secret", "/viewer/not-a-uuid", "/%22%3Cx%3E", "/é"])
def test_an_unknown_path_is_a_problem_without_its_query(path: str, client: TestClient[Application]) -> None:
    body = problem(client.get(path), 404, "not_found")
    assert "secret" not in json.dumps(body)
    assert body["instance"].isascii()
    assert '"' not in body["instance"]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE"])
def test_a_wrong_method_is_a_problem_that_lists_the_right_ones(method: str, client: TestClient[Application]) -> None:
    response = client.request(method, "/open")
    problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "GET, HEAD, OPTIONS"


def test_options_lists_the_methods_without_a_token(client: TestClient[Application]) -> None:
    response = client.options("/admin")
    assert response.status_code == 204
    assert response.headers["allow"] == "GET, HEAD, OPTIONS"


def test_a_bad_host_header_is_a_problem(client: TestClient[Application]) -> None:
    problem(client.get("/open", headers={"Host": "a b"}), 400, "malformed")


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limit=0", "/query/limit"),
        ("limit=201", "/query/limit"),
        ("limit=s3cret", "/query/limit"),
        ("cursor=s3cret!", "/query/cursor"),
        ("cursor=" + "s3cret" * 20, "/query/cursor"),
    ],
)
def test_a_bad_parameter_is_pointed_at_and_not_echoed(
    query: str, pointer: str, client: TestClient[Application], token: Callable[..., str]
) -> None:
    response = client.get(f"/rows?{query}", headers={"Authorization": f"Bearer {token()}"})
    body = problem(response, 400, "malformed")
    assert [error["pointer"] for error in body["errors"]] == [pointer]
    assert "s3cret" not in response.text


@pytest.mark.parametrize(
    ("raised", "status", "slug"),
    [
        (NotAuthorizedException("driver text"), 401, "invalid_token"),
        (HTTPException("driver text", status_code=418), 500, "internal"),
        (InternalServerException("driver text"), 500, "internal"),
        (InternalServerException("client disconnected prematurely"), 400, "malformed"),
        # What a client sends is read before: this is something of ours, stored in another shape.
        (msgspec.ValidationError("driver text"), 500, "internal"),
        (msgspec.DecodeError("driver text"), 500, "internal"),
        (MonitorError("driver text"), 500, "internal"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_of_a_library_is_translated_without_its_text(raised: Exception, status: int, slug: str) -> None:
    @get("/", sync_to_thread=False)
    def fail() -> None:
        raise raised

    with create_test_client(
        fail, exception_handlers=exception_handlers(), logging_config=None, openapi_config=None
    ) as client:
        response = client.get("/")
    assert (response.status_code, response.json()["type"]) == (status, TYPE_PREFIX + slug)
    assert "driver text" not in response.text


def test_an_enum_parameter_is_refused_without_repeating_its_value() -> None:
    @get("/", sync_to_thread=False)
    def by_role(role: FromQuery[Role]) -> None:
        """Never reached."""

    with create_test_client(
        by_role, exception_handlers=exception_handlers(), logging_config=None, openapi_config=None
    ) as client:
        response = client.get("/?role=s3cret")
    assert response.status_code == 400
    detail = "Not one of the allowed values (viewer, operator, admin, publisher)"
    assert response.json()["errors"] == [{"pointer": "/query/role", "detail": detail}]


@pytest.mark.parametrize(
    ("message", "pointer", "detail"),
    [
        ("Expected `int`, got `str` - at `$.a[10].b_c`", "/a/10/b_c", "Must be a whole number, not text"),
        ("Expected `object`, got `array`", "", "Must be an object, not a list"),
        ("Object missing required field `x` - at `$.y`", "/y/x", "The required member `x` is missing"),
        ("Object contains unknown field `a/~b`", "/a~1~0b", "Unknown member `a/~b`"),
        ("Expected `str`, got `int` - at `$.labels[...]`", "/labels", "Must be text, not a whole number"),
        ("Expected `str`, got `int` - at `$[...].a[2]`", "", "Must be text, not a whole number"),
        ("Expected `int`, got `str` - at `key` in `$.m`", "/m", "Must be a whole number, not text"),
        ("Invalid enum value 'x' - at `$.e`", "/e", "Not one of the allowed values"),
    ],
)
def test_a_msgspec_message_becomes_a_json_pointer(message: str, pointer: str, detail: str) -> None:
    error = field_error(msgspec.ValidationError(message), Any)
    assert (error.pointer, error.detail) == (pointer, detail)


class Inner(msgspec.Struct):
    mode: Literal["fast", "slow"] | None = None


class Outer(msgspec.Struct):
    role: Role = Role.VIEWER
    ordered: bool | Literal["key"] = False
    roles: Annotated[list[Role], msgspec.Meta(max_length=3)] = []
    inner: tuple[Inner, ...] = ()
    named: dict[str, Inner] = {}
    by_role: dict[Role, int] = {}
    flag: bool = False


@pytest.mark.parametrize(
    ("body", "pointer", "allowed"),
    [
        ({"role": "s3cret"}, "/role", "viewer, operator, admin, publisher"),
        ({"role": 5}, "/role", "viewer, operator, admin, publisher"),
        ({"ordered": "s3cret"}, "/ordered", "false, true, key"),
        ({"ordered": 1}, "/ordered", "false, true, key"),
        ({"roles": ["admin", "s3cret"]}, "/roles/1", "viewer, operator, admin, publisher"),
        ({"inner": [{}, {"mode": "s3cret"}]}, "/inner/1/mode", "fast, slow"),
        ({"named": {"a": {"mode": "s3cret"}}}, "/named", "fast, slow"),
        ({"by_role": {"s3cret": 1}}, "/by_role", "viewer, operator, admin, publisher"),
    ],
)
def test_what_is_none_of_the_allowed_values_is_answered_with_them(body: object, pointer: str, allowed: str) -> None:
    with pytest.raises(msgspec.ValidationError) as wrong:
        msgspec.convert(body, Outer)
    error = field_error(wrong.value, Outer)
    assert (error.pointer, error.detail) == (pointer, f"Not one of the allowed values ({allowed})")


@pytest.mark.parametrize(
    "body", [{"flag": "s3cret"}, {"roles": "s3cret"}, {"inner": [{"mode": "fast"}] * 2 + ["s3cret"]}]
)
def test_what_is_of_another_type_is_answered_with_the_right_one(body: object) -> None:
    with pytest.raises(msgspec.ValidationError) as wrong:
        msgspec.convert(body, Outer)
    assert field_error(wrong.value, Outer).detail.startswith("Must be ")
