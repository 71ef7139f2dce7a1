"""Entity tags and the headers that compare them."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar import Request, Response, get
from litestar.testing import create_test_client

from monitor.domain.digest import body_digest
from monitor.domain.errors import Malformed, StalePrecondition
from monitor.http.responses.conditional import (
    COMPRESS_FROM_BYTES,
    accepted_codings,
    encoded_response,
    entity_tag,
    matches_version,
    not_modified,
    require_version,
    select,
)


@given(version=st.integers(1, 10**9), body=st.binary(), other=st.binary())
def test_a_writer_sees_versions_and_a_reader_sees_bytes(version: int, body: bytes, other: bytes) -> None:
    """Law: If-Match holds for any body of its version and no other version; If-None-Match for these bytes only."""
    tag, another = entity_tag(body_digest(body), version), entity_tag(body_digest(other), version)
    assert matches_version(tag, version)
    assert not matches_version(tag, version + 1)
    assert not_modified(tag, tag)
    assert not_modified(tag, another) == (another == tag)


@pytest.mark.parametrize(
    ("header", "matches"),
    [
        ("*", True), (' "7.00000000" ', True), ('"1.00000000", "7.abcdef01"', True), ('"1.00000000"', False),
        ('W/"7.00000000"', True), ('W/"6.00000000"', False), ('"1.00000000", W/"7.abcdef01"', True),
        ('"7.00000000-gzip"', True), ('W/"7.00000000-br"', True), ('"7.00000000-other"', False),
        ('"7"', False), ('""', False), ('"foreign,tag"', False), ('"77.00000000"', False),
        ('"7.00000000.1"', False), ('"1.00000000","7.00000000"', True),
    ],
)  # fmt: skip
def test_if_match_compares_tags_by_version_also_those_that_a_proxy_changed(header: str, *, matches: bool) -> None:
    assert matches_version(header, 7) is matches


@pytest.mark.parametrize("header", ["", "7", '"7', '"a" "b"', '"a",', "* , *", 'w/"a"', '"é"'])
def test_a_header_that_is_no_list_of_tags_is_malformed_to_a_writer_and_absent_to_a_reader(header: str) -> None:
    with pytest.raises(Malformed):
        matches_version(header, 7)
    assert not not_modified(header, '"7.00000000"')


@pytest.mark.parametrize(
    ("header", "gzip", "identity"),
    [
        ("", False, True), ("gzip", True, True), ("gzip;q=0", False, True), ("gzip;q=0, *", False, True),
        ("*;q=0", False, False), ("gzip, *;q=0", True, False), ("identity;q=0", False, False), ("*", True, True),
        ("gzip, identity;q=0", True, False), ("identity, *;q=0", False, True), ("GZIP;Q=1.0 , br", True, True),
        ("gzip;q=0.4, identity;q=0.5", False, True), ("gzip;q=0.001", True, True), ("gzip;q=", False, True),
    ],
)  # fmt: skip
def test_codings_are_accepted_as_their_weights_say(header: str, *, gzip: bool, identity: bool) -> None:
    assert accepted_codings(header) == (gzip, identity)


@given(size=st.sampled_from([1, COMPRESS_FROM_BYTES - 1, COMPRESS_FROM_BYTES]), data=st.data())
def test_no_coding_is_sent_that_the_header_excludes(size: int, data: st.DataObject) -> None:
    """Law: gzip with weight 0 is never sent, every choice varies, and the body is the same in each."""
    weight = st.sampled_from(["", ";q=0", ";q=0.0", ";q=0.3", ";q=1"])
    weights = data.draw(st.dictionaries(st.sampled_from(["gzip", "identity", "br", "*"]), weight))
    body = b"x" * size
    selected = select(body, ", ".join(map("".join, weights.items())))
    is_packed = selected.headers.get("content-encoding") == "gzip"
    assert selected.headers["vary"] == "Accept-Encoding"
    assert (gzip.decompress(selected.body) if is_packed else selected.body) == body
    chosen = weights.get("gzip", weights.get("*", ";q=0"))
    assert not (is_packed and chosen in {";q=0", ";q=0.0"})


def test_a_write_on_an_old_version_is_stale() -> None:
    require_version(None, 7)
    require_version('"7.00000000"', 7)
    with pytest.raises(StalePrecondition):
        require_version('"6.00000000"', 7)


@pytest.mark.parametrize("header", ["*", '"x", W/"7.00000000"', '"7.00000000"'])
def test_if_none_match_compares_weakly(header: str) -> None:
    assert not_modified(header, '"7.00000000"')


def test_without_if_none_match_the_answer_is_full() -> None:
    assert not not_modified(None, '"7.00000000"')


def test_an_unchanged_resource_is_answered_without_a_body() -> None:
    @get("/", sync_to_thread=False)
    def read(request: Request[Any, Any, Any]) -> Response[bytes]:
        return encoded_response(request, {"a": 1}, 7)

    with create_test_client(read, logging_config=None, openapi_config=None) as client:
        first = client.get("/")
        again = client.get("/", headers={"If-None-Match": first.headers["etag"]})
    assert (first.status_code, first.json()) == (200, {"a": 1})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
