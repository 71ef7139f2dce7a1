"""What a request body may be. The traps are those that Litestar's own decoding falls into."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar import Litestar, patch, post
from litestar.params import JSONBody
from litestar.testing import TestClient, create_test_client

from monitor.domain.errors import Invalid, Malformed, UnsupportedMedia
from monitor.http.middleware.rate_limit import API_BODY_BYTES, BATCH_BODY_BYTES
from monitor.http.middleware.stack import Application
from monitor.http.requests.body import MAX_DEPTH, JsonBody, MergePatch, check_content_type, convert, read
from monitor.http.responses.problems import TYPE_PREFIX, exception_handlers
from tests.strategies import json_texts
from tests.unit.http.support import Order


class Posted(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    payload: msgspec.Raw


JSON = {"content-type": "application/json"}


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def slug_of(response: Any) -> str:
    kind: str = response.json()["type"]
    return kind.removeprefix(TYPE_PREFIX)


@pytest.mark.parametrize(
    "payload",
    [
        b'{"b": 1,  "a":[ 1.50, 1e999 ]}',
        b'"\\u0000\\ud83d\\ude00"',
        b"123456789012345678901234567890",
        b"null",
        b'{"s":"\\ud800"}',
        b'{"\\uDC00":"\\ud83d\\\\ude00\\ud83d\\ud83d\\ude00"}',
        b"-1E+400",
        b'{"a":1,"a":2}',
    ],
)
def test_a_raw_member_keeps_its_exact_bytes(payload: bytes, client: TestClient[Application]) -> None:
    response = client.post("/orders", content=b'{"name":"a","payload": %b }' % payload, headers=JSON)
    assert (response.status_code, response.content) == (201, payload)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[1,]", b'{"name":"a"} x', b"\xef\xbb\xbf{}", b'{"name":"\xff"}', b'{"name":"a","payload":"\xff"}',
        b'{"name":"a","payload":[1,]}', b'{"name":"a","payload":NaN}', b'{"name":"a\x00"}',
        b'{"name":1,"payload":tru}', b'{"name":1,"payload":"\\ud800}', b'{"name":"a","payload":"\\ud8"}',
        b'{"name":"a","payload":"\\ud800\\', b'{"name":"a","payload":\\ud800}', b'{"name":"a","payload":"\\ud80g"}',
        nested(100_000), b'{"name":"a","payload":%b}' % nested(100_000), b'{"name":"a","unknown":%b}' % nested(5_000),
        b'{"name":' * 5_000, b"[" * 200_000, b'{"name":"a","payload":%b}' % nested(MAX_DEPTH),
    ],
    ids=lambda body: repr(body[:40]),
)  # fmt: skip
def test_an_unreadable_body_is_malformed(body: bytes, client: TestClient[Application]) -> None:
    response = client.post("/orders", content=body, headers=JSON)
    assert (response.status_code, slug_of(response)) == (400, "malformed")


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ('{"name":"a","count":9223372036854775808}', ["/count"]),
        ('{"name":"a","count":-9223372036854775809}', ["/count"]),
        ('{"name":"a","count":%s}' % ("9" * 5000), ["/count"]),
        ('{"name":"a","count":1.0}', ["/count"]),
        ('{"name":"a","count":true}', ["/count"]),
        ('{"name":"a\\u0000b"}', ["/name"]),
        ('{"name":"a","labels":{"k~/":"\\u0000"},"count":99999999999999999999}', ["/count", "/labels/k~0~1"]),
        ('{"name":"a","labels":{"\\u0000":"v"}}', ["/labels"]),
        ('{"name":"a","lines":[{"name":"b"},{"name":"\\u0000"}]}', ["/lines/1/name"]),
        ('{"name":"\\ud800"}', ["/name"]),
        ('{"name":"a","labels":{"k":"\\ude00x"},"payload":"\\ud800"}', ["/labels/k"]),
        ('{"name":1,"payload":"\\ud800"}', ["/name"]),
        ('{"name":"a","lines":[{}]}', ["/lines/0/name"]),
        ('{"name":"a","lines":[{"name":"b","surprise":1}]}', ["/lines/0/surprise"]),
        ('{"name":"a","labels":{"k":1}}', ["/labels"]),
        ("[]", [""]),
        ("null", [""]),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_body_against_a_rule_is_pointed_at(body: str, pointers: list[str], client: TestClient[Application]) -> None:
    response = client.post("/orders", content=body, headers=JSON)
    assert (response.status_code, slug_of(response)) == (422, "invalid")
    assert [error["pointer"] for error in response.json()["errors"]] == pointers


@pytest.mark.parametrize(
    "content_type",
    [
        None, "", "text/plain", "application/jsonx", "application/json; charset=latin-1", "application/xml",
        "application/json; profile", "application/json; charset=utf-8; charset=latin-1", "application/json; a=;;;x",
        "application/json; charset=utf-16", "application/merge-patch+json", "application/json, text/plain",
    ],
)  # fmt: skip
def test_another_content_type_is_not_supported(content_type: str | None, client: TestClient[Application]) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    response = client.post("/orders", content=b'{"name":"a"}', headers=headers)
    assert (response.status_code, slug_of(response)) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json", "Application/JSON", "application/json;charset=UTF-8", 'application/json; charset="utf-8"',
        "application/json; profile=x", 'application/json;Charset=utf-8; profile="a; charset=latin-1"',
        "application/json;",
    ],
)  # fmt: skip
def test_json_in_utf8_is_supported_however_it_is_written(content_type: str, client: TestClient[Application]) -> None:
    response = client.post("/orders", content=b'{"name":"a"}', headers={"content-type": content_type})
    assert response.status_code == 201


@pytest.mark.parametrize(
    ("body", "reason"),
    [(b"", "empty"), (b" \r\n", "empty"), (b'\xef\xbb\xbf{"name":"a"}', "byte order mark"), (b"{", "not valid JSON")],
)
def test_an_unreadable_body_is_refused_with_the_reason(
    body: bytes, reason: str, client: TestClient[Application]
) -> None:
    response = client.post("/orders", content=body, headers=JSON)
    assert (response.status_code, reason in response.text) == (400, True), response.text


def test_a_compressed_body_is_not_supported(client: TestClient[Application]) -> None:
    packed = gzip.compress(b'{"name":"a"}')
    response = client.post("/orders", content=packed, headers=JSON | {"content-encoding": "gzip"})
    assert (response.status_code, "Content-Encoding" in response.json()["detail"]) == (415, True)
    assert client.post("/orders", content=b'{"name":"a"}', headers=JSON | {"content-encoding": "identity"}).is_success


@given(json_texts)
def test_any_json_text_is_kept_byte_for_byte_under_a_raw_member(payload: bytes) -> None:
    """Law: a JSON text of RFC 8259, whatever its escapes, numbers and names, is kept as it stands."""
    one = b'{"name":"a","payload":%b}' % payload
    assert bytes(read(one, Order).payload) == payload
    batch = read(b'{"name":"b","lines":[%b,%b]}' % (one, one), Order)
    assert [bytes(line.payload) for line in batch.lines] == [payload, payload]


def test_a_patch_takes_merge_patch_too() -> None:
    @patch("/", dto=JsonBody, sync_to_thread=False)
    def change(data: MergePatch[dict[str, int | None]]) -> dict[str, int | None]:
        return data

    with create_test_client(
        change, exception_handlers=exception_handlers(), logging_config=None, openapi_config=None
    ) as client:
        for kind in ("application/merge-patch+json", "application/json"):
            assert client.patch("/", content=b'{"a":null}', headers={"content-type": kind}).json() == {"a": None}


def test_the_schema_describes_the_struct() -> None:
    @post("/orders", dto=JsonBody, sync_to_thread=False)
    def create(data: JSONBody[Posted]) -> None:
        """Never called."""

    schema = Litestar([create]).openapi_schema.to_schema()
    content = schema["paths"]["/orders"]["post"]["requestBody"]["content"]
    ref = content["application/json"]["schema"]["$ref"]
    posted = schema["components"]["schemas"][ref.rsplit("/", 1)[-1]]
    assert posted["required"] == ["payload", "type"]


def test_an_announced_body_over_the_limit_is_refused(client: TestClient[Application]) -> None:
    response = client.post("/orders", content=b"x" * (API_BODY_BYTES + 1), headers=JSON)
    assert (response.status_code, slug_of(response)) == (413, "too_large")


def test_a_streamed_body_over_the_limit_is_refused(client: TestClient[Application]) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(API_BODY_BYTES // 1024 + 1):
            yield b" " * 1024

    response = client.post("/orders", content=chunks(), headers=JSON)
    assert "content-length" not in response.request.headers
    assert (response.status_code, slug_of(response)) == (413, "too_large")


def test_a_batch_route_takes_more(client: TestClient[Application]) -> None:
    body = json.dumps({"name": "x" * (BATCH_BODY_BYTES - 100)})
    assert client.post("/batch", content=body, headers=JSON).status_code == 201
    assert client.post("/batch", content=body + " " * 200, headers=JSON).status_code == 413


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text() | st.floats(allow_nan=False),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_valid_json_is_readable_as_it_is(value: Any) -> None:
    """Law: whatever a conforming writer makes of a value without infinities is accepted."""
    text = json.dumps(value)
    if "Infinity" not in text:
        assert read(text.encode(), msgspec.Raw) == msgspec.Raw(text.encode())


@given(st.binary(max_size=60))
def test_reading_any_bytes_raises_nothing_but_ours(body: bytes) -> None:
    """Law: ``read`` returns, or raises ``Malformed`` or ``Invalid``."""
    try:
        read(body, Order)
    except (Malformed, Invalid):
        return


@given(
    depth=st.integers(1, 300),
    before=st.lists(st.sampled_from([b'"["', b'"\\"["', b'"\\\\"', b"[]", b"{}", b'{"]":"}"}']), max_size=8),
)
def test_depth_is_counted_exactly_and_outside_of_strings(depth: int, before: list[bytes]) -> None:
    """Law: JSON passes if and only if its brackets nest at most ``MAX_DEPTH`` deep."""
    raw = b"[%b]" % b",".join([*before, *[b"[]"] * MAX_DEPTH, nested(depth)])
    if depth + 1 > MAX_DEPTH:
        with pytest.raises(Malformed):
            read(raw, msgspec.Raw)
    else:
        read(raw, msgspec.Raw)


@pytest.mark.parametrize("tail", [b'"', b'\\"', b'"\\', b"\\"])
def test_the_depth_guard_is_linear_in_hostile_quotes(tail: bytes) -> None:
    raw = b"[" * 101 + b'"' + b'\\"' * 2_000_000 + tail
    with pytest.raises(Malformed):
        read(raw, msgspec.Raw)


def test_a_merged_patch_is_held_to_the_same_rules() -> None:
    assert convert({"name": "a", "count": 3}, Order).count == 3
    for bad in ({"name": "a", "count": 2**63}, {"name": "\x00"}, {}, {"name": 1}):
        with pytest.raises(Invalid):
            convert(bad, Order)


def test_a_content_type_check_names_what_is_allowed() -> None:
    with pytest.raises(UnsupportedMedia, match="application/json"):
        check_content_type("text/html", frozenset({"application/json"}))


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 4_900_000,
        b"[" * 2_400_000 + b"]" * 2_400_000,
        b"[" * 4_800_000 + b"[" * 101 + b"]" * 101,
        b"]" * 1_000 + b"[" * 1_000,
        b"[]" + b"]" * 1_000_000 + b"[" * 1_000_000,
    ],
    ids=["open", "balanced", "shrinking slowly", "closed before it was opened", "closed too often"],
)
def test_the_depth_guard_is_linear_in_hostile_brackets(raw: bytes) -> None:
    with pytest.raises(Malformed):
        read(raw, msgspec.Raw)
